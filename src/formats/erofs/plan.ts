/**
 * Where everything of an image goes, decided before a byte is written.
 *
 *   block 0            1024 bytes of zeros, superblock, shared xattrs, first inodes
 *   metadata area      inodes, each with its xattrs and, when it fits a block, the tail of its data
 *   directory blocks   the other data of directories, in the order of the inodes
 *   data blocks        the other data of files and long symbolic links, in the order of the inodes
 */

import { UsageError } from '../../core/errors.ts';
import { divCeil } from '../../core/math.ts';
import type { Directory, Inode } from '../../io/file-tree.ts';
import { chunkIndex, createChunkPlacer, type ChunkMap, type DataExtent } from './chunks.ts';
import { collectInodes, splitDirents, unusable, type FoundInode } from './collect.ts';
import {
  encodeDevice,
  EROFS_FEATURE_INCOMPAT_CHUNKED_FILE,
  EROFS_INODE_CHUNK_BASED,
  EROFS_INODE_FLAT_INLINE,
  EROFS_INODE_FLAT_PLAIN,
  EROFS_NULL_ADDR,
  EROFS_SUPER_OFFSET,
  InodeCompact,
  InodeExtended,
  SuperBlock,
} from './layout.ts';
import { inodeProblem } from './limits.ts';
import { createMetadataAllocator } from './metadata-allocator.ts';
import type { SuperblockFacts } from './seal-superblock.ts';
import { planXattrs } from './xattr.ts';

export interface ErofsOptions {
  /** Seconds since 1970. Inodes of this very time take half the space. */
  readonly buildTime: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** At most 15 bytes of UTF-8. Default none. */
  readonly volumeName?: string;
  /** 4096 (default), 16384 or 65536. A kernel mounts blocks up to the size of its pages only. */
  readonly blockSize?: number;
  /** Whether inodes keep their modification times (default) or all have the build time. */
  readonly times?: 'keep' | 'build';
  /** What `scanChunks` found in this tree: files share equal chunks and have holes then. */
  readonly chunks?: ChunkMap;
}

interface PlannedDirent {
  readonly name: string;
  readonly target: PlannedInode;
}

export interface PlannedInode {
  /** The first path by name order; a hard link has more. */
  readonly path: string;
  readonly inode: Inode;
  /** `i_ino`: the inodes count from 1. */
  readonly number: number;
  /** Names that lead here; for a directory as usual 2 and one for each directory in it. */
  readonly nlink: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
  /** Offset of the inode in the image, in bytes. */
  offset: number;
  readonly extended: boolean;
  dataLayout: number;
  /** Bytes of data. */
  readonly size: number;
  readonly xattrs: Uint8Array;
  /** Of directories: all entries with `.` and `..`, by the bytes of their names. */
  readonly dirents: readonly PlannedDirent[];
  /** Of directories: the index of the first entry of each block. */
  readonly direntBlocks: readonly number[];
  /** Whole blocks outside the metadata, and where they start; not of files in chunks. */
  bodyBlocks: number;
  blockAddress: number;
  /** Bytes of data behind the inode, its xattrs and its indexes. */
  tailSize: number;
  /** `i_u` where it is neither a block address nor a device number. */
  word?: number;
  /**
   * Of files in chunks: the parts of the content that this inode stores, and where. What is not
   * listed is a hole, or another inode stores it.
   */
  dataExtents?: readonly DataExtent[];
  /**
   * Bytes that stand right behind the inode and its xattrs, with the padding that aligns them; not kept
   * where they are encoded early.
   */
  indexes?: Uint8Array | undefined;
}

/** What the superblock tells, by the inodes. */
export interface ErofsFacts extends Omit<SuperblockFacts, 'inodeCount' | 'rootNid' | 'packedNid'> {
  /** In the order of the image; the first is the root. */
  readonly inodes: readonly PlannedInode[];
  /** The packed inode. */
  readonly packed?: PlannedInode | undefined;
}

export interface ErofsPlan extends ErofsFacts {
  /** The xattrs that inodes share, and their offset in the image. */
  readonly sharedXattrs: { readonly offset: number; readonly bytes: Uint8Array };
  readonly metadataBlocks: number;
  /** Where the blocks of directories and those of files start. */
  readonly directoryBlockAddress: number;
  readonly dataBlockAddress: number;
  /** Size of the image, in bytes. */
  readonly size: number;
}

const BLOCK_SIZES: readonly number[] = [4096, 16384, 65536];
const SUPER_END = EROFS_SUPER_OFFSET + SuperBlock.size;

