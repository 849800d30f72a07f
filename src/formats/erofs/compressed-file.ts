/** A file whose data arrives compressed, an extent at a time: what of it is where. */

import type { CompressedData } from '../../compression/cluster-compressor.ts';
import { divCeil } from '../../core/math.ts';
import { bytesContent, regularFile } from '../../io/file-tree.ts';
import type { CompressedSegment } from './compress-ahead.ts';
import {
  encodeClusterIndex,
  encodeWholeFragment,
  indexLayout,
  type IndexedTail,
  type StoredExtent,
} from './encode-cluster-index.ts';
import type { ImageAppender } from './image-appender.ts';
import { EROFS_INODE_COMPRESSED_FULL, EROFS_SLOTSIZE } from './layout.ts';
import type { PackedFile } from './packed-file.ts';
import { flatLayout, recordSize, type PlannedInode } from './plan.ts';

/** Extents by the million: two numbers each. */
interface ExtentList extends Iterable<StoredExtent> {
  readonly count: number;
  readonly blocks: number;
  /** Whether none is compressed. */
  readonly isPlain: boolean;
  add(extent: StoredExtent): void;
}

function createExtentList(): ExtentList {
  let numbers = new Uint32Array(16);
  let count = 0;
  let blocks = 0;
  let isPlain = true;
  return {
    get count() {
      return count;
    },
    get blocks() {
      return blocks;
    },
    get isPlain() {
      return isPlain;
    },
    add(extent) {
      if (count * 2 === numbers.length) {
        const grown = new Uint32Array(numbers.length * 2);
        grown.set(numbers);
        numbers = grown;
      }
      numbers[count * 2] = extent.length * 2 + (extent.isPlain ? 1 : 0);
      numbers[count * 2 + 1] = extent.blocks;
      count += 1;
      blocks += extent.blocks;
      isPlain &&= extent.isPlain;
    },
    *[Symbol.iterator]() {
      for (let at = 0; at < count * 2; at += 2) {
        const [first = 0, second = 0] = numbers.subarray(at, at + 2);
        yield { length: Math.floor(first / 2), blocks: second, isPlain: first % 2 === 1 };
      }
    },
  };
}

interface FileCompression {
  readonly blockSize: number;
  readonly bigPclusters: boolean;
  /** The number of the format for the algorithm. */
  readonly algorithm: number;
}

/** Bytes that can stand behind the index of a file: within a block, which may follow the inode's. */
export function roomBehindIndex(planned: PlannedInode, blockSize: number): number {
  const head = recordSize(planned);
  const indexed = head + indexLayout(planned.size, head, blockSize).size;
  return blockSize - (indexed % EROFS_SLOTSIZE);
}

/** How a file came to be stored. */
interface WrittenFile {
  readonly isCompressed: boolean;
  /** What stands behind the inode and its index. */
  readonly tail: Uint8Array;
}

/**
 * Writes the data of a file and fills in how it is stored.
 *
 * @param segments The next ones are the file's.
 */
export async function writeFile(
  planned: PlannedInode,
  segments: AsyncGenerator<CompressedSegment>,
  image: ImageAppender,
  format: FileCompression,
  packed: PackedFile | undefined,
): Promise<WrittenFile> {
  const extents = createExtentList();
  const firstBlock = image.nextBlock;
  for (;;) {
    const { value: segment, done } = await segments.next();
    if (done === true || segment.planned !== planned) throw new TypeError('Files come in order');
    const { data, tail, isLast, fragment } = segment;
    if (fragment !== undefined && packed !== undefined) {
      await appendExtents(data, image, format.blockSize, extents);
      return writeFragment(planned, fragment, extents, firstBlock, image, format, packed);
    }
    if (isLast && staysFlat(segment, extents, format)) {
      return writeFlatEnd(planned, segment, firstBlock, image, format);
    }
    await appendExtents(data, image, format.blockSize, extents);
    if (isLast) {
      planned.tailSize = tail?.bytes.length ?? 0;
      // A tail counts as a block like any other, although it has none.
      if (tail !== undefined) extents.add({ ...tail, blocks: 1 });
      const inlineSize = planned.tailSize;
      const where = inlineSize > 0 ? { inlineSize } : undefined;
      setCompressed(planned, extents, firstBlock, where, format);
      return { isCompressed: true, tail: tail?.bytes ?? NO_BYTES };
    }
  }
}

