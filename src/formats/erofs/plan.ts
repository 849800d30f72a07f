/**
 * Where everything of an image goes, decided before a byte is written.
 *
 *   block 0            1024 bytes of zeros, superblock, first inodes
 *   metadata area      inodes, each with its xattrs and, when it fits a block, the tail of its data
 *   directory blocks   the other data of directories, in the order of the inodes
 *   data blocks        the other data of files and long symbolic links, in the order of the inodes
 *
 * The order of the inodes is that of a walk by name, so equal trees give equal images.
 */

import { UsageError } from '../../core/errors.ts';
import { divCeil } from '../../core/math.ts';
import type { Directory, Inode } from '../../io/file-tree.ts';
import {
  Dirent,
  encodeDevice,
  EROFS_INODE_FLAT_INLINE,
  EROFS_INODE_FLAT_PLAIN,
  EROFS_NULL_ADDR,
  EROFS_SUPER_OFFSET,
  InodeCompact,
  InodeExtended,
  SuperBlock,
} from './layout.ts';
import { inodeProblem, nameProblem } from './limits.ts';
import { createMetadataAllocator } from './metadata-allocator.ts';
import { encodeXattrs } from './xattr.ts';

export interface ErofsOptions {
  /** Seconds since 1970. Inodes of this very time take half the space. */
  readonly buildTime: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** At most 15 bytes of UTF-8. Default none. */
  readonly volumeName?: string;
  /** 4096 (default), 16384 or 65536. A kernel mounts blocks up to the size of its pages only. */
  readonly blockSize?: number;
}

interface PlannedDirent {
  readonly name: Uint8Array;
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
  /** Offset of the inode in the image, in bytes. */
  offset: number;
  readonly extended: boolean;
  readonly dataLayout: number;
  /** Bytes of data. */
  readonly size: number;
  readonly xattrs: Uint8Array;
  /** Of directories: all entries with `.` and `..`, by the bytes of their names. */
  readonly dirents: readonly PlannedDirent[];
  /** Of directories: the index of the first entry of each block. */
  readonly direntBlocks: readonly number[];
  /** Whole blocks outside the metadata, and where they start. */
  readonly bodyBlocks: number;
  blockAddress: number;
  /** Bytes of data behind the inode. */
  readonly tailSize: number;
}

export interface ErofsPlan {
  readonly buildTime: number;
  readonly uuid: Uint8Array;
  readonly volumeName: Uint8Array;
  readonly blockSize: number;
  /** In the order of the image; the first is the root. */
  readonly inodes: readonly PlannedInode[];
  readonly metadataBlocks: number;
  /** Where the blocks of directories and those of files start. */
  readonly directoryBlockAddress: number;
  readonly dataBlockAddress: number;
  /** Size of the image, in blocks and in bytes. */
  readonly blocks: number;
  readonly size: number;
}

const BLOCK_SIZES: readonly number[] = [4096, 16384, 65536];

/**
 * Plans the image of a tree.
 *
 * @throws {UsageError} `input` when something of the tree cannot be stored; the message has its path.
 * @throws {RangeError} on options that are out of range.
 */
export function planErofs(root: Directory, options: ErofsOptions): ErofsPlan {
  const { buildTime, uuid, blockSize = 4096 } = options;
  const volumeName = new Uint8Array(Buffer.from(options.volumeName ?? ''));
  if (!BLOCK_SIZES.includes(blockSize)) {
    throw new RangeError(`Cannot plan EROFS with blocks of ${blockSize} bytes`);
  }
  if (uuid.length !== 16 || volumeName.length > 15 || !Number.isSafeInteger(buildTime)) {
    throw new RangeError('Cannot plan EROFS: bad UUID, volume name or build time');
  }
  const inodes = collectInodes(root, buildTime, blockSize);

  const allocate = createMetadataAllocator(blockSize, EROFS_SUPER_OFFSET + SuperBlock.size);
  for (const planned of inodes) {
    planned.offset = allocate.place(inodeSize(planned), planned.tailSize);
  }
  const metadataBlocks = allocate.blocks();
  let next = metadataBlocks;
  const placeBodies = (isDirectory: boolean): void => {
    for (const planned of inodes) {
      if (planned.bodyBlocks === 0) continue;
      if ((planned.inode.kind === 'directory') !== isDirectory) continue;
      planned.blockAddress = next;
      next += planned.bodyBlocks;
    }
  };
  placeBodies(true);
  const dataBlockAddress = next;
  placeBodies(false);
  if (next >= EROFS_NULL_ADDR) {
    throw new UsageError('input', `Cannot plan EROFS: it takes ${next} blocks, over 2^32`);
  }
  return {
    buildTime,
    uuid,
    volumeName,
    blockSize,
    inodes,
    metadataBlocks,
    directoryBlockAddress: metadataBlocks,
    dataBlockAddress,
    blocks: next,
    size: next * blockSize,
  };
}

/** An inode with its xattrs, without data. */
export const inodeSize = (planned: PlannedInode): number =>
  (planned.extended ? InodeExtended.size : InodeCompact.size) + planned.xattrs.length;

/** The word of an inode that is a block address or a device number. */
export const inodeUnion = ({ inode, blockAddress }: PlannedInode): number =>
  inode.kind === 'char-device' || inode.kind === 'block-device'
    ? encodeDevice(inode.major, inode.minor)
    : blockAddress;

