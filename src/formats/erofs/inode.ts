/** Reading one inode. */

import type { ByteSource } from '../../io/byte-source.ts';
import type { Inode } from '../../io/file-tree.ts';
import {
  EROFS_I_ALL,
  EROFS_INODE_CHUNK_BASED,
  EROFS_INODE_FLAT_PLAIN,
  EROFS_INODE_LAYOUT_EXTENDED,
  EROFS_SLOTSIZE,
  InodeCompact,
  InodeExtended,
  kindCodes,
  MAX_SYMLINK_SIZE,
  xattrAreaSize,
} from './layout.ts';
import { bad, type Geometry } from './superblock.ts';

export interface ErofsInode {
  readonly nid: number;
  /** Offset in the image, in bytes. */
  readonly offset: number;
  readonly extended: boolean;
  /** See `dataLayoutNames`. */
  readonly dataLayout: number;
  readonly kind: Inode['kind'];
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly nlink: number;
  readonly number: number;
  /** Bytes of data; 0 of devices, fifos and sockets. */
  readonly size: number;
  /** Undefined where the image's build time counts. */
  readonly mtime: { readonly seconds: number; readonly nsec: number } | undefined;
  /** Block address, device number or what the data layout makes of it. */
  readonly union: number;
  readonly xattrOffset: number;
  readonly xattrSize: number;
  /** Where inline data begins: behind the xattrs. */
  readonly tailOffset: number;
}

const kindOfFormat = new Map(
  Object.entries(kindCodes).map(([kind, { format }]) => [format, kind as Inode['kind']]),
);

/**
 * Reads an inode and checks what can be checked of it alone.
 *
 * @throws {FormatError} when it is outside of the image, or a field makes no sense.
 */
export async function readInode(
  source: ByteSource,
  geometry: Geometry,
  nid: bigint,
): Promise<ErofsInode> {
  const limit = BigInt(geometry.imageSize - geometry.metadataOffset - InodeCompact.size);
  if (limit < 0n || nid * BigInt(EROFS_SLOTSIZE) > limit) {
    throw bad('out-of-range', `nid ${nid} is outside of the image`, {
      offset: geometry.metadataOffset,
      field: 'nid',
    });
  }
  const offset = geometry.metadataOffset + Number(nid) * EROFS_SLOTSIZE;
  const refuse = (
    code: 'bad-value' | 'unsupported' | 'out-of-range',
    field: string,
    problem: string,
  ): Error => bad(code, `inode ${nid}: ${problem}`, { offset, field });

  const record = await source.read(
    offset,
    Math.min(InodeExtended.size, geometry.imageSize - offset),
  );
  const format = new DataView(record.buffer, record.byteOffset).getUint16(0, true);
  if ((format & ~EROFS_I_ALL) !== 0) {
    throw refuse('unsupported', 'i_format', `format is 0x${format.toString(16)}`);
  }
  const extended = (format & 1) === EROFS_INODE_LAYOUT_EXTENDED;
  const dataLayout = format >> 1;
  if (dataLayout > EROFS_INODE_CHUNK_BASED) {
    throw refuse('bad-value', 'i_format', `data layout is ${dataLayout}`);
  }
  const values = extended ? InodeExtended.decode(record) : InodeCompact.decode(record);
  const { i_mode, i_nlink, i_xattr_icount } = values;
  const kind = kindOfFormat.get(i_mode & 0o170000);
  if (kind === undefined) {
    throw refuse('bad-value', 'i_mode', `mode is 0o${i_mode.toString(8)}`);
  }
  if (i_nlink === 0) throw refuse('bad-value', 'i_nlink', 'link count is 0');
  const size = Number(values.i_size);
  if (!Number.isSafeInteger(size)) {
    throw refuse('bad-value', 'i_size', `size is ${values.i_size}`);
  }
  if (kind === 'symlink' && (size === 0 || size > MAX_SYMLINK_SIZE)) {
    throw refuse('bad-value', 'i_size', `a symbolic link of ${size} bytes`);
  }
  const xattrOffset = offset + (extended ? InodeExtended.size : InodeCompact.size);
  const xattrSize = xattrAreaSize(i_xattr_icount);
  const tailOffset = xattrOffset + xattrSize;
  if (tailOffset > geometry.imageSize) {
    throw refuse('out-of-range', 'i_xattr_icount', 'its extended attributes leave the image');
  }
  const mtime =
    'i_mtime' in values
      ? { seconds: Number(BigInt.asIntN(64, values.i_mtime)), nsec: values.i_mtime_nsec }
      : undefined;
  if (mtime && (!Number.isSafeInteger(mtime.seconds) || mtime.nsec >= 1e9)) {
    throw refuse('bad-value', 'i_mtime', `time is ${mtime.seconds} s and ${mtime.nsec} ns`);
  }
  const hasData = kind === 'file' || kind === 'directory' || kind === 'symlink';
  if (!hasData && dataLayout !== EROFS_INODE_FLAT_PLAIN) {
    throw refuse('bad-value', 'i_format', `a ${kind} with data`);
  }
  return {
    nid: Number(nid),
    offset,
    extended,
    dataLayout,
    kind,
    mode: i_mode & 0o7777,
    uid: values.i_uid,
    gid: values.i_gid,
    nlink: i_nlink,
    number: values.i_ino,
    size: hasData ? size : 0,
    mtime,
    union: values.i_u,
    xattrOffset,
    xattrSize,
    tailOffset,
  };
}
