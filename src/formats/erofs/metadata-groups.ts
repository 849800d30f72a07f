/**
 * Metadata of an image that grows: inodes come together in memory and go to the image in large
 * groups, so that a walk over the tree reads few places.
 */

import type { ImageAppender } from './image-appender.ts';
import { createMetadataAllocator, type MetadataAllocator } from './metadata-allocator.ts';
import { inodeSize, type PlannedInode } from './plan.ts';

/** Bytes of inodes in memory, after which a group is full. */
const GROUP_SIZE = 16 << 20;

export interface MetadataGroups {
  /**
   * @param record The inode with everything behind it.
   */
  add(planned: PlannedInode, record: Uint8Array): Promise<void>;
  /**
   * Writes the last group.
   *
   * @param more Inodes that belong to it but cannot be encoded before every inode has its place.
   * @param placed Called when all have, with the block behind the group.
   */
  finish(
    more: readonly PlannedInode[],
    placed: (nextBlock: number) => void,
    encode: (planned: PlannedInode) => Uint8Array,
  ): Promise<void>;
}

interface Piece {
  readonly planned: PlannedInode;
  /** In the group. */
  readonly offset: number;
  readonly record: Uint8Array | undefined;
}

export function createMetadataGroups(image: ImageAppender, blockSize: number): MetadataGroups {
  let pieces: Piece[] = [];
  let size = 0;
  let allocator: MetadataAllocator = createMetadataAllocator(blockSize, 0, Infinity);

  const place = (planned: PlannedInode, record: Uint8Array | undefined): void => {
    const head = inodeSize(planned);
    const { tailSize } = planned;
    const isLong = tailSize > 0 && head + tailSize > blockSize;
    const offset = isLong ? allocator.placeAcross(head, tailSize) : allocator.place(head, tailSize);
    pieces.push({ planned, offset, record });
    size += record?.length ?? 0;
  };
  /** The group stands where the image ends now. */
  const settle = (): number => {
    const start = image.nextBlock;
    for (const { planned, offset } of pieces) planned.offset = start * blockSize + offset;
    return start + allocator.blocks();
  };
  const write = async (encode: (planned: PlannedInode) => Uint8Array): Promise<void> => {
    const inOrder = pieces.toSorted((a, b) => a.offset - b.offset);
    pieces = [];
    size = 0;
    allocator = createMetadataAllocator(blockSize, 0, Infinity);
    await image.appendPieces(encoded(inOrder, encode));
  };

  return {
    async add(planned, record) {
      place(planned, record);
      if (size < GROUP_SIZE) return;
      settle();
      await write(() => new Uint8Array(0));
    },
    async finish(more, placed, encode) {
      for (const planned of more) place(planned, undefined);
      placed(settle());
      await write(encode);
    },
  };
}

function* encoded(
  pieces: readonly Piece[],
  encode: (planned: PlannedInode) => Uint8Array,
): Generator<{ offset: number; bytes: Uint8Array }> {
  for (const { planned, offset, record } of pieces) {
    yield { offset, bytes: record ?? encode(planned) };
  }
}
