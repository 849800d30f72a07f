/**
 * How large an image may be, so that it fits into a partition with what is put behind it. These are
 * avbtool's figures, which leave room for the largest vbmeta.
 */

import { alignUp, divCeil } from '../../core/math.ts';
import { AVB_IMAGE_BLOCK_SIZE, AVB_VBMETA_MAX_SIZE } from '../../formats/avb/layout.ts';
import type { TreeAlgorithm } from '../../verity/block-hasher.ts';
import { fecLayout } from '../../verity/fec/layout.ts';
import { hashTreeLevels } from '../../verity/hash-tree-layout.ts';

/** Room for the largest vbmeta and the block of the footer, in bytes. */
export const MAX_METADATA_SIZE: number = AVB_VBMETA_MAX_SIZE + AVB_IMAGE_BLOCK_SIZE;

export interface HashtreeSpace {
  readonly algorithm: TreeAlgorithm;
  readonly blockSize: number;
  /** Undefined without FEC. */
  readonly fecRoots?: number | undefined;
}

/**
 * The largest image in a partition with a hashtree footer, in bytes; below zero when not even the
 * metadata fits.
 *
 * @param space Undefined when the tree is left out.
 */
export function maxHashtreeImageSize(
  partitionSize: number,
  space: HashtreeSpace | undefined,
): number {
  if (space === undefined) return partitionSize - MAX_METADATA_SIZE;
  const { algorithm, blockSize, fecRoots } = space;
  const { treeSize } = hashTreeLevels(divCeil(partitionSize, blockSize), { algorithm, blockSize });
  // The external program that avbtool asks counts a block for its own header.
  const fecSize =
    fecRoots === undefined
      ? 0
      : fecLayout(alignUp(partitionSize, blockSize), blockSize, fecRoots).paritySize +
        AVB_IMAGE_BLOCK_SIZE;
  return partitionSize - MAX_METADATA_SIZE - treeSize - fecSize;
}
