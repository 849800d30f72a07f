/** Checking one inode: its record, its attributes and all of its data. */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { BlockUsage } from './block-usage.ts';
import type { ProblemList } from './check-report.ts';
import type { EncodedExtent } from './data-extent.ts';
import { checkFragment, dataExtents, isCompressed } from './data-map.ts';
import { decodeExtent } from './decode-extent.ts';
import type { ErofsInode } from './inode.ts';
import { inodeExtents } from './inode-extents.ts';
import {
  EROFS_INODE_CHUNK_BASED,
  EROFS_INODE_FLAT_INLINE,
  EROFS_INODE_FLAT_PLAIN,
  InodeCompact,
  InodeExtended,
  XattrIbodyHeader,
} from './layout.ts';
import type { ErofsReader } from './reader.ts';
import { bad } from './superblock.ts';

export interface InodeChecker {
  /** @param path For problems; undefined for the packed inode. */
  check(inode: ErofsInode, path: string | undefined): Promise<void>;
  /** Bytes of files so far, decompressed. */
  readonly dataSize: number;
}

/** Linux's XATTR_NAME_MAX. */
const MAX_XATTR_NAME = 255;

export function createInodeChecker(
  source: ByteSource,
  reader: ErofsReader,
  usage: BlockUsage,
  list: ProblemList,
): InodeChecker {
  const { geometry, metadata } = reader;
  /** Data that has been decompressed whole: others may use it again. */
  const decoded = new Set<string>();
  /** How data is stored that others may use again. */
  const encodings = new Map<number, string>();
  const sharedXattrs = new Set<number>();
  let dataSize = 0;

  /** @returns whether the work came to its end. */
  const tolerate = async (
    path: string | undefined,
    work: () => Promise<unknown>,
  ): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      list.addError(path, error);
      return false;
    }
  };
  const conflict = (path: string | undefined, part: string, offset: number): void =>
    list.add({
      code: 'bad-value',
      path,
      offset,
      field: part,
      message: `its ${part} uses bytes that something else uses, too`,
    });

  const claim = async (inode: ErofsInode, path: string | undefined): Promise<void> => {
    const isShareable =
      inode.dataLayout === EROFS_INODE_CHUNK_BASED || (isCompressed(inode) && geometry.fragments);
    for await (const { part, offset, size, isInline } of inodeExtents(metadata, inode, geometry)) {
      const twice = isInline
        ? usage.claimMetadata(offset, size)
        : usage.claimData(offset, size, isShareable);
      if (twice !== undefined) conflict(path, part, twice);
    }
  };

  const decode = async (extent: EncodedExtent, path: string | undefined): Promise<void> => {
    const { offset, isPartial } = extent;
    // The same bytes may be said to be something else.
    const key = `${offset} ${extent.storedSize} ${extent.encoding} ${extent.length}`;
    if (geometry.fragments && decoded.has(key)) return;
    await tolerate(path, async () => {
      const stored = await source.read(offset, extent.storedSize);
      decodeExtent(stored, extent, geometry, !isPartial);
      if (geometry.fragments && !isPartial) decoded.add(key);
    });
  };

  const checkData = async (inode: ErofsInode, path: string | undefined): Promise<void> => {
    let end = 0;
    for await (const extent of dataExtents(metadata, inode, geometry)) {
      if (extent.kind === 'encoded') {
        const known = encodings.get(extent.offset) ?? extent.encoding;
        if (geometry.fragments) encodings.set(extent.offset, known);
        if (known !== extent.encoding) conflict(path, 'data', extent.offset);
        await decode(extent, path);
      }
      if (extent.kind === 'fragment') {
        if (reader.packed === undefined || reader.packed.nid === inode.nid) {
          throw bad('bad-value', `inode ${inode.nid} has a fragment of a file that is not there`, {
            offset: inode.offset,
            field: 'h_fragmentoff',
          });
        }
        checkFragment(inode, extent.packedStart, extent.length, reader.packed.size);
      }
      if (extent.kind === 'stored') end = extent.offset + extent.length;
    }
    if (inode.kind === 'file' && path !== undefined) dataSize += inode.size;
    if (inode.dataLayout !== EROFS_INODE_FLAT_PLAIN) return;
    const rest = (geometry.blockSize - (end % geometry.blockSize)) % geometry.blockSize;
    const unused = await source.read(end, Math.min(rest, geometry.imageSize - end));
    const at = unused.findIndex((byte) => byte !== 0);
    if (at < 0) return;
    const message = 'bytes behind the end of its data are not zero';
    list.add({ code: 'trailing-data', path, offset: end + at, field: 'data', message }, 'warning');
  };

  const checkXattrs = async (inode: ErofsInode, path: string | undefined): Promise<void> => {
    for (const name of (await reader.readXattrs(inode)).keys()) {
      if (Buffer.byteLength(name) <= MAX_XATTR_NAME) continue;
      throw bad('too-large', `the extended attribute ${name.slice(0, 40)}... has too long a name`, {
        offset: inode.xattrOffset,
        field: 'e_name_len',
      });
    }
    for (const { offset, size } of await reader.sharedXattrs(inode)) {
      if (sharedXattrs.has(offset)) continue;
      sharedXattrs.add(offset);
      const twice = usage.claimMetadata(offset, size);
      if (twice !== undefined) conflict(path, 'shared xattrs', twice);
    }
    if (inode.xattrSize === 0) return;
    const header = XattrIbodyHeader.decode(await metadata.read(inode.xattrOffset, inode.xattrSize));
    if (header.h_reserved2.some((byte) => byte !== 0)) {
      warnReserved(path, inode.xattrOffset + 5, 'h_reserved2');
    }
  };

  const warnReserved = (path: string | undefined, offset: number, field: string): void =>
    list.add(
      { code: 'bad-value', path, offset, field, message: 'a reserved field is not zero' },
      'warning',
    );

  const checkReserved = async (inode: ErofsInode, path: string | undefined): Promise<void> => {
    const { offset, extended } = inode;
    const bytes = await metadata.read(offset, extended ? InodeExtended.size : InodeCompact.size);
    const { i_size } = extended ? InodeExtended.decode(bytes) : InodeCompact.decode(bytes);
    if (BigInt(i_size) !== BigInt(inode.size)) {
      const message = `a ${inode.kind} has a size of ${i_size}`;
      list.add({ code: 'bad-value', path, offset, field: 'i_size', message });
    }
    if (extended) {
      const { i_reserved, i_reserved2 } = InodeExtended.decode(bytes);
      if (i_reserved !== 0) warnReserved(path, offset + 6, 'i_reserved');
      if (i_reserved2.some((byte) => byte !== 0)) warnReserved(path, offset + 48, 'i_reserved2');
    } else {
      const { i_reserved, i_reserved2 } = InodeCompact.decode(bytes);
      if (i_reserved !== 0) warnReserved(path, offset + 12, 'i_reserved');
      if (i_reserved2 !== 0) warnReserved(path, offset + 28, 'i_reserved2');
    }
    const isFlat = inode.dataLayout === EROFS_INODE_FLAT_PLAIN;
    if (inode.kind === 'symlink' && !isFlat && inode.dataLayout !== EROFS_INODE_FLAT_INLINE) {
      const message = 'a symbolic link is neither flat nor inline';
      list.add({ code: 'bad-value', path, offset, field: 'i_format', message }, 'warning');
    }
  };

  return {
    async check(inode, path) {
      const isMapped = await tolerate(path, () => claim(inode, path));
      await tolerate(path, () => checkReserved(inode, path));
      await tolerate(path, () => checkXattrs(inode, path));
      if (!isMapped) return;
      const isRead =
        inode.kind !== 'symlink' || (await tolerate(path, () => reader.readSymlink(inode)));
      if (isRead) await tolerate(path, () => checkData(inode, path));
    },
    get dataSize() {
      return dataSize;
    },
  };
}
