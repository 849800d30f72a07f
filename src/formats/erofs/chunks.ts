/**
 * Files in chunks: equal chunks are stored once in an image, chunks of zeros not at all.
 *
 * The chunks are known before the image is planned, from a pass over the contents. Only files that
 * gain by it are stored in chunks; all others stay flat.
 */

import { createHash } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import { divCeil } from '../../core/math.ts';
import { walk, type Directory, type Inode, type RegularFile } from '../../io/file-tree.ts';
import { EROFS_BLOCK_MAP_ENTRY_SIZE, EROFS_NULL_ADDR } from './layout.ts';

/** The chunks of a tree's files. */
export interface ChunkMap {
  /** In bytes. */
  readonly chunkSize: number;
  /** Of each file that was looked at: the numbers of its chunks, which are equal for equal chunks. */
  readonly files: ReadonlyMap<Inode, Uint32Array>;
  /** By number: how many places of files have this chunk. */
  readonly uses: readonly number[];
}

/** A part of a file's content that is stored in the image. */
export interface DataExtent {
  /** In the content, in bytes. */
  readonly offset: number;
  readonly size: number;
  readonly blockAddress: number;
}

export interface ChunkOptions {
  /** In bytes: a power of two, at least a block. Default 65536. */
  readonly chunkSize?: number;
  /** Of the image. Default 4096. */
  readonly blockSize?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The number of the chunk that holds nothing but zeros. */
const HOLE = 0;
const MAX_CHUNK_SIZE = 1 << 30;

/**
 * Reads every file of at least a block and tells its chunks apart by their SHA-256.
 *
 * @throws {UsageError} `input` when a file has not the size that it says.
 * @throws {RangeError} when the chunk is no power of two between a block and 1 GiB.
 */
export async function scanChunks(root: Directory, options: ChunkOptions = {}): Promise<ChunkMap> {
  const { chunkSize = 65536, blockSize = 4096, signal } = options;
  if (!Number.isInteger(Math.log2(chunkSize)) || chunkSize < blockSize) {
    throw new RangeError(`Cannot cut files in chunks of ${chunkSize} bytes`);
  }
  if (chunkSize > MAX_CHUNK_SIZE)
    throw new RangeError(`Chunks of ${chunkSize} bytes are too large`);
  const contents = new Map<RegularFile, string>();
  walk(root, (path, inode) => {
    if (inode.kind === 'file' && inode.content.size >= blockSize && !contents.has(inode)) {
      contents.set(inode, path);
    }
  });
  const numbers = new Map<string, number>();
  const uses = [0];
  const files = new Map<Inode, Uint32Array>();
  for (const [inode, path] of contents) {
    const found = new Uint32Array(divCeil(inode.content.size, chunkSize));
    let count = 0;
    const add = (digest: string | undefined): void => {
      let number = digest === undefined ? HOLE : numbers.get(digest);
      if (number === undefined) {
        number = uses.length;
        numbers.set(digest as string, number);
        uses.push(0);
      }
      uses[number] = (uses[number] ?? 0) + 1;
      found[count] = number;
      count += 1;
    };
    await digestChunks(inode, path, chunkSize, add, signal);
    files.set(inode, found);
  }
  return { chunkSize, files, uses };
}

/** Calls `add` for each chunk of a file, with its digest or, for zeros, without. */
async function digestChunks(
  { content }: RegularFile,
  path: string,
  chunkSize: number,
  add: (digest: string | undefined) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let hash: ReturnType<typeof createHash> | undefined;
  let total = 0;
  let filled = 0;
  // The hash starts at the first byte that is not zero: then it is told what came before.
  const finish = (): void => {
    add(hash?.digest('base64'));
    hash = undefined;
    filled = 0;
  };
  for await (const bytes of content.stream()) {
    signal?.throwIfAborted();
    total += bytes.length;
    if (total > content.size) break;
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + chunkSize - filled);
      if (hash === undefined && !isZero(piece)) {
        hash = createHash('sha256');
        for (let left = filled; left > 0; left -= ZEROS.length) {
          hash.update(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
        }
      }
      hash?.update(piece);
      filled += piece.length;
      at += piece.length;
      if (filled === chunkSize) finish();
    }
  }
  if (total !== content.size) {
    throw new UsageError(
      'input',
      `Cannot store ${path} in EROFS: it said to have ${content.size} bytes but has ${total > content.size ? 'more' : `only ${total}`}`,
    );
  }
  if (filled > 0) finish();
}

const ZEROS = new Uint8Array(1 << 16);

function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const piece = bytes.subarray(at, at + ZEROS.length);
    if (Buffer.compare(piece, ZEROS.subarray(0, piece.length)) !== 0) return false;
  }
  return true;
}

/** How the index of a file in chunks looks, or undefined when the file gains nothing by chunks. */
export function chunkIndex(
  { files, uses, chunkSize }: ChunkMap,
  inode: Inode,
  blockSize: number,
): { readonly format: number; readonly size: number } | undefined {
  const chunks = files.get(inode);
  const gains = chunks?.some((number) => number === HOLE || (uses[number] ?? 0) > 1) ?? false;
  if (chunks === undefined || !gains) return undefined;
  return {
    format: Math.log2(chunkSize / blockSize),
    size: chunks.length * EROFS_BLOCK_MAP_ENTRY_SIZE,
  };
}

export interface ChunkPlacer {
  /**
   * Places the chunks of a file that no earlier file has, from a block on.
   *
   * @param indexes Receives the address of each chunk.
   */
  place(
    inode: Inode,
    size: number,
    indexes: Uint8Array,
    block: number,
  ): { readonly next: number; readonly dataExtents: readonly DataExtent[] };
}

export function createChunkPlacer({ files, chunkSize }: ChunkMap, blockSize: number): ChunkPlacer {
  const placed = new Map<number, number>();
  return {
    place(inode, size, indexes, block) {
      const view = new DataView(indexes.buffer, indexes.byteOffset, indexes.length);
      const dataExtents: { offset: number; size: number; blockAddress: number }[] = [];
      let next = block;
      for (const [index, number] of (files.get(inode) ?? []).entries()) {
        const offset = index * chunkSize;
        let address = number === HOLE ? EROFS_NULL_ADDR : placed.get(number);
        if (address === undefined) {
          address = next;
          placed.set(number, address);
          const length = Math.min(chunkSize, size - offset);
          const last = dataExtents.at(-1);
          const follows = last !== undefined && last.offset + last.size === offset;
          if (follows && last.blockAddress + last.size / blockSize === address) {
            last.size += length;
          } else {
            dataExtents.push({ offset, size: length, blockAddress: address });
          }
          next += divCeil(length, blockSize);
        }
        view.setUint32(index * EROFS_BLOCK_MAP_ENTRY_SIZE, address, true);
      }
      return { next, dataExtents };
    },
  };
}