/**
 * Plans the image of a tree.
 *
 * @throws {UsageError} `input` when something of the tree cannot be stored; the message has its path.
 * @throws {RangeError} on options that are out of range.
 */
export function planErofs(root: Directory, options: ErofsOptions): ErofsPlan {
  const { blockSize, ...names } = checkedOptions(options);
  const { chunks } = options;
  if (chunks !== undefined && chunks.chunkSize % blockSize !== 0) {
    throw new RangeError(`Cannot plan EROFS: chunks of ${chunks.chunkSize} bytes are no blocks`);
  }
  const { inodes, shared } = planInodes(root, options, SUPER_END);
  if (chunks !== undefined) chooseChunks(inodes, chunks, blockSize);

  const allocate = createMetadataAllocator(blockSize, SUPER_END + shared.length);
  for (const planned of inodes) {
    planned.offset = allocate.place(inodeSize(planned), planned.tailSize);
  }
  const usedBlocks = allocate.blocks();
  const hasBodies = inodes.some(({ bodyBlocks }) => bodyBlocks > 0);
  const endsImage = !hasBodies && endsWithInode(inodes, usedBlocks * blockSize);
  const metadataBlocks = usedBlocks + (endsImage ? 1 : 0);
  let next = metadataBlocks;
  const placeBody = (planned: PlannedInode): void => {
    if (planned.bodyBlocks === 0) return;
    planned.blockAddress = next;
    next += planned.bodyBlocks;
  };
  for (const planned of inodes) if (planned.inode.kind === 'directory') placeBody(planned);
  const dataBlockAddress = next;
  const placer = chunks && createChunkPlacer(chunks, blockSize);
  for (const planned of inodes) {
    const { inode, size, indexes } = planned;
    if (placer !== undefined && indexes !== undefined) {
      const placed = placer.place(inode, size, indexes, next);
      planned.dataExtents = placed.dataExtents;
      next = placed.next;
    } else if (inode.kind !== 'directory') {
      placeBody(planned);
    }
  }
  checkBlocks(next);
  return {
    ...names,
    blockSize,
    inodes,
    featureIncompat: inodes.some(({ dataLayout }) => dataLayout === EROFS_INODE_CHUNK_BASED)
      ? EROFS_FEATURE_INCOMPAT_CHUNKED_FILE
      : 0,
    sharedXattrs: { offset: SUPER_END, bytes: shared },
    metadataBlocks,
    directoryBlockAddress: metadataBlocks,
    dataBlockAddress,
    blocks: next,
    size: next * blockSize,
  };
}

/** @throws {RangeError} on options that are out of range. */
export function checkedOptions(
  options: ErofsOptions,
): Pick<ErofsFacts, 'buildTime' | 'uuid' | 'volumeName' | 'blockSize'> {
  const { buildTime, uuid, blockSize = 4096 } = options;
  const volumeName = new Uint8Array(Buffer.from(options.volumeName ?? ''));
  if (!BLOCK_SIZES.includes(blockSize)) {
    throw new RangeError(`Cannot plan EROFS with blocks of ${blockSize} bytes`);
  }
  if (uuid.length !== 16 || volumeName.length > 15 || !Number.isSafeInteger(buildTime)) {
    throw new RangeError('Cannot plan EROFS: bad UUID, volume name or build time');
  }
  return { buildTime, uuid, volumeName, blockSize };
}

/** @throws {UsageError} `input` when an image has too many blocks for their addresses. */
export function checkBlocks(blocks: number): void {
  if (blocks >= EROFS_NULL_ADDR) {
    throw new UsageError('input', `Cannot plan EROFS: it takes ${blocks} blocks, over 2^32`);
  }
}

/**
 * Whether an inode with nothing behind it ends an image of this size. fsck.erofs up to 1.5 reads the
 * header of xattrs that are not there, so that such an image gets one more block.
 */
export const endsWithInode = (inodes: readonly PlannedInode[], size: number): boolean =>
  inodes.some((planned) => planned.offset + inodeRecord(planned).size === size);

/** An inode with its xattrs and indexes, without data. */
export const inodeSize = (planned: PlannedInode): number =>
  recordSize(planned) + (planned.indexes?.length ?? 0);

/** An inode with its xattrs. */
export const recordSize = (planned: Pick<PlannedInode, 'extended' | 'xattrs'>): number =>
  inodeRecord(planned).size + planned.xattrs.length;

const inodeRecord = ({ extended }: Pick<PlannedInode, 'extended'>): { readonly size: number } =>
  extended ? InodeExtended : InodeCompact;