interface Named {
  readonly name: Uint8Array;
  readonly inode: Inode;
}
interface Found {
  readonly path: string;
  readonly inode: Inode;
  /** Of directories: with `.` and `..`, in the order of the image. */
  readonly entries: readonly Named[];
  nlink: number;
}

/** Every inode once, in the order of a walk by name, with sizes but no place yet. */
function collectInodes(root: Directory, buildTime: number, blockSize: number): PlannedInode[] {
  const found = new Map<Inode, Found>();
  const stack: { path: string; inode: Inode; parent: Inode }[] = [
    { path: '/', inode: root, parent: root },
  ];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { path, inode, parent } = at;
    const known = found.get(inode);
    if (known !== undefined) {
      if (inode.kind === 'directory') {
        throw unusable(path, `it is the same directory as ${known.path}`);
      }
      known.nlink += 1;
      continue;
    }
    if (inode.kind !== 'directory') {
      found.set(inode, { path, inode, entries: [], nlink: 1 });
      continue;
    }
    const children = namedChildren(path, inode);
    const entries = [{ name: DOT, inode }, { name: DOT_DOT, inode: parent }, ...children];
    // `.` and `..` have their place in the order: `!` and `-` come before them.
    entries.sort((a, b) => Buffer.compare(a.name, b.name));
    const subdirectories = children.filter((child) => child.inode.kind === 'directory').length;
    found.set(inode, { path, inode, entries, nlink: 2 + subdirectories });
    for (const child of children.toReversed()) {
      stack.push({ path: child.path, inode: child.inode, parent: inode });
    }
  }

  const planned = new Map<Inode, PlannedInode>();
  for (const entry of found.values()) {
    planned.set(entry.inode, planInode(entry, planned.size + 1, buildTime, blockSize));
  }
  // Entries point back and forth, so they are filled in when all inodes are there.
  for (const { inode, entries } of found.values()) {
    const dirents = planned.get(inode)?.dirents as PlannedDirent[];
    for (const { name, inode: to } of entries) {
      dirents.push({ name, target: planned.get(to) as PlannedInode });
    }
  }
  return [...planned.values()];
}

function planInode(
  { path, inode, nlink, entries }: Found,
  number: number,
  buildTime: number,
  blockSize: number,
): PlannedInode {
  const problem = inodeProblem(inode);
  if (problem !== undefined) throw unusable(path, problem);
  let xattrs: Uint8Array;
  try {
    xattrs = encodeXattrs(inode.xattrs);
  } catch (error) {
    throw unusable(path, error instanceof Error ? error.message : String(error), error);
  }
  const { starts, size } =
    inode.kind === 'directory'
      ? splitDirents(entries, blockSize)
      : { starts: [], size: contentSize(inode) };
  const extended =
    inode.uid > 0xffff ||
    inode.gid > 0xffff ||
    nlink > 0xffff ||
    size >= 2 ** 32 ||
    inode.mtime !== buildTime ||
    inode.mtimeNsec !== 0;
  const head = (extended ? InodeExtended.size : InodeCompact.size) + xattrs.length;
  const rest = size % blockSize;
  const tailSize = head + rest <= blockSize ? rest : 0;
  return {
    path,
    inode,
    number,
    nlink,
    offset: 0,
    extended,
    dataLayout: tailSize > 0 ? EROFS_INODE_FLAT_INLINE : EROFS_INODE_FLAT_PLAIN,
    size,
    xattrs,
    dirents: [],
    direntBlocks: starts,
    bodyBlocks: tailSize > 0 ? Math.floor(size / blockSize) : divCeil(size, blockSize),
    blockAddress: EROFS_NULL_ADDR,
    tailSize,
  };
}

function contentSize(inode: Inode): number {
  if (inode.kind === 'file') return inode.content.size;
  return inode.kind === 'symlink' ? Buffer.byteLength(inode.target) : 0;
}

const unusable = (path: string, problem: string, cause?: unknown): UsageError =>
  new UsageError('input', `Cannot store ${path} in EROFS: ${problem}`, { cause });

/** The children of a directory, in the order of their names' bytes; the names must be usable. */
function namedChildren(parent: string, directory: Directory): (Named & { path: string })[] {
  const children = [...directory.children].map(([text, inode]) => {
    const path = `${parent === '/' ? '' : parent}/${text}`;
    const problem = nameProblem(text);
    if (problem !== undefined) throw unusable(path, problem);
    const name = new Uint8Array(Buffer.from(text));
    return { name, path, inode };
  });
  return children.sort((a, b) => Buffer.compare(a.name, b.name));
}

const DOT = new Uint8Array([0x2e]);
const DOT_DOT = new Uint8Array([0x2e, 0x2e]);

/** Fills blocks with entries. The size counts the last block only as far as it is used. */
function splitDirents(
  entries: readonly Named[],
  blockSize: number,
): { starts: number[]; size: number } {
  const starts = [0];
  let used = 0;
  for (const [index, { name }] of entries.entries()) {
    const need = Dirent.size + name.length;
    if (used + need > blockSize) {
      starts.push(index);
      used = 0;
    }
    used += need;
  }
  return { starts, size: (starts.length - 1) * blockSize + used };
}
