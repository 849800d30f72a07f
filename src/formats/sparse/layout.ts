/**
 * Android's sparse image format, version 1.0: an image as a list of chunks, without its holes.
 *
 * FORMAT
 * - header, then `total_chunks` chunks one after the other
 * - chunk: header, then raw: its blocks; fill: 4 bytes that repeat; don't care: nothing; crc32: 4 bytes
 *
 * @see system/core/libsparse/sparse_format.h of AOSP
 */

import { FormatError } from '../../core/errors.ts';
import { le, struct } from '../struct.ts';

export const SPARSE_HEADER_MAGIC = 0xed26ff3a;
export const SPARSE_MAJOR_VERSION = 1;

export const CHUNK_TYPE_RAW = 0xcac1;
export const CHUNK_TYPE_FILL = 0xcac2;
export const CHUNK_TYPE_DONT_CARE = 0xcac3;
export const CHUNK_TYPE_CRC32 = 0xcac4;

export const SparseHeader = struct('sparse_header', 28, {
  magic: le.u32,
  major_version: le.u16,
  minor_version: le.u16,
  file_hdr_sz: le.u16,
  chunk_hdr_sz: le.u16,
  blk_sz: le.u32,
  total_blks: le.u32,
  total_chunks: le.u32,
  image_checksum: le.u32,
});

export const ChunkHeader = struct('chunk_header', 12, {
  chunk_type: le.u16,
  reserved1: le.u16,
  chunk_sz: le.u32,
  total_sz: le.u32,
});

/** A part of the image, in bytes. Parts follow one another without gaps. */
export interface SparseChunk {
  readonly kind: 'raw' | 'fill' | 'hole';
  /** In the image. */
  readonly offset: number;
  readonly size: number;
  /** Where in the file the chunk's header is, and its content behind it. */
  readonly headerOffset: number;
  readonly dataOffset: number;
  /** Of a fill: the 4 bytes that repeat, as the file has them. */
  readonly fill?: Uint8Array;
}

export const bad = (
  code: 'truncated' | 'bad-magic' | 'bad-version' | 'bad-value' | 'out-of-range',
  why: string,
  where: { readonly offset?: number; readonly field?: string } = {},
): FormatError => new FormatError('sparse', code, `Cannot read sparse image: ${why}`, where);
