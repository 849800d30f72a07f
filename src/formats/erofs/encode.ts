/** The bytes of a plan's superblock, inodes and directory blocks. */

import {
  Dirent,
  EROFS_INODE_LAYOUT_COMPACT,
  EROFS_INODE_LAYOUT_EXTENDED,
  EROFS_SLOTSIZE,
  InodeCompact,
  InodeExtended,
  kindCodes,
} from './layout.ts';
import { inodeSize, inodeUnion, type ErofsFacts, type PlannedInode } from './plan.ts';
import { sealSuperblock } from './seal-superblock.ts';
import { xattrCount } from './xattr.ts';

const nidOf = (planned: PlannedInode): number => planned.offset / EROFS_SLOTSIZE;

/** Puts the superblock into the otherwise finished start of the image and seals it by its checksum. */
export function encodeSuperblock(plan: ErofsFacts, start: Uint8Array): void {
  const [root] = plan.inodes;
  if (root === undefined) throw new TypeError('A plan has a root');
  const { inodes, packed, ...facts } = plan;
  sealSuperblock(
    {
      ...facts,
      inodeCount: inodes.length + (packed === undefined ? 0 : 1),
      rootNid: nidOf(root),
      packedNid: packed && nidOf(packed),
    },
    start,
  );
}

const NO_BYTES = new Uint8Array(16);

/**
 * Writes an inode, its xattrs and indexes to `start` of a buffer for many: making a view for each takes
 * as long as encoding it.
 *
 * @param view Of all of `target`.
 * @returns how many bytes they take.
 */
export function encodeInodeAt(
  planned: PlannedInode,
  target: Uint8Array,
  view: DataView,
  start: number,
): number {
  const { inode } = planned;
  const i_xattr_icount = xattrCount(planned.xattrs.length);
  const i_mode = kindCodes[inode.kind].format | inode.mode;
  const i_u = inodeUnion(planned);
  const format = planned.dataLayout << 1;
  // Written out twice: putting objects together takes fifteen times as long as all else here.
  if (planned.extended) {
    InodeExtended.encodeInto(view, start, {
      i_format: format | EROFS_INODE_LAYOUT_EXTENDED,
      i_xattr_icount,
      i_mode,
      i_reserved: 0,
      i_size: BigInt(planned.size),
      i_u,
      i_ino: planned.number,
      i_uid: inode.uid,
      i_gid: inode.gid,
      i_mtime: BigInt.asUintN(64, BigInt(planned.mtime)),
      i_mtime_nsec: planned.mtimeNsec,
      i_nlink: planned.nlink,
      i_reserved2: NO_BYTES,
    });
  } else {
    InodeCompact.encodeInto(view, start, {
      i_format: format | EROFS_INODE_LAYOUT_COMPACT,
      i_xattr_icount,
      i_mode,
      i_nlink: planned.nlink,
      i_size: planned.size,
      i_reserved: 0,
      i_u,
      i_ino: planned.number,
      i_uid: inode.uid,
      i_gid: inode.gid,
      i_reserved2: 0,
    });
  }
  const size = inodeSize(planned);
  const { xattrs, indexes } = planned;
  const indexAt = start + size - (indexes?.length ?? 0);
  if (xattrs.length > 0) target.set(xattrs, indexAt - xattrs.length);
  if (indexes !== undefined) target.set(indexes, indexAt);
  return size;
}

/**
 * Writes one block of a directory: all entries, then all names.
 *
 * @param index Which of the directory's blocks.
 * @param target As long as the block is used; zeros.
 */
export function encodeDirectoryBlock(
  { dirents, direntBlocks }: PlannedInode,
  index: number,
  target: Uint8Array,
): void {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  const bytes = Buffer.from(target.buffer, target.byteOffset, target.length);
  const entries = dirents.slice(direntBlocks[index], direntBlocks[index + 1]);
  let nameoff = entries.length * Dirent.size;
  let at = 0;
  for (const { name, target: to } of entries) {
    Dirent.encodeInto(view, at, {
      nid: BigInt(nidOf(to)),
      nameoff,
      file_type: kindCodes[to.inode.kind].fileType,
      reserved: 0,
    });
    nameoff += bytes.write(name, nameoff);
    at += Dirent.size;
  }
}