/** Whether the file, which ends with a segment, is stored as it is. */
function staysFlat(
  { planned, data, tail }: CompressedSegment,
  before: ExtentList,
  { blockSize }: FileCompression,
): boolean {
  if (before.count === 0) {
    // It is at hand as a whole.
    const head = recordSize(planned);
    const flat = flatLayout(planned.size, head, blockSize);
    const blocks = data.extents.reduce(
      (sum, each) => sum + divCeil(each.storedLength, blockSize),
      0,
    );
    const index = indexLayout(planned.size, head, blockSize).size;
    const indexed = blocks * blockSize + index + (tail?.bytes.length ?? 0);
    return indexed >= flat.bodyBlocks * blockSize + flat.tailSize;
  }
  return before.isPlain && data.extents.every(({ isPlain }) => isPlain);
}

/** Writes extents, each in its own blocks: compressed data stands at their end, other at their start. */
async function appendExtents(
  { extents, bytes }: CompressedData,
  image: ImageAppender,
  blockSize: number,
  list: ExtentList,
): Promise<void> {
  let at = 0;
  /** Where blocks start that need no padding. */
  let whole = 0;
  for (const { isPlain, length, storedLength } of extents) {
    const blocks = divCeil(storedLength, blockSize);
    list.add({ length, blocks, isPlain });
    const padding = blocks * blockSize - storedLength;
    const end = at + storedLength;
    if (padding > 0) {
      if (at > whole) await image.appendBlocks(bytes.subarray(whole, at));
      await image.appendBlocks(bytes.subarray(at, end), isPlain ? 0 : padding);
      whole = end;
    }
    at = end;
  }
  if (at > whole) await image.appendBlocks(bytes.subarray(whole, at));
}

/** The last segment of a file that stays flat: what is written of it are the blocks of a flat file. */
async function writeFlatEnd(
  planned: PlannedInode,
  { bytes }: CompressedSegment,
  firstBlock: number,
  image: ImageAppender,
  { blockSize }: FileCompression,
): Promise<WrittenFile> {
  Object.assign(planned, flatLayout(planned.size, recordSize(planned), blockSize));
  const body = bytes.length - planned.tailSize;
  if (body > 0) await image.appendBlocks(bytes.subarray(0, body));
  if (planned.bodyBlocks > 0) planned.blockAddress = firstBlock;
  return { isCompressed: false, tail: bytes.subarray(body) };
}

/** The end of a file that goes to the packed inode. */
async function writeFragment(
  planned: PlannedInode,
  fragment: Uint8Array,
  extents: ExtentList,
  firstBlock: number,
  image: ImageAppender,
  format: FileCompression,
  packed: PackedFile,
): Promise<WrittenFile> {
  const fragmentOffset = await packed.add(fragment);
  if (fragmentOffset === undefined) {
    // There is no place left: it is stored in blocks, as it is.
    const { blockSize } = format;
    for (let at = 0; at < fragment.length; at += blockSize) {
      const piece = fragment.subarray(at, at + blockSize);
      await image.appendBlocks(piece);
      extents.add({ length: piece.length, blocks: 1, isPlain: true });
    }
    setCompressed(planned, extents, firstBlock, undefined, format);
  } else if (extents.count === 0) {
    planned.dataLayout = EROFS_INODE_COMPRESSED_FULL;
    planned.word = 0;
    planned.bodyBlocks = 0;
    planned.tailSize = 0;
    planned.indexes = encodeWholeFragment(recordSize(planned), fragmentOffset);
  } else {
    planned.tailSize = 0;
    extents.add({ length: fragment.length, blocks: 0, isPlain: false });
    setCompressed(planned, extents, firstBlock, { fragmentOffset }, format);
  }
  return { isCompressed: true, tail: NO_BYTES };
}

const NO_BYTES = new Uint8Array(0);

/** Fills in how a file with compressed data is stored. */
function setCompressed(
  planned: PlannedInode,
  extents: ExtentList,
  firstBlock: number,
  tail: IndexedTail | undefined,
  { blockSize, bigPclusters, algorithm }: FileCompression,
): void {
  const layout = indexLayout(planned.size, recordSize(planned), blockSize);
  planned.dataLayout = layout.dataLayout;
  planned.bodyBlocks = extents.blocks - (tail !== undefined && 'inlineSize' in tail ? 1 : 0);
  planned.word = planned.bodyBlocks;
  planned.indexes = encodeClusterIndex(layout, {
    extents,
    firstBlock,
    blockSize,
    bigPclusters,
    algorithm,
    tail,
  });
}

/** The inode of the packed file, which has no name. */
export function planPacked(
  packed: PackedFile,
  number: number,
  buildTime: number,
  { blockSize, bigPclusters, algorithm }: FileCompression,
): PlannedInode {
  const { size, blocks } = packed;
  const record = { extended: false, xattrs: NO_BYTES };
  const layout = indexLayout(size, recordSize(record), blockSize, true);
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
    indexes: encodeClusterIndex(layout, {
      extents: packed.extents(),
      firstBlock: 0,
      blockSize,
      bigPclusters,
      algorithm,
    }),
  };
}
