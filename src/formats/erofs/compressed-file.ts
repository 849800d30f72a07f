/** A file whose data arrives compressed, an extent at a time: what of it is where. */

import { EXTENT_WORDS, type StoredData } from '../../compression/cluster-batch.ts';
import { divCeil } from '../../core/math.ts';
import { bytesContent, regularFile } from '../../io/file-tree.ts';
import type { CompressedSegment } from './compress-ahead.ts';
import { isPlainTable, storedBlocks } from './compress-tail.ts';
import {
  createIndexEncoder,
  encodeWholeFragment,
  indexLayout,
  type IndexedTail,
  type IndexFormat,
} from './encode-cluster-index.ts';
import { ExtentList } from './extent-list.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import type { ImageAppender } from './image-appender.ts';
import { EROFS_INODE_COMPRESSED_FULL, EROFS_SLOTSIZE } from './layout.ts';
import type { PackedFile } from './packed-file.ts';
import { flatLayout, recordSize, type PlannedInode } from './plan.ts';
import type { StoredFile } from './reuse.ts';

/** `h_idata_size` has 16 bits, which one block can exceed. */
const MAX_INLINE_SIZE = 0xffff;

/** Bytes that can stand behind the index of a file: within a block, which may follow the inode's. */
export function roomBehindIndex(planned: PlannedInode, blockSize: number): number {
  const head = recordSize(planned);
  const indexed = head + indexLayout(planned.size, head, blockSize).size;
  return Math.min(blockSize - (indexed % EROFS_SLOTSIZE), MAX_INLINE_SIZE);
}

/** How a file came to be stored. */
export interface WrittenFile {
  readonly isCompressed: boolean;
  /** What stands behind the inode and its index. */
  readonly tail: Uint8Array;
  /** Whether part of it is in the packed inode. */
  readonly hasFragment?: boolean;
}

export interface FileWriter {
  /**
   * Writes the next segment, whose bytes are not used again; at the last one fills in how the file is
   * stored. Its index is valid until the next file's.
   *
   * @returns undefined when the file goes on.
   */
  add(segment: CompressedSegment): WrittenFile | undefined;
  /** Writes a file as another image stores it, which `source` holds, and fills in how. */
  addStored(planned: PlannedInode, stored: StoredFile, source: ByteSource): Promise<WrittenFile>;
  /** How the last file is stored, whose inode has its indexes still; `tailOffset` counts from the inode. */
  describe(planned: PlannedInode, written: WrittenFile): StoredFile;
}

/** Writes the data of one file after the other. */
export function createFileWriter(
  image: ImageAppender,
  format: IndexFormat,
  packed: PackedFile | undefined,
): FileWriter {
  const { blockSize } = format;
  const indexes = createIndexEncoder(format);
  /** Of the file so far. */
  const extents = new ExtentList(0);
  let isOpen = false;

  /** Fills in how a file with compressed data is stored. */
  const setCompressed = (planned: PlannedInode, tail: IndexedTail | undefined): void => {
    const layout = indexLayout(planned.size, recordSize(planned), blockSize);
    planned.dataLayout = layout.dataLayout;
    planned.bodyBlocks = extents.blocks - (tail !== undefined && 'inlineSize' in tail ? 1 : 0);
    planned.word = planned.bodyBlocks;
    planned.indexes = indexes.encode(layout, extents, tail);
  };
  /** The last segment of a file that stays flat: what is written of it are the blocks of a flat file. */
  const addFlatEnd = ({ planned, bytes }: CompressedSegment, firstBlock: number): WrittenFile => {
    const flat = flatLayout(planned.size, recordSize(planned), blockSize);
    planned.dataLayout = flat.dataLayout;
    planned.bodyBlocks = flat.bodyBlocks;
    planned.tailSize = flat.tailSize;
    const body = bytes.length - planned.tailSize;
    if (body > 0) image.appendBlocks(bytes.subarray(0, body));
    if (planned.bodyBlocks > 0) planned.blockAddress = firstBlock;
    return { isCompressed: false, tail: bytes.subarray(body) };
  };
  /** The end of a file that goes to the packed inode. */
  const addFragment = (
    planned: PlannedInode,
    fragment: Uint8Array,
    packedFile: PackedFile,
  ): WrittenFile => {
    const fragmentOffset = packedFile.add(fragment);
    planned.tailSize = 0;
    if (fragmentOffset === undefined) {
      // There is no place left: it is stored in blocks, as it is.
      for (let at = 0; at < fragment.length; at += blockSize) {
        const piece = fragment.subarray(at, at + blockSize);
        image.appendBlocks(piece);
        extents.add(piece.length, 1, true);
      }
      setCompressed(planned, undefined);
    } else if (extents.count === 0) {
      planned.dataLayout = EROFS_INODE_COMPRESSED_FULL;
      planned.word = 0;
      planned.bodyBlocks = 0;
      planned.indexes = encodeWholeFragment(recordSize(planned), fragmentOffset);
    } else {
      extents.add(fragment.length, 0, false);
      setCompressed(planned, { fragmentOffset });
    }
    return { isCompressed: true, tail: NO_BYTES, hasFragment: true };
  };

  const copyBlocks = async (source: ByteSource, offset: number, size: number): Promise<void> => {
    for await (const chunk of streamOf(source, offset, size)) {
      image.appendBlocks(chunk);
      if (image.isBehind) await image.settle();
    }
  };

  return {
    add(segment) {
      const { planned, data, tail, isLast, fragment } = segment;
      if (!isOpen) extents.restart(image.nextBlock);
      isOpen = !isLast;
      const firstBlock = extents.count === 0 ? extents.nextBlock : extents.firstBlockOf(0);
      if (isLast && fragment === undefined && staysFlat(segment, extents, blockSize)) {
        return addFlatEnd(segment, firstBlock);
      }
      appendExtents(data, image, blockSize, extents);
      if (!isLast) return undefined;
      if (fragment !== undefined && packed !== undefined) {
        return addFragment(planned, fragment, packed);
      }
      planned.tailSize = tail?.bytes.length ?? 0;
      // A tail counts as a block like any other, although it has none.
      if (tail !== undefined) extents.add(tail.length, 1, tail.isPlain);
      const inlineSize = planned.tailSize;
      setCompressed(planned, inlineSize > 0 ? { inlineSize } : undefined);
      return { isCompressed: true, tail: tail?.bytes ?? NO_BYTES };
    },
    async addStored(planned, { bodyOffset, bodySize, tailOffset, clusters }, source) {
      const firstBlock = image.nextBlock;
      if (clusters === undefined) {
        Object.assign(planned, flatLayout(planned.size, recordSize(planned), blockSize));
        if (planned.bodyBlocks > 0) planned.blockAddress = firstBlock;
        await copyBlocks(source, bodyOffset, bodySize);
        return { isCompressed: false, tail: await source.read(tailOffset, planned.tailSize) };
      }
      extents.restart(firstBlock);
      for (let at = 0; at < clusters.extents.length; at += 2) {
        const length = clusters.extents[at] ?? 0;
        extents.add(length >>> 1, clusters.extents[at + 1] ?? 0, (length & 1) === 1);
      }
      const inlineSize = clusters.tailSize;
      planned.tailSize = inlineSize;
      setCompressed(planned, inlineSize > 0 ? { inlineSize } : undefined);
      await copyBlocks(source, bodyOffset, bodySize);
      return { isCompressed: true, tail: await source.read(tailOffset, inlineSize) };
    },
    describe(planned, { isCompressed }) {
      const { size, tailSize, bodyBlocks } = planned;
      const record = recordSize(planned);
      const tailOffset = tailSize > 0 ? record + (planned.indexes?.length ?? 0) : 0;
      const common = { size, tailOffset, recordSize: record };
      if (isCompressed) {
        return {
          ...common,
          bodyOffset: bodyBlocks > 0 ? extents.firstBlockOf(0) * blockSize : 0,
          bodySize: bodyBlocks * blockSize,
          clusters: { extents: extents.toNumbers(), tailSize },
        };
      }
      const bodyOffset = bodyBlocks > 0 ? planned.blockAddress * blockSize : 0;
      return { ...common, bodyOffset, bodySize: size - tailSize };
    },
  };
}

