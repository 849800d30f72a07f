/**
 * Building a hash tree in one pass over data of any size: of every level only the digests that do not
 * fill a window yet are in memory.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 */

import { divCeil } from '../core/math.ts';
import type { ByteSource } from '../io/byte-source.ts';
import type { ImageSink } from '../io/image-sink.ts';
import { digestStride, nodeBlockHasher, type BlockHasher } from './block-hasher.ts';
import { hashSourceBlocks, windowBlocks } from './hash-source.ts';
import { hashTreeLevels, type HashTreeLayout } from './hash-tree-layout.ts';
import { hasherOf, type TreeParameters } from './tree-parameters.ts';

/** Where the tree goes. */
type TreeTarget = Pick<ImageSink, 'write'>;

export interface WriteHashTreeOptions extends TreeParameters {
  /** Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told how many bytes of the data are hashed, after each window. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Hash blocks of the upper levels that are hashed at a time. */
const UPPER_WINDOW = 64;

/** A level in the making. */
interface OpenLevel {
  /** Whole hash blocks, the last one open. */
  readonly buffer: Uint8Array;
  /** Room for the digests of the buffer's blocks. */
  readonly hashed: Uint8Array;
  /** Digests in the buffer. */
  held: number;
  /** Hash blocks written. */
  written: number;
}

/**
 * Writes the tree over a source, whose last block is padded with zeros.
 *
 * @param target Takes the tree from its offset 0 on, the top level first.
 * @returns the root digest, and the tree's layout.
 * @throws {RangeError} on block sizes that cannot be.
 */
export async function writeHashTree(
  source: ByteSource,
  target: TreeTarget,
  options: WriteHashTreeOptions,
): Promise<{ readonly rootDigest: Uint8Array; readonly layout: HashTreeLayout }> {
  const { algorithm, dataBlockSize, hashBlockSize, salt, signal } = options;
  const dataBlocks = divCeil(source.size, dataBlockSize);
  const layout = hashTreeLevels(dataBlocks, { ...options, blockSize: hashBlockSize });
  const hasher = hasherOf(options, options.hasher ?? nodeBlockHasher);
  const growing = growTree(layout, target, (bytes, digests) =>
    hasher.hashBlocks({ algorithm, blockSize: hashBlockSize, salt }, bytes, digests),
  );
  const window = windowBlocks(dataBlockSize);
  const parameters = { algorithm, blockSize: dataBlockSize, salt };
  /** Of a window that is hashed, and of the next one, which is being hashed. */
  const room = Math.min(window, dataBlocks) * digestStride(algorithm);
  const digests = [new Uint8Array(room), new Uint8Array(dataBlocks > window ? room : 0)] as const;
  const hashWindow = (first: number): Promise<void> | undefined => {
    if (first >= dataBlocks) return undefined;
    const range = { first, blocks: Math.min(window, dataBlocks - first) };
    const into = digests[((first / window) & 1) as 0 | 1];
    const hashing = hashSourceBlocks(source, range, parameters, hasher, into, signal);
    // Awaited at its turn; until then a failure must not count as unhandled.
    hashing.catch(() => undefined);
    return hashing;
  };
  let ahead = hashWindow(0);
  try {
    for (let first = 0; first < dataBlocks; first += window) {
      await ahead;
      ahead = hashWindow(first + window);
      const blocks = Math.min(window, dataBlocks - first);
      await growing.add(digests[((first / window) & 1) as 0 | 1], blocks);
      options.onProgress?.(Math.min((first + blocks) * dataBlockSize, source.size));
    }
  } finally {
    // Nobody may close the source while it is read.
    await ahead?.catch(() => undefined);
  }
  return { rootDigest: await growing.finish(), layout };
}

function growTree(
  layout: HashTreeLayout,
  target: TreeTarget,
  hashBlocks: (bytes: Uint8Array, digests: Uint8Array) => void | Promise<void>,
): {
  /** Takes the digests of the next data blocks, a power of two apart. */
  add(digests: Uint8Array, count: number): Promise<void>;
  /** Writes what is left. @returns the root digest. */
  finish(): Promise<Uint8Array>;
} {
  const { blockSize, digestSize, digestStride: stride, digestsPerBlock } = layout;
  const aligned = 2 ** Math.ceil(Math.log2(digestSize));
  // With no block at all it stays zeros, as fs-verity has it for empty files.
  const root = new Uint8Array(digestSize);
  const levels = layout.levels.map(({ blocks }): OpenLevel => ({
    buffer: new Uint8Array(Math.min(blocks, UPPER_WINDOW) * blockSize),
    hashed: new Uint8Array(UPPER_WINDOW * aligned),
    held: 0,
    written: 0,
  }));

  const add = async (index: number, digests: Uint8Array, count: number): Promise<void> => {
    const level = levels[index];
    if (level === undefined) {
      root.set(digests.subarray(0, digestSize));
      return;
    }
    const room = (level.buffer.length / blockSize) * digestsPerBlock;
    for (let done = 0; done < count;) {
      const taken = Math.min(room - level.held, count - done);
      place(level, digests.subarray(done * aligned, (done + taken) * aligned), taken);
      done += taken;
      if (level.held === room) await flush(index, level);
    }
  };

  const place = (level: OpenLevel, digests: Uint8Array, count: number): void => {
    if (stride === aligned && digestsPerBlock * stride === blockSize) {
      level.buffer.set(digests, level.held * stride);
    } else {
      for (let i = 0; i < count; i += 1) {
        const index = level.held + i;
        const block = Math.floor(index / digestsPerBlock);
        const at = block * blockSize + (index % digestsPerBlock) * stride;
        level.buffer.set(digests.subarray(i * aligned, i * aligned + digestSize), at);
      }
    }
    level.held += count;
  };

  const flush = async (index: number, level: OpenLevel): Promise<void> => {
    const blocks = divCeil(level.held, digestsPerBlock);
    const bytes = level.buffer.subarray(0, blocks * blockSize);
    const { offset = 0 } = layout.levels[index] ?? {};
    await target.write(offset + level.written * blockSize, bytes);
    await hashBlocks(bytes, level.hashed);
    bytes.fill(0);
    level.held = 0;
    level.written += blocks;
    await add(index + 1, level.hashed, blocks);
  };

  return {
    add: (digests, count) => add(0, digests, count),
    async finish() {
      for (const [index, level] of levels.entries()) {
        if (level.held > 0) await flush(index, level);
      }
      return root;
    },
  };
}
