/**
 * The records and constants of EROFS, under the names of the kernel's header.
 *
 * @see fs/erofs/erofs_fs.h of Linux, and https://erofs.docs.kernel.org/en/latest/core_ondisk.html
 */

import type { Inode } from '../../io/file-tree.ts';
import { bytes, le, struct, u8, type Values } from '../struct.ts';

export const EROFS_SUPER_MAGIC_V1 = 0xe0f5e1e2;
/** Where the superblock stands, whatever the block size is. */
export const EROFS_SUPER_OFFSET = 1024;
/** Unit of the superblock's extension. */
export const EROFS_SB_EXTSLOT_SIZE = 16;

export const EROFS_FEATURE_COMPAT_SB_CHKSUM = 0x1;
/** Inodes carry modification times, not change times. */
export const EROFS_FEATURE_COMPAT_MTIME = 0x2;
/** `h_name_filter` tells which attributes an inode lacks. */
export const EROFS_FEATURE_COMPAT_XATTR_FILTER = 0x4;
/** Shared xattrs stand in compressed metadata, where there is such. */
export const EROFS_FEATURE_COMPAT_SHARED_EA_IN_METABOX = 0x8;
/** The long xattr prefixes stand in the image itself, even when there is a packed inode. */
export const EROFS_FEATURE_COMPAT_PLAIN_XATTR_PFX = 0x10;
/** Files with equal values of one xattr have equal contents. */
export const EROFS_FEATURE_COMPAT_ISHARE_XATTRS = 0x20;

export const EROFS_FEATURE_INCOMPAT_ZERO_PADDING = 0x1;
/** Also: physical clusters of several blocks. */
export const EROFS_FEATURE_INCOMPAT_COMPR_CFGS = 0x2;
export const EROFS_FEATURE_INCOMPAT_CHUNKED_FILE = 0x4;
/** A table of devices, or a second compression algorithm in a file. */
export const EROFS_FEATURE_INCOMPAT_DEVICE_TABLE = 0x8;
export const EROFS_FEATURE_INCOMPAT_ZTAILPACKING = 0x10;
/** Tails in a packed inode, or compressed data that several places of files use. */
export const EROFS_FEATURE_INCOMPAT_FRAGMENTS = 0x20;
export const EROFS_FEATURE_INCOMPAT_XATTR_PREFIXES = 0x40;
export const EROFS_FEATURE_INCOMPAT_48BIT = 0x80;
export const EROFS_FEATURE_INCOMPAT_METABOX = 0x100;

/** Inodes stand at multiples of this many bytes of the metadata area; their number is the nid. */
export const EROFS_SLOTSIZE = 32;
/** The block address of what has no block. */
export const EROFS_NULL_ADDR = 0xffffffff;

export const superBlockFields = {
  magic: le.u32,
  checksum: le.u32,
  feature_compat: le.u32,
  blkszbits: u8,
  sb_extslots: u8,
  root_nid: le.u16,
  inos: le.u64,
  build_time: le.u64,
  build_time_nsec: le.u32,
  blocks: le.u32,
  meta_blkaddr: le.u32,
  xattr_blkaddr: le.u32,
  uuid: bytes(16),
  volume_name: bytes(16),
  feature_incompat: le.u32,
  available_compr_algs: le.u16,
  extra_devices: le.u16,
  devt_slotoff: le.u16,
  dirblkbits: u8,
  xattr_prefix_count: u8,
  xattr_prefix_start: le.u32,
  packed_nid: le.u64,
  xattr_filter_reserved: u8,
  reserved2: bytes(23),
} as const;
export const SuperBlock = struct('erofs_super_block', 128, superBlockFields);
export type SuperBlockValues = Values<typeof superBlockFields>;

/** Bit 0 of `i_format` says which of the two records an inode is; bits 1 to 3 are the data layout. */
export const EROFS_INODE_LAYOUT_COMPACT = 0;
export const EROFS_INODE_LAYOUT_EXTENDED = 1;
export const EROFS_INODE_FLAT_PLAIN = 0;
export const EROFS_INODE_COMPRESSED_FULL = 1;
export const EROFS_INODE_FLAT_INLINE = 2;
export const EROFS_INODE_COMPRESSED_COMPACT = 3;
export const EROFS_INODE_CHUNK_BASED = 4;
/** The bits of `i_format` that mean something without features we do not know. */
export const EROFS_I_ALL = 0xf;

export const dataLayoutNames: readonly string[] = [
  'flat-plain',
  'compressed-full',
  'flat-inline',
  'compressed-compact',
  'chunk-based',
];