const NO_BYTES = new Uint8Array(0);

/** Whether the file, which ends with a segment, is stored as it is. */
function staysFlat(
  { planned, data, tail }: CompressedSegment,
  before: ExtentList,
  blockSize: number,
): boolean {
  if (before.count > 0) {
    const savesBlocks = tail !== undefined && tail.length > blockSize;
    return before.isPlain && isPlainTable(data.extents) && !savesBlocks;
  }
  // It is at hand as a whole.
  const head = recordSize(planned);
  const flat = flatLayout(planned.size, head, blockSize);
  const index = indexLayout(planned.size, head, blockSize).size;
  const blocks = storedBlocks(data.extents, blockSize);
  const indexed = blocks * blockSize + index + (tail?.bytes.length ?? 0);
  return indexed >= flat.bodyBlocks * blockSize + flat.tailSize;
}

/** Writes extents, each in its own blocks: compressed data stands at their end, other at their start. */
export function appendExtents(
  { extents, bytes }: StoredData,
  image: ImageAppender,
  blockSize: number,
  list: ExtentList,
): void {
  let at = 0;
  /** Where blocks start that need no padding. */
  let whole = 0;
  for (let word = 0; word < extents.length; word += EXTENT_WORDS) {
    const storedLength = extents[word + 1] ?? 0;
    const isPlain = extents[word + 2] === 1;
    const blocks = divCeil(storedLength, blockSize);
    list.add(extents[word] ?? 0, blocks, isPlain);
    const padding = blocks * blockSize - storedLength;
    const end = at + storedLength;
    if (padding > 0) {
      if (at > whole) image.appendBlocks(bytes.subarray(whole, at));
      image.appendBlocks(bytes.subarray(at, end), isPlain ? 0 : padding);
      whole = end;
    }
    at = end;
  }
  if (at > whole) image.appendBlocks(bytes.subarray(whole, at));
}

/** The inode of the packed file, which has no name. */
export function planPacked(
  packed: PackedFile,
  number: number,
  buildTime: number,
  format: IndexFormat,
): PlannedInode {
  const { size, blocks } = packed;
  const record = { extended: false, xattrs: NO_BYTES };
  const layout = indexLayout(size, recordSize(record), format.blockSize, true);
  const content = { size, stream: () => bytesContent(NO_BYTES).stream() };
  return {
    ...record,
    path: '(packed files)',
    inode: regularFile(content, { mode: 0o600, mtime: buildTime }),
    number,
    nlink: 1,
    mtime: buildTime,
    mtimeNsec: 0,
    offset: 0,
    size,
    dirents: [],
    direntBlocks: [],
    blockAddress: 0,
    dataLayout: layout.dataLayout,
    bodyBlocks: blocks,
    word: blocks,
    tailSize: 0,
    indexes: createIndexEncoder(format).encode(layout, packed.extents),
  };
}
