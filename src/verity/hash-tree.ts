/**
 * Building a hash tree in memory: over a finished source, or while an image is written.
 *
 * The digests of the data blocks go straight to their final place in the tree, so a tree in the
 * making costs its own size (32 bytes a block for SHA-256) and nothing is copied. For data without
 * bound there is `writeHashTree`, which keeps a window of it.
 */

import { digestSize } from '../core/digest.ts';
import { alignUp, divCeil } from '../core/math.ts';
import { STREAM_CHUNK, type ByteSource } from '../io/byte-source.ts';
import type { ImageSink } from '../io/image-sink.ts';
import {
  digestStride,
  nodeBlockHasher,
  type BlockHasher,
  type BlockHashParameters,
  type TreeAlgorithm,
} from './block-hasher.ts';
import { hashSourceBlocks } from './hash-source.ts';
import { hashTreeLevels, type HashTreeLayout } from './hash-tree-layout.ts';

export interface HashTreeOptions {
  readonly algorithm: TreeAlgorithm;
  /** Bytes a block, of the data as of the tree. Default 4096. */
  readonly blockSize?: number;
  /** Hashed before each block. Default none. */
  readonly salt?: Uint8Array;
  /** Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher;
  /** Aborts reading and hashing; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

export interface HashTree {
  readonly rootDigest: Uint8Array;
  /** All levels, the top one first; empty when the data is one block. */
  readonly tree: Uint8Array;
}

/** A tree in memory whose leaves are filled first, in any order. */
interface PendingTree {
  readonly layout: HashTreeLayout;
  /** The digests of the data blocks, `digestStride` apart. */
  readonly leaves: Uint8Array;
  finish(): Promise<HashTree>;
}

/** The options with their defaults, and the hasher apart from what it is told. */
export function hashParameters(options: HashTreeOptions): {
  readonly parameters: BlockHashParameters;
  readonly hasher: BlockHasher;
} {
  const { algorithm, blockSize = 4096, salt = new Uint8Array(0) } = options;
  return {
    parameters: { algorithm, blockSize, salt },
    hasher: options.hasher ?? nodeBlockHasher,
  };
}

function pendingTree(
  dataBlocks: number,
  parameters: BlockHashParameters,
  hasher: BlockHasher,
): PendingTree {
  const layout = hashTreeLevels(dataBlocks, parameters);
  const tree = new Uint8Array(layout.treeSize);
  const levelBytes = (level: number): Uint8Array | undefined => {
    const at = layout.levels[level];
    return at && tree.subarray(at.offset, at.offset + at.blocks * layout.blockSize);
  };
  // One block has no tree: its digest is the root. No block at all has the root of fs-verity's
  // empty file, which is zeros.
  const root = new Uint8Array(layout.digestStride);
  return {
    layout,
    leaves: levelBytes(0) ?? root,
    async finish() {
      for (let level = 0; level < layout.levels.length; level += 1) {
        const below = levelBytes(level);
        if (below) await hasher.hashBlocks(parameters, below, levelBytes(level + 1) ?? root);
      }
      return { rootDigest: root.slice(0, digestSize[parameters.algorithm]), tree };
    },
  };
}

/**
 * The hash tree over a whole source, whose last block is padded with zeros.
 *
 * With SHA-256, blocks of 4096 and no salt it is the Merkle tree of an APK's idsig; see
 * `fsVeritySalt` for fs-verity's rule on salts.
 *
 * @throws {RangeError} on a block size that is no power of two or too small for two digests.
 */
export async function computeHashTree(
  source: ByteSource,
  options: HashTreeOptions,
): Promise<HashTree> {
  const { parameters, hasher } = hashParameters(options);
  const { blockSize } = parameters;
  const blocks = divCeil(source.size, blockSize);
  const pending = pendingTree(blocks, parameters, hasher);
  const all = { first: 0, blocks };
  await hashSourceBlocks(source, all, parameters, hasher, pending.leaves, options.signal);
  return pending.finish();
}

