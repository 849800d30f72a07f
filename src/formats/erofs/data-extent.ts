/** A run of a file's bytes, and where they come from. */

import type { AlgorithmName } from './compressed-layout.ts';

/** Bytes of an image. */
export interface ImageExtent {
  readonly offset: number;
  readonly size: number;
}

interface Part {
  /** In the file, in bytes. */
  readonly start: number;
  readonly length: number;
}

/** Zeros that are stored nowhere. */
export interface HoleExtent extends Part {
  readonly kind: 'hole';
}

/** Bytes as they are. */
export interface StoredExtent extends Part {
  readonly kind: 'stored';
  /** In the image. */
  readonly offset: number;
}

/** A physical cluster: the bytes of the image from which those of the file are made. */
export interface EncodedExtent extends Part {
  readonly kind: 'encoded';
  readonly offset: number;
  readonly storedSize: number;
  /** `shifted` and `interlaced` are not compressed; the latter start within their block, and go round. */
  readonly encoding: 'shifted' | 'interlaced' | AlgorithmName;
  /** They decompress to more bytes than these. */
  readonly isPartial: boolean;
  /** In the inode's block, behind the index. */
  readonly isInline: boolean;
}

/** Bytes of the packed inode. */
export interface FragmentExtent extends Part {
  readonly kind: 'fragment';
  /** In the packed inode's data. */
  readonly packedStart: number;
}

export type DataExtent = HoleExtent | StoredExtent | EncodedExtent | FragmentExtent;
