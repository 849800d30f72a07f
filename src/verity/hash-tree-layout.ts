/**
 * Where the blocks of a hash tree are. dm-verity, fs-verity and APK Signature Scheme v4 share this
 * layout: the top level first, the leaves last, each level padded with zeros to blocks.
 *
 * dm-verity's hash type 0 (Chromium OS) differs within a block only: its digests stand side by side,
 * where all others keep them at multiples of a power of two.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 * @see https://docs.kernel.org/filesystems/fsverity.html
 */

import { digestSize } from '../core/digest.ts';
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

/** dm-verity's `hash_type`. */
export type HashType = 0 | 1;

export interface HashTreeLayout {
  /** Bytes a hash block. */
  readonly blockSize: number;
  readonly digestSize: number;
  /** How far apart digests stand in a hash block. */
  readonly digestStride: number;
  /** A power of two. */
  readonly digestsPerBlock: number;
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
 * @param parameters `blockSize` is that of the hash blocks. `hashType` is 1 unless told.
 * @throws {RangeError} when the block size is not a power of two that holds two digests (at most
 *   64 KiB), or the number of blocks is not sensible.
 */
export function hashTreeLevels(
  dataBlocks: number,
  parameters: {
    readonly algorithm: TreeAlgorithm;
    readonly blockSize: number;
    readonly hashType?: HashType | undefined;
  },
): HashTreeLayout {
  const { algorithm, blockSize, hashType = 1 } = parameters;
  const aligned = digestStride(algorithm);
  if (!isBlockSize(blockSize) || blockSize < 2 * aligned) {
    throw new RangeError(
      `Cannot lay out a hash tree: block size ${blockSize} is not a power of two of ${2 * aligned} to ${MAX_BLOCK_SIZE}`,
    );
  }
  if (!Number.isInteger(dataBlocks) || dataBlocks < 0 || dataBlocks > MAX_DATA_BLOCKS) {
    throw new RangeError(`Cannot lay out a hash tree over ${dataBlocks} blocks`);
  }
  const size = digestSize[algorithm];
  const stride = hashType === 0 ? size : aligned;
  const digestsPerBlock = 2 ** Math.floor(Math.log2(blockSize / stride));
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
  return {
    blockSize,
    digestSize: size,
    digestStride: stride,
    digestsPerBlock,
    dataBlocks,
    levels,
    treeSize,
  };
}

/** Whether a tree may have blocks of this size: a power of two up to 64 KiB. */
export function isBlockSize(size: number): boolean {
  return size > 0 && size <= MAX_BLOCK_SIZE && Number.isInteger(Math.log2(size));
}
