/** Clusters of all algorithms with the native library: the bytes of the twins, on all cores. */

import { availableParallelism } from 'node:os';
import { ClusterBatch, EXTENT_WORDS } from '../compression/cluster-batch.ts';
import type {
  ClusterCompressor,
  ClusterExtent,
  ClusterOptions,
  CompressedData,
} from '../compression/cluster-compressor.ts';
import { checkClusterOptions } from '../compression/clusters.ts';
import { divCeil } from '../core/math.ts';
import { sizeProblem } from '../formats/erofs/content.ts';
import { systemError } from '../io/system-error.ts';
import { callAsync, type NativeLibrary } from './library.ts';

/** As `native/src/abi/clusters.rs` counts them. */
const ALGORITHMS = {
  deflate: { id: 1, minLevel: 1, maxLevel: 9 },
  zstd: { id: 2, minLevel: 1, maxLevel: 15 },
  lz4: { id: 3, minLevel: 0, maxLevel: 0 },
  lz4hc: { id: 3, minLevel: 1, maxLevel: 12 },
} as const;
const FAILURE = { system: 1, size: 2 } as const;
/** Positions in an input are 32-bit. */
const MAX_INPUT = 2 ** 31 - 1;
/** Batches are made while others are compressed: about so many at a time. */
const BATCHES_AT_ONCE = 3;

/**
 * The number that the library has for an algorithm.
 *
 * @throws {RangeError} when there is no such level.
 */
export function algorithmId(algorithm: keyof typeof ALGORITHMS, level: number): number {
  const { id, minLevel, maxLevel } = ALGORITHMS[algorithm];
  if (!Number.isInteger(level) || level < minLevel || level > maxLevel) {
    throw new RangeError(`Cannot compress at level ${level}: use ${minLevel} to ${maxLevel}`);
  }
  return id;
}

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
  const id = algorithmId(algorithm, level);
  const compress = library.func(
    'int mb_compress_batch(uint32_t algorithm, uint32_t level, size_t block_size, size_t cluster_size, size_t threads, const uint32_t *inputs, size_t input_count, const uint8_t *paths, size_t paths_len, uint8_t *data, uint8_t *out, size_t data_len, uint32_t *extents, size_t extents_len, uint32_t *extent_counts, uint64_t *failure)',
  );
  const run = async (
    batch: ClusterBatch,
    { blockSize, clusterSize }: ClusterOptions,
    threadCount: number,
  ): Promise<void> => {
    if (batch.count === 0) return;
    const { records, paths, data, out, extents, extentCounts } = batch;
    const failure = new BigUint64Array(4);
    const result = await callAsync(
      compress,
      id,
      level,
      blockSize,
      clusterSize,
      threadCount,
      records,
      batch.count,
      paths,
      paths.length,
      data,
      out,
      data.length,
      extents,
      extents.length,
      extentCounts,
      failure,
    );
    if (result !== 0) throw failureError([...failure].map(Number), batch, result);
  };
  /** Of the last call: new buffers for each would pile up until they are collected. */
  let spare: ClusterBatch | undefined;
  return {
    algorithm,
    async compressBatch(batch, options) {
      checkClusterOptions(options);
      if (batch.blockSize !== options.blockSize) {
        throw new RangeError(`A batch for blocks of ${batch.blockSize} bytes has no other ones`);
      }
      await run(batch, options, divCeil(threads, BATCHES_AT_ONCE));
    },
    async compress(inputs, options) {
      checkClusterOptions(options);
      const batch = batchOf(inputs, options, spare);
      spare = undefined;
      await run(batch, options, threads);
      const results = inputs.map((_, index) => compressedData(batch, index));
      batch.clear();
      spare = batch;
      return results;
    },
  };
}

function batchOf(
  inputs: readonly Uint8Array[],
  { blockSize }: ClusterOptions,
  spare: ClusterBatch | undefined,
): ClusterBatch {
  let bytes = 0;
  for (const { length } of inputs) {
    if (length > MAX_INPUT) throw new RangeError(`Cannot compress ${length} bytes in one piece`);
    bytes += length;
  }
  const fits =
    spare?.blockSize === blockSize && spare.inputs >= inputs.length && spare.bytes >= bytes;
  const batch = fits ? spare : new ClusterBatch({ blockSize, inputs: inputs.length, bytes });
  for (const [index, input] of inputs.entries()) {
    if (!batch.add(input.length, true)) throw new TypeError('A batch has room for its inputs');
    batch.input(index).set(input);
  }
  return batch;
}

function compressedData(batch: ClusterBatch, index: number): CompressedData {
  const { extents: table, bytes } = batch.stored(index);
  const extents: ClusterExtent[] = [];
  for (let at = 0; at < table.length; at += EXTENT_WORDS) {
    const [length = 0, storedLength = 0, plain] = table.subarray(at, at + EXTENT_WORDS);
    extents.push({ isPlain: plain === 1, length, storedLength });
  }
  return { extents, bytes: bytes.slice() };
}

function failureError(
  [kind = 0, index = 0, errno = 0, found = 0]: readonly number[],
  batch: ClusterBatch,
  result: unknown,
): Error {
  const file = batch.file(index);
  switch (result === 1 ? kind : 0) {
    case FAILURE.system:
      return systemError(errno, 'read', file?.path);
    case FAILURE.size:
      return sizeProblem(file?.name ?? '', file?.size ?? 0, found - (file?.slice ?? 0));
    default:
      return new RangeError(`The native library refused to compress: ${String(result)}`);
  }
}
