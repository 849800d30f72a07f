/**
 * Reading an image, which may be anyone's: every offset is checked against the image before it is
 * used, and nothing is allocated by a number that was not.
 */

import type { ByteSource } from '../../io/byte-source.ts';
import { cachedSource } from './cached-source.ts';
import { createDirectoryDecoder, type ErofsDirent } from './directory.ts';
import { readInode, type ErofsInode } from './inode.ts';
import {
  checkDataSize,
  dataExtents,
  hasCompressedData,
  streamCompressed,
  streamExtents,
} from './inode-data.ts';
import type { SuperBlockValues } from './layout.ts';
import { bad, readSuperblock, type Geometry } from './superblock.ts';
import { createXattrReader } from './xattr-reader.ts';

export interface ErofsReader {
  readonly superblock: SuperBlockValues;
  readonly geometry: Geometry;
  readonly root: ErofsInode;
  readInode(nid: bigint): Promise<ErofsInode>;
  /** The entries, `.` and `..` among them, in the order of their names' bytes. */
  listDirectory(inode: ErofsInode): AsyncIterable<ErofsDirent>;
  /** The data of a file, decompressed: in chunks of at most 1 MiB, or of what was compressed at once. */
  readData(inode: ErofsInode): AsyncIterable<Uint8Array>;
  /** Throws when the image has no room for data of this size; reads nothing. */
  checkData(inode: ErofsInode): void;
  /** The inode's own, or the build time of the image. */
  modificationTime(inode: ErofsInode): { readonly mtime: number; readonly mtimeNsec: number };
  readSymlink(inode: ErofsInode): Promise<string>;
  readXattrs(inode: ErofsInode): Promise<Map<string, Uint8Array>>;
}

function expectKind(inode: ErofsInode, kind: ErofsInode['kind']): void {
  if (inode.kind !== kind) throw new TypeError(`Inode ${inode.nid} is a ${inode.kind}`);
}

/**
 * Opens an image. The source stays the caller's to close.
 *
 * @throws {FormatError} when the superblock or the root is not usable; `unsupported` when it needs
 *   features that are not known here. All methods throw it too.
 */
export async function openErofs(source: ByteSource): Promise<ErofsReader> {
  const { superblock, geometry } = await readSuperblock(source);
  const metadata = cachedSource(source);
  const xattrs = createXattrReader(metadata, geometry);
  const root = await readInode(metadata, geometry, BigInt(superblock.root_nid));
  if (root.kind !== 'directory') {
    throw bad('bad-value', `the root is a ${root.kind}`, { field: 'root_nid' });
  }
  const buildTime = Number(BigInt.asIntN(64, superblock.build_time));
  if (!Number.isSafeInteger(buildTime) || superblock.build_time_nsec >= 1e9) {
    throw bad('bad-value', `build time is ${superblock.build_time}`, { field: 'build_time' });
  }
  return {
    superblock,
    geometry,
    root,
    readInode: (nid) => readInode(metadata, geometry, nid),
    async *listDirectory(inode) {
      expectKind(inode, 'directory');
      const decoder = createDirectoryDecoder(inode.nid);
      // Chunks start and end at blocks: the inline rest is an extent of its own.
      for await (const chunk of streamExtents(metadata, dataExtents(inode, geometry))) {
        for (let at = 0; at < chunk.length; at += geometry.blockSize) {
          yield* decoder.decodeBlock(chunk.subarray(at, at + geometry.blockSize));
        }
      }
    },
    async *readData(inode) {
      expectKind(inode, 'file');
      yield* hasCompressedData(inode)
        ? streamCompressed(source, inode, geometry)
        : streamExtents(source, dataExtents(inode, geometry));
    },
    checkData: (inode) => checkDataSize(inode, geometry),
    modificationTime: ({ mtime }) =>
      mtime === undefined
        ? { mtime: buildTime, mtimeNsec: superblock.build_time_nsec }
        : { mtime: mtime.seconds, mtimeNsec: mtime.nsec },
    async readSymlink(inode) {
      expectKind(inode, 'symlink');
      const parts: Uint8Array[] = [];
      for await (const part of streamExtents(metadata, dataExtents(inode, geometry))) {
        parts.push(part);
      }
      const target = Buffer.concat(parts);
      try {
        if (target.includes(0)) throw new TypeError('It holds a NUL');
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(target);
      } catch (error) {
        throw bad('bad-value', `symbolic link ${inode.nid} is not text`, { cause: error });
      }
    },
    readXattrs: (inode) => xattrs.read(inode),
  };
}
