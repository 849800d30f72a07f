/** The bytes of a plan's superblock, inodes and directory blocks. */

import { crc32c } from './crc32c.ts';
import {
  checksummedSize,
  Dirent,
  EROFS_FEATURE_COMPAT_MTIME,
  EROFS_FEATURE_COMPAT_SB_CHKSUM,
  EROFS_INODE_LAYOUT_COMPACT,
  EROFS_INODE_LAYOUT_EXTENDED,
  EROFS_SLOTSIZE,
  EROFS_SUPER_MAGIC_V1,
  EROFS_SUPER_OFFSET,
  InodeCompact,
  InodeExtended,
  kindCodes,
  SuperBlock,
} from './layout.ts';
import { inodeSize, inodeUnion, type ErofsFacts, type PlannedInode } from './plan.ts';
import { xattrCount } from './xattr.ts';

const nidOf = (planned: PlannedInode): number => planned.offset / EROFS_SLOTSIZE;

/** Puts the superblock into the otherwise finished start of the image and seals it by its checksum. */
export function encodeSuperblock(plan: ErofsFacts, start: Uint8Array): void {
  const [root] = plan.inodes;
  if (root === undefined) throw new TypeError('A plan has a root');
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const encode = (checksum: number): void => {
    SuperBlock.encodeInto(view, EROFS_SUPER_OFFSET, {
      magic: EROFS_SUPER_MAGIC_V1,
      checksum,
      feature_compat: EROFS_FEATURE_COMPAT_SB_CHKSUM | EROFS_FEATURE_COMPAT_MTIME,
      blkszbits: Math.log2(plan.blockSize),
      sb_extslots: 0,
      root_nid: nidOf(root),
      inos: BigInt(plan.inodes.length + (plan.packed === undefined ? 0 : 1)),
      build_time: BigInt.asUintN(64, BigInt(plan.buildTime)),
      build_time_nsec: 0,
      blocks: plan.blocks,
      meta_blkaddr: 0,
      xattr_blkaddr: 0,
      uuid: plan.uuid,
      volume_name: plan.volumeName,
      feature_incompat: plan.featureIncompat,
      available_compr_algs: plan.algorithms ?? 0,
      extra_devices: 0,
      devt_slotoff: 0,
      dirblkbits: 0,
      xattr_prefix_count: 0,
      xattr_prefix_start: 0,
      packed_nid: BigInt(plan.packed === undefined ? 0 : nidOf(plan.packed)),
      xattr_filter_reserved: 0,
      reserved2: new Uint8Array(23),
    });
  };
  encode(0);
  const covered = checksummedSize(plan.blockSize);
  encode(crc32c(start.subarray(EROFS_SUPER_OFFSET, EROFS_SUPER_OFFSET + covered)));
}

const NO_BYTES = new Uint8Array(16);

/** Writes an inode, its xattrs and indexes to the start of `target`; returns how many bytes they take. */
export function encodeInode(planned: PlannedInode, target: Uint8Array): number {
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  return encodeInodeAt(planned, target, view, 0);
}

/**
 * The same at `start` of a buffer for many: making a view for each takes as long as encoding it.
 *
 * @param view Of all of `target`.
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
