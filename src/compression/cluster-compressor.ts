/**
 * What a compressing file system asks for: data cut in physical clusters of a fixed size. A compressor fills each
 * cluster as far as it goes, so that reading one block of a file decodes one cluster.
 */

import type { ClusterBatch } from './cluster-batch.ts';

/** Compresses data into physical clusters of a fixed size, as EROFS stores it. */
export interface ClusterCompressor {
  readonly algorithm: 'lz4' | 'lz4hc' | 'deflate' | 'zstd';
  /**
   * Compresses each input on its own. Inputs are independent; results do not depend on how they are grouped.
   *
   * @throws {RangeError} when the options are not sizes that a cluster can have.
   */
  compress(
    inputs: readonly Uint8Array[],
    options: ClusterOptions,
  ): Promise<readonly CompressedData[]> | readonly CompressedData[];
  /**
   * The same for the inputs of a batch, into its buffers: for compressors that read files themselves.
   *
   * @throws {UsageError} `input` when a file has not the size it said, with its name.
   * @throws an error like those of node:fs when a file cannot be read.
   */
  compressBatch?(batch: ClusterBatch, options: ClusterOptions): Promise<void>;
}

export interface ClusterOptions {
  /** Bytes of an uncompressed (plain) cluster: the file system's block. */
  readonly blockSize: number;
  /** The most a compressed cluster takes: a multiple of the block size. */
  readonly clusterSize: number;
}

/** One input, compressed. The extents' lengths add up to the input's. */
export interface CompressedData {
  readonly extents: readonly ClusterExtent[];
  /** The stored bytes of all extents, one after the other, without padding. */
  readonly bytes: Uint8Array;
}

export interface ClusterExtent {
  /** Stored as it is. Otherwise compressed, which takes at least one block less than the input. */
  readonly isPlain: boolean;
  /** Bytes of input it stands for. Each extent but the last stands for at least one block. */
  readonly length: number;
  /** Bytes in `bytes`. */
  readonly storedLength: number;
}
