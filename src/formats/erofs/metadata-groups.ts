/**
 * Metadata of an image that grows: inodes come together in memory and go to the image in large
 * groups, so that a walk over the tree reads few places.
 */

import { alignUp } from '../../core/math.ts';
import { encodeInodeAt } from './encode.ts';
import type { ImageAppender } from './image-appender.ts';
import { createMetadataAllocator, type MetadataAllocator } from './metadata-allocator.ts';
import { inodeSize, type PlannedInode } from './plan.ts';

/** Bytes of inodes in memory, after which a group is full. */
const GROUP_SIZE = 16 << 20;
/** So much memory a group takes at first, and so much of it is written at a time. */
const START_SIZE = 1 << 20;

export interface MetadataGroups {
  /**
   * Encodes an inode.
   *
   * @param tail What stands behind it and its indexes, which are not used again.
   */
  add(planned: PlannedInode, tail: Uint8Array): void;
  readonly isFull: boolean;
  /** Writes the group; the next one is another. */
  write(): Promise<void>;
  /**
   * Writes the last group.
   *
   * @param more Inodes that belong to it but cannot be encoded before every inode has its place.
   * @param placed Called when all have, with the block behind the group.
   * @param tailOf What stands behind them.
   */
  finish(
    more: readonly PlannedInode[],
    placed: (nextBlock: number) => void,
    tailOf: (planned: PlannedInode) => Uint8Array,
  ): Promise<void>;
}

export function createMetadataGroups(image: ImageAppender, blockSize: number): MetadataGroups {
  /** The blocks of the group: inodes are encoded where they will stand. */
  let bytes = new Uint8Array(START_SIZE);
  let view = new DataView(bytes.buffer);
  let members: PlannedInode[] = [];
  let size = 0;
  let allocator: MetadataAllocator = createMetadataAllocator(blockSize, 0, Infinity);

  /** Its place in the group. */
  const place = (planned: PlannedInode): number => {
    const head = inodeSize(planned);
    const { tailSize } = planned;
    const isLong = tailSize > 0 && head + tailSize > blockSize;
    planned.offset = isLong
      ? allocator.placeAcross(head, tailSize)
      : allocator.place(head, tailSize);
    members.push(planned);
    return planned.offset;
  };
  const encode = (planned: PlannedInode, offset: number, tail: Uint8Array): void => {
    const needed = offset + inodeSize(planned) + tail.length;
    if (needed > bytes.length) {
      const grown = new Uint8Array(Math.max(alignUp(needed, blockSize), bytes.length * 2));
      grown.set(bytes);
      bytes = grown;
      view = new DataView(bytes.buffer);
    }
    const head = encodeInodeAt(planned, bytes, view, offset);
    bytes.set(tail, offset + head);
  };
  /** The group stands where the image ends now. */
  const settle = (): number => {
    const start = image.nextBlock;
    for (const planned of members) planned.offset += start * blockSize;
    return start + allocator.blocks();
  };
  const write = async (): Promise<void> => {
    const end = allocator.blocks() * blockSize;
    for (let at = 0; at < end; at += START_SIZE) {
      const part = bytes.subarray(at, Math.min(at + START_SIZE, end));
      image.appendBlocks(part);
      if (image.isBehind) await image.settle();
    }
    bytes.fill(0, 0, end);
    members = [];
    size = 0;
    allocator = createMetadataAllocator(blockSize, 0, Infinity);
  };

  return {
    add(planned, tail) {
      encode(planned, place(planned), tail);
      size += inodeSize(planned) + tail.length;
      planned.indexes = undefined;
    },
    get isFull() {
      return size >= GROUP_SIZE;
    },
    async write() {
      settle();
      await write();
    },
    async finish(more, placed, tailOf) {
      const offsets = more.map(place);
      placed(settle());
      for (const [index, planned] of more.entries()) {
        encode(planned, offsets[index] ?? 0, tailOf(planned));
      }
      await write();
    },
  };
}
