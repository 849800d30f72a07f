/**
 * Places inodes in the metadata area.
 *
 * What fits a block stays within one, as the kernel demands of an inode with inline data. The gaps
 * this leaves are filled by later inodes, but only in the newest blocks: the writer can then finish
 * and forget a block soon, and memory does not grow with the image.
 */

import { alignUp, divCeil } from '../../core/math.ts';
import { EROFS_SLOTSIZE } from './layout.ts';

/** How many gaps are remembered where the writer forgets blocks. */
const OPEN_BLOCKS = 64;

export interface MetadataAllocator {
  /**
   * @param head Bytes of the inode and its xattrs; may be longer than a block.
   * @param tail Bytes of inline data; with them the whole must fit a block.
   * @returns the offset in the image.
   */
  place(head: number, tail: number): number;
  /**
   * As `place`, of what does not fit a block together: the inline data is within a block, which the
   * inode may be before.
   */
  placeAcross(head: number, tail: number): number;
  /** The size of the area so far, in blocks. */
  blocks(): number;
}

/**
 * @param start The first free byte of the image.
 * @param openBlocks How many gaps are remembered.
 */
export function createMetadataAllocator(
  blockSize: number,
  start: number,
  openBlocks = OPEN_BLOCKS,
): MetadataAllocator {
  /** Gaps, oldest first, each within a block. */
  const open: { offset: number; room: number }[] = [];
  let end = alignUp(start, EROFS_SLOTSIZE);

  const remember = (offset: number, to: number): void => {
    const room = to - offset;
    if (room < EROFS_SLOTSIZE) return;
    open.push({ offset, room });
    if (open.length > openBlocks) open.shift();
  };

  return {
    place(head, tail) {
      const need = alignUp(head + tail, EROFS_SLOTSIZE);
      let best: (typeof open)[number] | undefined;
      for (const gap of open) {
        if (gap.room >= need && (best === undefined || gap.room < best.room)) best = gap;
      }
      if (best !== undefined) {
        const { offset } = best;
        best.offset += need;
        best.room -= need;
        if (best.room < EROFS_SLOTSIZE) open.splice(open.indexOf(best), 1);
        return offset;
      }
      const left = alignUp(end, blockSize) - end;
      if (need > left) {
        if (left > 0) remember(end, end + left);
        end += left;
      }
      const offset = end;
      end += need;
      return offset;
    },
    placeAcross(head, tail) {
      // The head ends as soon behind the start of a block as inodes can.
      const before = head - (head % EROFS_SLOTSIZE);
      const offset = alignUp(end + before, blockSize) - before;
      for (let gap = end; gap < offset;) {
        remember(gap, Math.min(offset, alignUp(gap + 1, blockSize)));
        gap = alignUp(gap + 1, blockSize);
      }
      end = offset + alignUp(head + tail, EROFS_SLOTSIZE);
      return offset;
    },
    blocks: () => divCeil(end, blockSize),
  };
}