/** The word of an inode that is a block address, a device number or a matter of its data layout. */
export const inodeUnion = ({ inode, blockAddress, word }: PlannedInode): number =>
  inode.kind === 'char-device' || inode.kind === 'block-device'
    ? encodeDevice(inode.major, inode.minor)
    : (word ?? blockAddress);

/**
 * Every inode once, flat, with sizes but no place yet.
 *
 * @param sharedOffset Where the shared xattrs will stand.
 */
export function planInodes(
  root: Directory,
  options: ErofsOptions,
  sharedOffset: number,
): { inodes: PlannedInode[]; shared: Uint8Array } {
  const found = collectInodes(root);
  const pathOf = (inode: Inode): string =>
    found.find((entry) => entry.inode === inode)?.path ?? '/';
  const xattrs = planXattrs(
    found.map(({ inode }) => inode),
    sharedOffset,
    (inode, error) => unusable(pathOf(inode), error.message, error),
  );
  const inodes = found.map((entry) => planInode(entry, xattrs.areaOf(entry.inode), options));
  // Entries point back and forth, so they are filled in when all inodes are there.
  for (const { index, entries } of found) {
    const dirents = inodes[index]?.dirents as PlannedDirent[];
    for (const { name, found: to } of entries) {
      dirents.push({ name, target: inodes[to.index] as PlannedInode });
    }
  }
  return { inodes, shared: xattrs.shared };
}

const NO_DIRENTS: readonly PlannedDirent[] = [];
const NO_STARTS: readonly number[] = [];

function planInode(
  { path, inode, index, nlink, entries }: FoundInode,
  xattrs: Uint8Array,
  { buildTime, times = 'keep', blockSize = 4096 }: ErofsOptions,
): PlannedInode {
  const problem = inodeProblem(inode);
  if (problem !== undefined) throw unusable(path, problem);
  const { mtime, mtimeNsec } = times === 'keep' ? inode : { mtime: buildTime, mtimeNsec: 0 };
  const { starts, size } =
    inode.kind === 'directory'
      ? splitDirents(entries, blockSize)
      : { starts: NO_STARTS, size: contentSize(inode) };
  const extended =
    inode.uid > 0xffff ||
    inode.gid > 0xffff ||
    nlink > 0xffff ||
    size >= 2 ** 32 ||
    mtime !== buildTime ||
    mtimeNsec !== 0;
  const layout = flatLayout(size, recordSize({ extended, xattrs }), blockSize);
  return {
    path,
    inode,
    number: index + 1,
    nlink,
    mtime,
    mtimeNsec,
    offset: 0,
    extended,
    size,
    xattrs,
    dirents: inode.kind === 'directory' ? [] : NO_DIRENTS,
    direntBlocks: starts,
    blockAddress: EROFS_NULL_ADDR,
    // Written out, as spreading another object into this one takes ten times as long.
    dataLayout: layout.dataLayout,
    bodyBlocks: layout.bodyBlocks,
    tailSize: layout.tailSize,
  };
}

/** The last part of flat data stands behind the inode when it fits its block. */
export function flatLayout(
  size: number,
  head: number,
  blockSize: number,
): Pick<PlannedInode, 'dataLayout' | 'bodyBlocks' | 'tailSize'> {
  const rest = size % blockSize;
  const tailSize = head + rest <= blockSize ? rest : 0;
  return {
    dataLayout: tailSize > 0 ? EROFS_INODE_FLAT_INLINE : EROFS_INODE_FLAT_PLAIN,
    bodyBlocks: tailSize > 0 ? Math.floor(size / blockSize) : divCeil(size, blockSize),
    tailSize,
  };
}

function contentSize(inode: Inode): number {
  if (inode.kind === 'file') return inode.content.size;
  return inode.kind === 'symlink' ? Buffer.byteLength(inode.target) : 0;
}

/** Turns the files that have holes, or chunks in common with others, into files in chunks. */
function chooseChunks(inodes: readonly PlannedInode[], chunks: ChunkMap, blockSize: number): void {
  for (const planned of inodes) {
    const index = chunkIndex(chunks, planned.inode, blockSize);
    if (index === undefined) continue;
    planned.dataLayout = EROFS_INODE_CHUNK_BASED;
    planned.bodyBlocks = 0;
    planned.tailSize = 0;
    planned.word = index.format;
    // Inodes end at a multiple of four bytes, which is all that block addresses need.
    planned.indexes = new Uint8Array(index.size);
  }
}
