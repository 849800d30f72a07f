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

/** Within a block. */
interface Gap {
  readonly age: number;
  offset: number;
  /** How many are free; 0 when it was filled. */
  slots: number;
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
  /** Gaps of each number of slots, oldest first. */
  const bySlots: Gap[][] = Array.from({ length: blockSize / EROFS_SLOTSIZE + 1 }, () => []);
  /** All of them, oldest first, with some that were filled. */
  const remembered: Gap[] = [];
  let count = 0;
  let ages = 0;
  let end = alignUp(start, EROFS_SLOTSIZE);

  const insert = (gap: Gap): void => {
    const gaps = bySlots[gap.slots] ?? [];
    let at = gaps.length;
    while (at > 0 && (gaps[at - 1]?.age ?? 0) > gap.age) at -= 1;
    gaps.splice(at, 0, gap);
  };
  /** The oldest gap of the smallest that are large enough. */
  const take = (slots: number): Gap | undefined => {
    if (count === 0) return undefined;
    for (let size = slots; size < bySlots.length; size += 1) {
      const gap = bySlots[size]?.shift();
      if (gap !== undefined) return gap;
    }
    return undefined;
  };
  const remember = (offset: number, to: number): void => {
    const slots = Math.floor((to - offset) / EROFS_SLOTSIZE);
    if (slots === 0) return;
    const gap = { age: (ages += 1), offset, slots };
    insert(gap);
    count += 1;
    if (openBlocks === Infinity) return;
    remembered.push(gap);
    while (count > openBlocks) {
      const oldest = remembered.shift();
      if (oldest === undefined || oldest.slots === 0) continue;
      const gaps = bySlots[oldest.slots];
      gaps?.splice(gaps.indexOf(oldest), 1);
      count -= 1;
    }
  };

  return {
    place(head, tail) {
      const need = alignUp(head + tail, EROFS_SLOTSIZE);
      const slots = need / EROFS_SLOTSIZE;
      const gap = take(slots);
      if (gap !== undefined) {
        const { offset } = gap;
        gap.offset += need;
        gap.slots -= slots;
        if (gap.slots > 0) insert(gap);
        else count -= 1;
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
