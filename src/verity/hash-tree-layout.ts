/**
 * Where the blocks of a hash tree are. dm-verity (version 1), fs-verity and APK Signature Scheme v4
 * share this layout: the top level first, the leaves last, each level padded with zeros to blocks.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 * @see https://docs.kernel.org/filesystems/fsverity.html
 */

import { divCeil } from '../core/math.ts';
import { digestStride, type TreeAlgorithm } from './block-hasher.ts';

interface HashTreeLevel {
  /** 0 is the level whose digests are those of the data blocks. */
  readonly level: number;
  /** Offset in the tree, in bytes. */
  readonly offset: number;
  /** Hash blocks of this level. */
  readonly blocks: number;
  /** Digests this level holds: one for each block of the level below, or of the data. */
  readonly digests: number;
}

export interface HashTreeLayout {
  readonly blockSize: number;
  readonly digestStride: number;
  readonly dataBlocks: number;
  /** By level: the leaves first. Empty when one block or none is all the data. */
  readonly levels: readonly HashTreeLevel[];
  /** The whole tree, in bytes. */
  readonly treeSize: number;
}

/** The largest block the kernel's verity targets could ever take; it bounds what a header may claim. */
const MAX_BLOCK_SIZE = 1 << 16;

/** More is refused: a tree of this many blocks is a data size that no device has. */
const MAX_DATA_BLOCKS = 2 ** 40;

/**
 * The levels of the tree over `dataBlocks` blocks.
 *
 * @throws {RangeError} when the block size is not a power of two that holds two digests (at most
 *   64 KiB), or the number of blocks is not sensible.
 */
export function hashTreeLevels(
  dataBlocks: number,
  { algorithm, blockSize }: { readonly algorithm: TreeAlgorithm; readonly blockSize: number },
): HashTreeLayout {
  const stride = digestStride(algorithm);
  const isPowerOfTwo = Number.isInteger(Math.log2(blockSize));
  if (!isPowerOfTwo || blockSize < 2 * stride || blockSize > MAX_BLOCK_SIZE) {
    throw new RangeError(
      `Cannot lay out a hash tree: block size ${blockSize} is not a power of two of ${2 * stride} to ${MAX_BLOCK_SIZE}`,
    );
  }
  if (!Number.isInteger(dataBlocks) || dataBlocks < 0 || dataBlocks > MAX_DATA_BLOCKS) {
    throw new RangeError(`Cannot lay out a hash tree over ${dataBlocks} blocks`);
  }
  const digestsPerBlock = blockSize / stride;
  const digestCounts: number[] = [];
  for (let below = dataBlocks; below > 1; below = divCeil(below, digestsPerBlock)) {
    digestCounts.push(below);
  }
  let treeSize = 0;
  const levels: HashTreeLevel[] = [];
  for (const [level, digests] of [...digestCounts.entries()].reverse()) {
    const blocks = divCeil(digests, digestsPerBlock);
    levels.unshift({ level, offset: treeSize, blocks, digests });
    treeSize += blocks * blockSize;
  }
  return { blockSize, digestStride: stride, dataBlocks, levels, treeSize };
}
