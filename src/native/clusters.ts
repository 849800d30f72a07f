/** Clusters of all algorithms with the native library: the bytes of the twins, on all cores. */

import { availableParallelism } from 'node:os';
import type {
  ClusterCompressor,
  ClusterExtent,
  ClusterOptions,
  CompressedData,
} from '../compression/cluster-compressor.ts';
import { checkClusterOptions } from '../compression/clusters.ts';
import { callAsync, type NativeLibrary } from './library.ts';

/** As `native/src/abi/clusters.rs` counts them. */
const ALGORITHMS = {
  deflate: { id: 1, minLevel: 1, maxLevel: 9 },
  zstd: { id: 2, minLevel: 1, maxLevel: 15 },
  lz4: { id: 3, minLevel: 0, maxLevel: 0 },
  lz4hc: { id: 3, minLevel: 1, maxLevel: 12 },
} as const;
const EXTENT_WORDS = 3;
/** Positions in an input are 32-bit. */
const MAX_INPUT = 2 ** 31 - 1;

/**
 * @param level 1 to 9 of DEFLATE, 1 to 15 of Zstandard, 1 to 12 of LZ4 HC; 0 of LZ4, which has no levels.
 * @throws {RangeError} when there is no such level.
 */
export function createNativeClusterCompressor(
  library: NativeLibrary,
  algorithm: keyof typeof ALGORITHMS,
  level: number,
  threads: number = availableParallelism(),
): ClusterCompressor {
  const { id, minLevel, maxLevel } = ALGORITHMS[algorithm];
  if (!Number.isInteger(level) || level < minLevel || level > maxLevel) {
    throw new RangeError(`Cannot compress at level ${level}: use ${minLevel} to ${maxLevel}`);
  }
  const compress = library.func(
    'int64_t mb_compress_clusters(uint32_t algorithm, uint32_t level, size_t block_size, size_t cluster_size, size_t threads, const uint8_t *data, const uint32_t *lengths, size_t inputs, _Out_ uint8_t *out, size_t out_len, _Out_ uint32_t *extents, size_t extents_len, _Out_ uint32_t *extent_counts)',
  );
  return {
    algorithm,
    async compress(inputs, options) {
      checkClusterOptions(options);
      const { data, lengths, mostExtents } = gather(inputs, options);
      const out = new Uint8Array(data.length);
      // At least one word: the library takes no null.
      const extents = new Uint32Array(Math.max(1, mostExtents) * EXTENT_WORDS);
      const counts = new Uint32Array(inputs.length);
      const { blockSize, clusterSize } = options;
      const stored = Number(
        await callAsync(
          compress,
          ...[id, level, blockSize, clusterSize, threads, data, lengths, inputs.length],
          ...[out, out.length, extents, extents.length, counts],
        ),
      );
      if (stored < 0) throw new RangeError(`The native library refused to compress: ${stored}`);
      return split(out, extents, counts);
    },
  };
}

/** The inputs in one piece. */
function gather(
  inputs: readonly Uint8Array[],
  { blockSize }: ClusterOptions,
): {
  readonly data: Uint8Array;
  readonly lengths: Uint32Array;
  readonly mostExtents: number;
} {
  let total = 0;
  let mostExtents = 0;
  for (const input of inputs) {
    if (input.length > MAX_INPUT) {
      throw new RangeError(`Cannot compress ${input.length} bytes in one piece`);
    }
    total += input.length;
    // Every extent but an input's last stands for a block at least.
    mostExtents += Math.ceil(input.length / blockSize);
  }
  const data = new Uint8Array(total);
  let at = 0;
  for (const input of inputs) {
    data.set(input, at);
    at += input.length;
  }
  return { data, lengths: Uint32Array.from(inputs, (input) => input.length), mostExtents };
}

/** The results, input by input. */
function split(out: Uint8Array, extents: Uint32Array, counts: Uint32Array): CompressedData[] {
  const results: CompressedData[] = [];
  let at = 0;
  let stored = 0;
  for (const count of counts) {
    const own: ClusterExtent[] = [];
    const start = stored;
    for (let index = 0; index < count; index += 1, at += EXTENT_WORDS) {
      const [length = 0, storedLength = 0, plain] = extents.subarray(at, at + EXTENT_WORDS);
      own.push({ isPlain: plain === 1, length, storedLength });
      stored += storedLength;
    }
    results.push({ extents: own, bytes: out.subarray(start, stored) });
  }
  return results;
}
