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
      inos: BigInt(plan.inodes.length),
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
      packed_nid: 0n,
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
  const { inode } = planned;
  const view = new DataView(target.buffer, target.byteOffset, target.length);
  const shared = {
    i_xattr_icount: xattrCount(planned.xattrs.length),
    i_mode: kindCodes[inode.kind].format | inode.mode,
    i_u: inodeUnion(planned),
    i_ino: planned.number,
    i_uid: inode.uid,
    i_gid: inode.gid,
    i_nlink: planned.nlink,
    i_reserved: 0,
  };
  const format = planned.dataLayout << 1;
  if (planned.extended) {
    InodeExtended.encodeInto(view, 0, {
      ...shared,
      i_format: format | EROFS_INODE_LAYOUT_EXTENDED,
      i_size: BigInt(planned.size),
      i_mtime: BigInt.asUintN(64, BigInt(planned.mtime)),
      i_mtime_nsec: planned.mtimeNsec,
      i_reserved2: NO_BYTES,
    });
  } else {
    InodeCompact.encodeInto(view, 0, {
      ...shared,
      i_format: format | EROFS_INODE_LAYOUT_COMPACT,
      i_size: planned.size,
      i_reserved2: 0,
    });
  }
  const size = inodeSize(planned);
  const { xattrs, indexes } = planned;
  const indexAt = size - (indexes?.length ?? 0);
  target.set(xattrs, indexAt - xattrs.length);
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
  const entries = dirents.slice(direntBlocks[index], direntBlocks[index + 1]);
  let nameoff = entries.length * Dirent.size;
  for (const [i, { name, target: to }] of entries.entries()) {
    Dirent.encodeInto(view, i * Dirent.size, {
      nid: BigInt(nidOf(to)),
      nameoff,
      file_type: kindCodes[to.inode.kind].fileType,
      reserved: 0,
    });
    target.set(name, nameoff);
    nameoff += name.length;
  }
}
