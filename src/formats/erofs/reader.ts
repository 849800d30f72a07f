/**
 * Reading an image, which may be anyone's: every offset is checked against the image before it is
 * used, and nothing is allocated by a number that was not.
 */

import type { ByteSource } from '../../io/byte-source.ts';
import { cachedSource } from './cached-source.ts';
import { compressionRecords } from './compression-record.ts';
import type { ImageExtent } from './data-extent.ts';
import { createDataReader, type DataPart } from './data-reader.ts';
import { createDirectoryDecoder, type ErofsDirent } from './directory.ts';
import { readInode, type ErofsInode } from './inode.ts';
import { EROFS_SUPER_OFFSET, type SuperBlockValues } from './layout.ts';
import { bad, readSuperblock, throwProblem, type Geometry, type OnProblem } from './superblock.ts';
import { createXattrReader } from './xattr-reader.ts';

export interface ErofsReader {
  readonly superblock: SuperBlockValues;
  readonly geometry: Geometry;
  readonly root: ErofsInode;
  /** Holds the tails of files, in images that have such. */
  readonly packed: ErofsInode | undefined;
  /** The image, read in small pieces and kept for a while. */
  readonly metadata: ByteSource;
  readInode(nid: bigint): Promise<ErofsInode>;
  /**
   * The entries, `.` and `..` among them, in the order of their names' bytes.
   *
   * @param onProblem Is given what is wrong with entries, instead of throwing it.
   */
  listDirectory(inode: ErofsInode, onProblem?: OnProblem): AsyncIterable<ErofsDirent>;
  /** The data of a file, decompressed: in chunks of at most 1 MiB, or of what was compressed at once. */
  readData(inode: ErofsInode): AsyncIterable<Uint8Array>;
  /** The same, with counts in the place of bytes that are stored nowhere. */
  readParts(inode: ErofsInode): AsyncIterable<DataPart>;
  /** Throws when the image has no room for data of this size; reads no data. */
  checkData(inode: ErofsInode): Promise<void>;
  /** The inode's own, or the build time of the image. */
  modificationTime(inode: ErofsInode): { readonly mtime: number; readonly mtimeNsec: number };
  readSymlink(inode: ErofsInode): Promise<string>;
  readXattrs(inode: ErofsInode): Promise<Map<string, Uint8Array>>;
  /** Where the attributes are that the inode shares with others. */
  sharedXattrs(inode: ErofsInode): Promise<readonly ImageExtent[]>;
}

function expectKind(inode: ErofsInode, kind: ErofsInode['kind']): void {
  if (inode.kind !== kind) throw new TypeError(`Inode ${inode.nid} is a ${inode.kind}`);
}

/**
 * Opens an image. The source stays the caller's to close.
 *
 * @param onProblem Is given a wrong checksum of the superblock, instead of throwing it.
 * @throws {FormatError} when the superblock or the root is not usable; `unsupported` when it needs
 *   features that are not known here. All methods throw it too.
 */
export async function openErofs(
  source: ByteSource,
  onProblem: OnProblem = throwProblem,
): Promise<ErofsReader> {
  const { superblock, geometry } = await readSuperblock(source, onProblem);
  const metadata = cachedSource(source);
  // Only for what it throws: a kernel that does not take one does not mount the image.
  for await (const _ of compressionRecords(metadata, superblock, geometry));
  const root = await readInode(metadata, geometry, BigInt(superblock.root_nid));
  if (root.kind !== 'directory') {
    throw bad('bad-value', `the root is a ${root.kind}`, {
      offset: EROFS_SUPER_OFFSET + 14,
      field: 'root_nid',
    });
  }
  const packed = await readPackedInode(metadata, superblock, geometry);
  // Compressed data comes in pieces of few blocks, which are read more at a time.
  const compressed = cachedSource(source, 16);
  const data = createDataReader({ metadata, data: compressed, geometry, packed });
  const xattrs = createXattrReader(metadata, superblock, geometry, (from, to) =>
    packed === undefined ? undefined : data.parts(packed, from, to),
  );
  const buildTime = Number(BigInt.asIntN(64, superblock.build_time));
  if (!Number.isSafeInteger(buildTime) || superblock.build_time_nsec >= 1e9) {
    throw bad('bad-value', `build time is ${superblock.build_time}`, { field: 'build_time' });
  }
  return {
    superblock,
    geometry,
    root,
    packed,
    metadata,
    readInode: (nid) => readInode(metadata, geometry, nid),
    async *listDirectory(inode, entryProblem) {
      expectKind(inode, 'directory');
      const decoder = createDirectoryDecoder(inode, entryProblem);
      for await (const block of blocksOf(data.bytes(inode), geometry.blockSize)) {
        yield* decoder.decodeBlock(block);
      }
    },
    async *readData(inode) {
      expectKind(inode, 'file');
      yield* data.bytes(inode);
    },
    async *readParts(inode) {
      expectKind(inode, 'file');
      yield* data.parts(inode);
    },
    checkData: (inode) => data.checkSize(inode),
    modificationTime: ({ mtime }) =>
      mtime === undefined
        ? { mtime: buildTime, mtimeNsec: superblock.build_time_nsec }
        : { mtime: mtime.seconds, mtimeNsec: mtime.nsec },
    async readSymlink(inode) {
      expectKind(inode, 'symlink');
      const parts: Uint8Array[] = [];
      for await (const part of data.bytes(inode)) parts.push(part);
      const target = Buffer.concat(parts);
      try {
        if (target.includes(0)) throw new TypeError('It holds a NUL');
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(target);
      } catch (error) {
        throw bad('bad-value', `symbolic link ${inode.nid} is not text`, {
          offset: inode.offset,
          field: 'target',
          cause: error,
        });
      }
    },
    readXattrs: (inode) => xattrs.read(inode),
    sharedXattrs: (inode) => xattrs.shared(inode),
  };
}

/** The inode of tails, which no directory names. */
async function readPackedInode(
  metadata: ByteSource,
  { packed_nid }: SuperBlockValues,
  geometry: Geometry,
): Promise<ErofsInode | undefined> {
  // Without a nid the feature stands for data that is used more than once.
  if (!geometry.fragments || packed_nid === 0n) return undefined;
  const packed = await readInode(metadata, geometry, packed_nid);
  if (packed.kind !== 'file') {
    throw bad('bad-value', `the packed inode is a ${packed.kind}`, {
      offset: EROFS_SUPER_OFFSET + 96,
      field: 'packed_nid',
    });
  }
  return packed;
}

/** The bytes of a directory, block by block; the last may be short. */
async function* blocksOf(
  chunks: AsyncIterable<Uint8Array>,
  blockSize: number,
): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (; at + blockSize <= bytes.length; at += blockSize) {
      yield bytes.subarray(at, at + blockSize);
    }
    rest = bytes.subarray(at);
  }
  if (rest.length > 0) yield rest;
}
