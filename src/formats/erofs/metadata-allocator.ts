/**
 * Places inodes in the metadata area.
 *
 * What fits a block stays within one, as the kernel demands of an inode with inline data. The gaps
 * this leaves are filled by later inodes, but only in the newest blocks: the writer can then finish
 * and forget a block soon, and memory does not grow with the image.
 */

import { alignUp, divCeil } from '../../core/math.ts';
import { EROFS_SLOTSIZE } from './layout.ts';

/** How many blocks with gaps are remembered. */
const OPEN_BLOCKS = 64;

export interface MetadataAllocator {
  /**
   * @param head Bytes of the inode and its xattrs; may be longer than a block.
   * @param tail Bytes of inline data; with them the whole must fit a block.
   * @returns the offset in the image.
   */
  place(head: number, tail: number): number;
  /** The size of the area so far, in blocks. */
  blocks(): number;
}

/** @param start The first free byte of the image. */
export function createMetadataAllocator(blockSize: number, start: number): MetadataAllocator {
  /** Gaps, oldest first: each runs from `offset` to the end of its block. */
  const open: { offset: number; room: number }[] = [];
  let end = alignUp(start, EROFS_SLOTSIZE);

  const remember = (offset: number): void => {
    const room = alignUp(offset, blockSize) - offset;
    if (room < EROFS_SLOTSIZE) return;
    open.push({ offset, room });
    if (open.length > OPEN_BLOCKS) open.shift();
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
        if (left > 0) remember(end);
        end += left;
      }
      const offset = end;
      end += need;
      return offset;
    },
    blocks: () => divCeil(end, blockSize),
  };
}
