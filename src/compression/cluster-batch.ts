/**
 * Inputs that are compressed at once, and what becomes of them, in buffers that serve again: files come
 * by the thousand, and objects for each would take longer than some of them take to compress.
 * `native/src/cluster_batch.rs` knows the form.
 */

import { alignUp, divCeil } from '../core/math.ts';
import type { ClusterCompressor, ClusterOptions, CompressedData } from './cluster-compressor.ts';

/** Words of an extent in a table: bytes of input, bytes stored, whether it is plain (1 or 0). */
export const EXTENT_WORDS = 3;
/** Words of an input, as `native/src/abi/clusters.rs` has them. */
const INPUT_WORDS = 8;
/** Places of inputs are a multiple of this apart, and at least a byte. */
const PLACE = 64;
const MAX_WORD = 2 ** 32 - 1;
/** Room for paths, unless one alone is longer. */
const PATH_BYTES = 1 << 18;

/** An input, compressed. Both are parts of the batch's buffers. */
export interface StoredData {
  /** A table of its extents: `EXTENT_WORDS` each. */
  readonly extents: Uint32Array;
  /** What all of them store, one after the other. */
  readonly bytes: Uint8Array;
}

/** A file of this machine, for who reads it while compressing. */
export interface BatchFile {
  /** How errors call it. */
  readonly name: string;
  readonly path: string;
  /** In bytes, of the whole file. */
  readonly size: number;
  /** Where in the file at the path it starts, if it is a slice of that. */
  readonly slice?: number | undefined;
}

export interface ClusterBatchOptions {
  readonly blockSize: number;
  /** Inputs that there can be, and how many bytes they can have together when they are that many. */
  readonly inputs: number;
  readonly bytes: number;
}

export class ClusterBatch {
  readonly blockSize: number;
  readonly inputs: number;
  readonly bytes: number;
  /** The inputs, and behind each a byte for those that look whether a file goes on. */
  readonly data: Uint8Array;
  /** What is stored of them, at the same places. */
  readonly out: Uint8Array;
  readonly extents: Uint32Array;
  readonly extentCounts: Uint32Array;
  readonly records: Uint32Array;
  paths = Buffer.allocUnsafeSlow(0);
  count = 0;
  readonly #starts: Uint32Array;
  readonly #extentStarts: Uint32Array;
  readonly #files: (BatchFile | undefined)[] = [];
  #used = 0;
  #usedExtents = 0;
  #usedPaths = 0;

  constructor({ blockSize, inputs, bytes }: ClusterBatchOptions) {
    this.blockSize = blockSize;
    this.inputs = inputs;
    this.bytes = bytes;
    const room = alignUp(bytes, PLACE) + inputs * PLACE;
    this.data = new Uint8Array(room);
    this.out = new Uint8Array(room);
    // At least one word of each: the library takes no null.
    this.extents = new Uint32Array((divCeil(bytes, blockSize) + inputs + 1) * EXTENT_WORDS);
    this.extentCounts = new Uint32Array(inputs + 1);
    this.records = new Uint32Array((inputs + 1) * INPUT_WORDS);
    this.#starts = new Uint32Array(inputs);
    this.#extentStarts = new Uint32Array(inputs);
  }