export const inodeCompactFields = {
  i_format: le.u16,
  i_xattr_icount: le.u16,
  i_mode: le.u16,
  i_nlink: le.u16,
  i_size: le.u32,
  i_reserved: le.u32,
  i_u: le.u32,
  i_ino: le.u32,
  i_uid: le.u16,
  i_gid: le.u16,
  i_reserved2: le.u32,
} as const;
export const InodeCompact = struct('erofs_inode_compact', 32, inodeCompactFields);

export const inodeExtendedFields = {
  i_format: le.u16,
  i_xattr_icount: le.u16,
  i_mode: le.u16,
  i_reserved: le.u16,
  i_size: le.u64,
  i_u: le.u32,
  i_ino: le.u32,
  i_uid: le.u32,
  i_gid: le.u32,
  i_mtime: le.u64,
  i_mtime_nsec: le.u32,
  i_nlink: le.u32,
  i_reserved2: bytes(16),
} as const;
export const InodeExtended = struct('erofs_inode_extended', 64, inodeExtendedFields);

/** `i_u` of chunk-based inodes: log2 of the chunk's blocks, and what an index entry is. */
export const EROFS_CHUNK_FORMAT_BLKBITS_MASK = 0x1f;
export const EROFS_CHUNK_FORMAT_INDEXES = 0x20;
/** Of the shorter index entries: a block address each. */
export const EROFS_BLOCK_MAP_ENTRY_SIZE = 4;
export const ChunkIndex = struct('erofs_inode_chunk_index', 8, {
  startblk_hi: le.u16,
  device_id: le.u16,
  startblk_lo: le.u32,
});

/** Set in `e_name_index`: the rest of it is the number of a long prefix. */
export const EROFS_XATTR_LONG_PREFIX = 0x80;

export const XattrIbodyHeader = struct('erofs_xattr_ibody_header', 12, {
  h_name_filter: le.u32,
  h_shared_count: u8,
  h_reserved2: bytes(7),
});
export const XattrEntry = struct('erofs_xattr_entry', 4, {
  e_name_len: u8,
  e_name_index: u8,
  e_value_size: le.u16,
});

/**
 * What `e_name_index` stands for. The names of the two ACLs are whole: nothing follows them.
 * Longest first where one could hide another.
 */
export const xattrPrefixes: readonly { readonly index: number; readonly prefix: string }[] = [
  { index: 1, prefix: 'user.' },
  { index: 2, prefix: 'system.posix_acl_access' },
  { index: 3, prefix: 'system.posix_acl_default' },
  { index: 4, prefix: 'trusted.' },
  { index: 6, prefix: 'security.' },
];

export const Dirent = struct('erofs_dirent', 12, {
  nid: le.u64,
  nameoff: le.u16,
  file_type: u8,
  reserved: u8,
});

/** The longest name of a directory entry, in bytes. */
export const EROFS_NAME_LEN = 255;
/** Linux's PATH_MAX counts the terminating NUL. */
export const MAX_SYMLINK_SIZE = 4095;

interface KindCodes {
  /** `S_IFMT` bits of `i_mode`. */
  readonly format: number;
  /** `file_type` of a directory entry. */
  readonly fileType: number;
}
export const kindCodes: Readonly<Record<Inode['kind'], KindCodes>> = {
  file: { format: 0o100000, fileType: 1 },
  directory: { format: 0o040000, fileType: 2 },
  'char-device': { format: 0o020000, fileType: 3 },
  'block-device': { format: 0o060000, fileType: 4 },
  fifo: { format: 0o010000, fileType: 5 },
  socket: { format: 0o140000, fileType: 6 },
  symlink: { format: 0o120000, fileType: 7 },
};

/** A device's number as inodes hold it: the kernel's `new_encode_dev`, 12 bits and 20 bits. */
export const encodeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
export const decodeDevice = (device: number): { major: number; minor: number } => ({
  major: (device >>> 8) & 0xfff,
  minor: (device & 0xff) | ((device >>> 12) & 0xfff00),
});

/** Bytes of an inode's xattr area, by its `i_xattr_icount`. */
export const xattrAreaSize = (icount: number): number => (icount === 0 ? 0 : 12 + 4 * (icount - 1));

/** The part of block 0 that the checksum covers: from the superblock to the end of its block. */
export const checksummedSize = (blockSize: number): number =>
  blockSize > EROFS_SUPER_OFFSET ? blockSize - EROFS_SUPER_OFFSET : blockSize;
