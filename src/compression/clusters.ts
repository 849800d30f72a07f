/** Cutting an input into clusters: the rules that all compressors of whole clusters share. */

import type { ClusterExtent, ClusterOptions, CompressedData } from './cluster-compressor.ts';

/** What one cluster may decode to, in bytes: it bounds the memory of whoever reads it. */
const MAX_CLUSTER_LENGTH = 1 << 20;

const NOTHING = { consumed: 0, bytes: new Uint8Array(0) } as const;

/** Fills one cluster at a time, with what stands on its own. */
export interface ClusterEncoder {
  /**
   * Encodes as much of `[start, end)` as fits.
   *
   * @param capacity In bytes.
   * @returns how much input that was, and the encoded bytes; 0 when not even one byte fits.
   */
  encode(
    start: number,
    end: number,
    capacity: number,
  ): { readonly consumed: number; readonly bytes: Uint8Array };
}

/** @throws {RangeError} when the sizes are not ones that a file system has. */
export function checkClusterOptions({ blockSize, clusterSize }: ClusterOptions): void {
  const isPowerOfTwo = Number.isInteger(Math.log2(blockSize));
  if (!isPowerOfTwo || blockSize < 512 || clusterSize % blockSize !== 0 || clusterSize <= 0) {
    throw new RangeError(
      `Cannot compress into clusters of ${clusterSize} bytes with blocks of ${blockSize}`,
    );
  }
  if (clusterSize > MAX_CLUSTER_LENGTH) {
    throw new RangeError(`Cannot compress into clusters of more than ${MAX_CLUSTER_LENGTH} bytes`);
  }
}

/**
 * Compresses an input, cluster by cluster. Where a cluster saves no block its input is stored as it
 * is, in plain extents of a block each.
 */
export function cutIntoClusters(
  input: Uint8Array,
  options: ClusterOptions,
  encoder: ClusterEncoder,
): CompressedData {
  checkClusterOptions(options);
  const { blockSize, clusterSize } = options;
  const extents: ClusterExtent[] = [];
  const parts: Uint8Array[] = [];
  let stored = 0;
  const add = (isPlain: boolean, length: number, bytes: Uint8Array): void => {
    extents.push({ isPlain, length, storedLength: bytes.length });
    parts.push(bytes);
    stored += bytes.length;
  };
  for (let at = 0; at < input.length;) {
    const end = Math.min(input.length, at + MAX_CLUSTER_LENGTH);
    // A block or less cannot save one.
    const { consumed, bytes } =
      end - at > blockSize ? encoder.encode(at, end, clusterSize) : NOTHING;
    if (Math.ceil(bytes.length / blockSize) * blockSize < consumed) {
      add(false, consumed, bytes);
      at += consumed;
      continue;
    }
    // All whole blocks of it: trying again at each of them would not find more to save.
    const plain = at + Math.max(blockSize, consumed - (consumed % blockSize));
    for (const stop = Math.min(plain, input.length); at < stop;) {
      const length = Math.min(blockSize, input.length - at);
      add(true, length, input.subarray(at, at + length));
      at += length;
    }
  }
  const bytes = new Uint8Array(stored);
  let to = 0;
  for (const part of parts) {
    bytes.set(part, to);
    to += part.length;
  }
  return { extents, bytes };
}