  /**
   * Adds an input.
   *
   * @param isCompressed Whether it is compressed, or read only.
   * @param file Of which it is part, for a compressor that reads files; without one, the caller puts
   *   the bytes where `input` says.
   * @param from Where it is in the file, in bytes.
   * @returns false when there is no room.
   */
  add(length: number, isCompressed: boolean, file?: BatchFile, from = 0): boolean {
    const { records, extents, extentCounts, count } = this;
    const end = this.#used + alignUp(length + 1, PLACE);
    const words = divCeil(length, this.blockSize) * EXTENT_WORDS;
    const isFull = end > this.data.length || this.#usedExtents + words > extents.length;
    if (count === this.inputs || isFull) return false;
    const at = count * INPUT_WORDS;
    records.fill(0, at, at + INPUT_WORDS);
    if (file !== undefined && !this.#addPath(file, from, at)) return false;
    // What has no more than a block cannot become less.
    const isLong = isCompressed && length > this.blockSize;
    const isPlain = isCompressed && !isLong && length > 0;
    records[at] = length;
    records[at + 1] = isLong ? 1 : 0;
    this.#starts[count] = this.#used;
    this.#extentStarts[count] = this.#usedExtents;
    this.#files[count] = file;
    extentCounts[count] = isPlain ? 1 : 0;
    if (isPlain) {
      extents[this.#usedExtents] = length;
      extents[this.#usedExtents + 1] = length;
      extents[this.#usedExtents + 2] = 1;
    }
    this.#used = end;
    this.#usedExtents += words;
    this.count += 1;
    return true;
  }

  #addPath({ path, size, slice }: BatchFile, from: number, at: number): boolean {
    const { records } = this;
    // A path has at most three bytes for each of its units.
    const longest = path.length * 3;
    if (this.#usedPaths + longest > this.paths.length) {
      if (this.#usedPaths > 0) return false;
      this.paths = Buffer.allocUnsafeSlow(Math.max(PATH_BYTES, longest));
    }
    const written = this.paths.write(path, this.#usedPaths);
    records[at + 2] = this.#usedPaths;
    records[at + 3] = written;
    const start = from + (slice ?? 0);
    records[at + 4] = start >>> 0;
    records[at + 5] = start / 2 ** 32;
    // Nobody looks whether a file goes on behind a slice of it.
    records[at + 6] = slice === undefined ? size >>> 0 : MAX_WORD;
    records[at + 7] = slice === undefined ? size / 2 ** 32 : MAX_WORD;
    this.#usedPaths += written;
    return true;
  }

  input(index: number): Uint8Array {
    const start = this.#starts[index] ?? 0;
    return this.data.subarray(start, start + (this.records[index * INPUT_WORDS] ?? 0));
  }

  /** Whether an input is compressed, that is, more than read. */
  isCompressed(index: number): boolean {
    return this.records[index * INPUT_WORDS + 1] === 1;
  }

  /** The file that an input is part of. */
  file(index: number): BatchFile | undefined {
    return this.#files[index];
  }

  /** What became of an input. */
  stored(index: number): StoredData {
    const from = this.#extentStarts[index] ?? 0;
    const words = (this.extentCounts[index] ?? 0) * EXTENT_WORDS;
    const extents = this.extents.subarray(from, from + words);
    if (!this.isCompressed(index)) return { extents, bytes: this.input(index) };
    const start = this.#starts[index] ?? 0;
    return { extents, bytes: this.out.subarray(start, start + storedSize(extents)) };
  }

  /** @throws {TypeError} when it is more than there is room for. */
  store(index: number, { extents, bytes }: CompressedData): void {
    const from = this.#extentStarts[index] ?? 0;
    const most = divCeil(this.records[index * INPUT_WORDS] ?? 0, this.blockSize);
    const table = extentTable(extents);
    const isWhole = storedSize(table) === bytes.length;
    if (extents.length > most || !isWhole || bytes.length > this.input(index).length) {
      throw new TypeError('A compressor lost data');
    }
    this.extents.set(table, from);
    this.extentCounts[index] = extents.length;
    this.out.set(bytes, this.#starts[index]);
  }

  clear(): void {
    this.count = 0;
    this.#used = 0;
    this.#usedExtents = 0;
    this.#usedPaths = 0;
    this.#files.length = 0;
  }
}

function storedSize(extents: Uint32Array): number {
  let size = 0;
  for (let at = 1; at < extents.length; at += EXTENT_WORDS) size += extents[at] ?? 0;
  return size;
}

export function extentTable(extents: CompressedData['extents']): Uint32Array {
  const table = new Uint32Array(extents.length * EXTENT_WORDS);
  for (const [index, { length, storedLength, isPlain }] of extents.entries()) {
    table.set([length, storedLength, isPlain ? 1 : 0], index * EXTENT_WORDS);
  }
  return table;
}

/** Compresses what a batch holds. Only compressors with `compressBatch` read files. */
export async function compressBatch(
  compressor: ClusterCompressor,
  batch: ClusterBatch,
  options: ClusterOptions,
): Promise<void> {
  if (compressor.compressBatch !== undefined) {
    await compressor.compressBatch(batch, options);
    return;
  }
  const inputs: Uint8Array[] = [];
  const indexes: number[] = [];
  for (let index = 0; index < batch.count; index += 1) {
    if (!batch.isCompressed(index)) continue;
    inputs.push(batch.input(index));
    indexes.push(index);
  }
  const results = inputs.length === 0 ? [] : await compressor.compress(inputs, options);
  if (results.length !== inputs.length) throw new TypeError('A compressor lost data');
  for (const [at, index] of indexes.entries()) batch.store(index, results[at] as CompressedData);
}