/** fs-verity hashes a salt that is not empty as whole blocks of the hash function, padded with zeros. */
export function fsVeritySalt(algorithm: TreeAlgorithm, salt: Uint8Array): Uint8Array {
  const hashBlock = algorithm === 'sha384' || algorithm === 'sha512' ? 128 : 64;
  const padded = new Uint8Array(alignUp(salt.length, hashBlock));
  padded.set(salt);
  return padded;
}

export interface HashTreeSinkOptions extends HashTreeOptions {
  /** What the tree covers, in bytes: whole blocks, at least one. */
  readonly dataSize: number;
  /** Where in the target the tree goes, in bytes: at or behind the end of the data. Default there. */
  readonly hashOffset?: number;
}

export interface WrittenHashTree {
  readonly rootDigest: Uint8Array;
  /** In bytes, from the start of the target. */
  readonly treeOffset: number;
  readonly treeSize: number;
}

export interface HashTreeSink extends ImageSink {
  /** Writes the tree behind the data. Blocks that were never written are taken as zeros. Once only. */
  finish(): Promise<WrittenHashTree>;
}

/**
 * A sink that passes whole blocks on and hashes them while they are in the cache. Blocks may come
 * in any order; of one written twice, the later counts. The tree is in memory until it is finished,
 * since any block may still change: 8 MiB a GiB with SHA-256 and blocks of 4096.
 *
 * `truncate` accepts the data's size only: the tree stands behind it.
 *
 * @throws {RangeError} when sizes or offsets are not whole blocks, or a write leaves the data.
 */
export function createHashTreeSink(target: ImageSink, options: HashTreeSinkOptions): HashTreeSink {
  const { dataSize, hashOffset = dataSize } = options;
  const { parameters, hasher } = hashParameters(options);
  const { blockSize, algorithm } = parameters;
  const stride = digestStride(algorithm);
  if (dataSize <= 0 || dataSize % blockSize !== 0 || hashOffset < dataSize) {
    throw new RangeError(
      `Cannot build a hash tree over ${dataSize} bytes with the tree at ${hashOffset}: the data must be whole blocks of ${blockSize}, the tree behind them`,
    );
  }
  const pending = pendingTree(dataSize / blockSize, parameters, hasher);
  const written = new Uint8Array(pending.layout.dataBlocks);
  let finished = false;

  return {
    async write(offset, chunk) {
      options.signal?.throwIfAborted();
      if (offset % blockSize !== 0 || chunk.length % blockSize !== 0) {
        throw new RangeError(
          `Cannot hash ${chunk.length} bytes at ${offset}: not whole blocks of ${blockSize}`,
        );
      }
      if (offset < 0 || offset + chunk.length > dataSize || finished) {
        throw new RangeError(
          `Cannot write ${chunk.length} bytes at ${offset}: the hash tree covers ${dataSize} bytes${finished ? ' and is finished' : ''}`,
        );
      }
      const first = offset / blockSize;
      written.fill(1, first, first + chunk.length / blockSize);
      // The write runs on another thread while this one hashes.
      const passedOn = target.write(offset, chunk);
      const digests = pending.leaves.subarray(first * stride);
      await Promise.all([passedOn, hasher.hashBlocks(parameters, chunk, digests)]);
    },

    async truncate(size) {
      if (size !== dataSize) {
        throw new RangeError(`Cannot truncate to ${size}: the hash tree covers ${dataSize} bytes`);
      }
      await target.truncate(size);
    },

    async finish() {
      if (finished) throw new RangeError('Cannot finish a hash tree twice');
      finished = true;
      if (written.includes(0)) {
        const zero = new Uint8Array(stride);
        await hasher.hashBlocks(parameters, new Uint8Array(blockSize), zero);
        for (let at = written.indexOf(0); at !== -1; at = written.indexOf(0, at + 1)) {
          pending.leaves.set(zero, at * stride);
        }
      }
      const { rootDigest, tree } = await pending.finish();
      for (let at = 0; at < tree.length; at += STREAM_CHUNK) {
        await target.write(hashOffset + at, tree.subarray(at, at + STREAM_CHUNK));
      }
      return { rootDigest, treeOffset: hashOffset, treeSize: tree.length };
    },
  };
}
