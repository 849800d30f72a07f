/**
 * Checking a whole image, further than a kernel would look: every byte has one use, every inode its
 * links, all data decompresses. All problems are told, not the first only.
 */

import { FormatError } from '../../core/errors.ts';
import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';
import { createBlockUsage, type BlockUsage } from './block-usage.ts';
import { createInodeChecker } from './check-inode.ts';
import { createProblemList, type ErofsReport, type ProblemList } from './check-report.ts';
import type { ErofsInode } from './inode.ts';
import {
  EROFS_FEATURE_COMPAT_ISHARE_XATTRS,
  EROFS_FEATURE_COMPAT_MTIME,
  EROFS_FEATURE_COMPAT_PLAIN_XATTR_PFX,
  EROFS_FEATURE_COMPAT_SB_CHKSUM,
  EROFS_FEATURE_COMPAT_SHARED_EA_IN_METABOX,
  EROFS_FEATURE_COMPAT_XATTR_FILTER,
  EROFS_SUPER_OFFSET,
} from './layout.ts';
import { openErofs, type ErofsReader } from './reader.ts';
import { systemExtents } from './system-extents.ts';
import { walkImage } from './walk-image.ts';

export interface CheckErofsOptions {
  readonly signal?: AbortSignal;
  /** Is told how many of the image's inodes have been checked, as often as that changes. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Readers may ignore all of these; what they stand for is still looked at. */
const KNOWN_COMPAT =
  EROFS_FEATURE_COMPAT_SB_CHKSUM |
  EROFS_FEATURE_COMPAT_MTIME |
  EROFS_FEATURE_COMPAT_XATTR_FILTER |
  EROFS_FEATURE_COMPAT_PLAIN_XATTR_PFX;

/** Not for readers to ignore: shared attributes in other places, and names that stand for content. */
const ELSEWHERE_COMPAT =
  EROFS_FEATURE_COMPAT_SHARED_EA_IN_METABOX | EROFS_FEATURE_COMPAT_ISHARE_XATTRS;

/** What the names of an inode add up to. */
interface Links {
  readonly path: string;
  readonly inode: ErofsInode;
  names: number;
  directories: number;
}

/**
 * Checks an image. Reads all metadata, all compressed data and all bytes that nothing uses; memory is
 * bounded by the number of inodes and used blocks.
 *
 * @returns the problems; an image without any of severity `error` is read alike by every reader.
 * @throws only what reading the source throws.
 */
export async function checkErofs(
  source: ByteSource,
  options: CheckErofsOptions = {},
): Promise<ErofsReport> {
  const list = createProblemList();
  const reader = await openForCheck(source, list);
  if (reader === undefined) return { ...list, inodes: 0, names: 0, dataSize: 0 };
  const usage = createBlockUsage(reader.geometry.blockSize);
  const checker = createInodeChecker(source, reader, usage, list);
  await checkSystem(reader, usage, list);

  const links = new Map<number, Links>();
  let names = 0;
  const total = Number(reader.superblock.inos);
  if (reader.packed !== undefined) await checker.check(reader.packed, undefined);
  const onProblem = (path: string, error: FormatError): void => list.addError(path, error);
  for await (const { path, inode, parent, entry, isFirst } of walkImage(reader, onProblem)) {
    options.signal?.throwIfAborted();
    names += 1;
    if (entry !== undefined && entry.kind !== inode.kind) {
      const message = `its entry says that it is a ${entry.kind}, it is a ${inode.kind}`;
      const { offset } = inode;
      list.add({ code: 'bad-value', path, offset, field: 'file_type', message });
    }
    const known = links.get(inode.nid) ?? { path, inode, names: 0, directories: 0 };
    known.names += 1;
    links.set(inode.nid, known);
    const above = links.get(parent.nid);
    if (inode.kind === 'directory' && entry !== undefined && above) above.directories += 1;
    if (!isFirst) {
      if (inode.kind === 'directory') {
        const message = `it is the directory ${known.path}, under a second name`;
        list.add({ code: 'duplicate', path, offset: inode.offset, field: 'nid', message });
      }
      continue;
    }
    if (inode.nid === reader.packed?.nid) {
      const message = 'it is the packed inode, which has no name';
      list.add({ code: 'bad-value', path, offset: inode.offset, field: 'nid', message });
      continue;
    }
    await checker.check(inode, path);
    if (inode.kind === 'directory') await checkDots(reader, path, inode, parent, list);
    options.onProgress?.(links.size, Math.max(total, links.size));
  }
  for (const each of links.values()) checkLinks(each, list);
  const inodes = links.size + (reader.packed === undefined ? 0 : 1);
  if (total !== inodes) {
    const message = `the superblock counts ${total} inodes, there are ${inodes}`;
    const offset = EROFS_SUPER_OFFSET + 16;
    list.add({ code: 'bad-value', path: undefined, offset, field: 'inos', message }, 'warning');
  }
  // Behind an error what belongs to whom is not known.
  const isWhole = list.problems.every(({ severity }) => severity === 'warning');
  if (isWhole) await checkUnused(source, reader, usage, list, options.signal);
  const { problems, more } = list;
  return { problems, more, inodes, names, dataSize: checker.dataSize };
}

async function openForCheck(
  source: ByteSource,
  list: ProblemList,
): Promise<ErofsReader | undefined> {
  const onProblem = (error: FormatError): void => list.addError(undefined, error);
  try {
    return await openErofs(source, onProblem);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    onProblem(error);
    return undefined;
  }
}

async function checkSystem(
  reader: ErofsReader,
  usage: BlockUsage,
  list: ProblemList,
): Promise<void> {
  const { feature_compat, packed_nid, reserved2 } = reader.superblock;
  const elsewhere = (feature_compat & ELSEWHERE_COMPAT) >>> 0;
  if (elsewhere !== 0) {
    const message = `it has features by which some kernels find other attributes: 0x${elsewhere.toString(16)}`;
    const offset = EROFS_SUPER_OFFSET + 8;
    list.add({ code: 'unsupported', path: undefined, offset, field: 'feature_compat', message });
  }
  if (packed_nid !== 0n && !reader.geometry.fragments) {
    const message = `it has a packed inode, ${packed_nid}, without the feature of fragments`;
    const offset = EROFS_SUPER_OFFSET + 96;
    list.add({ code: 'bad-value', path: undefined, offset, field: 'packed_nid', message });
  }
  if (reserved2.some((byte) => byte !== 0)) {
    const message = 'a reserved field is not zero';
    const offset = EROFS_SUPER_OFFSET + 105;
    list.add(
      { code: 'bad-value', path: undefined, offset, field: 'reserved2', message },
      'warning',
    );
  }
  const unknown = (feature_compat & ~KNOWN_COMPAT & ~ELSEWHERE_COMPAT) >>> 0;
  if (unknown !== 0) {
    const message = `it has features that are not known: 0x${unknown.toString(16)}`;
    const offset = EROFS_SUPER_OFFSET + 8;
    list.add(
      { code: 'unsupported', path: undefined, offset, field: 'feature_compat', message },
      'warning',
    );
  }
  try {
    for await (const { part, offset, size } of systemExtents(reader)) {
      const twice = usage.claimMetadata(offset, size);
      if (twice === undefined) continue;
      const message = `the ${part} uses bytes that something else uses, too`;
      list.add({ code: 'bad-value', path: undefined, offset: twice, field: part, message });
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    list.addError(undefined, error);
  }
}

/** `.` and `..`: where they lead, and that they are there. */
async function checkDots(
  reader: ErofsReader,
  path: string,
  inode: ErofsInode,
  parent: ErofsInode,
  list: ProblemList,
): Promise<void> {
  const missing = new Map([
    ['.', inode.nid],
    ['..', parent.nid],
  ]);
  const refuse = (name: string, message: string): void =>
    list.add({ code: 'bad-value', path, offset: inode.offset, field: name, message });
  try {
    // What is wrong with the entries themselves, the walk tells.
    for await (const { name, nid, kind } of reader.listDirectory(inode, () => undefined)) {
      const expected = missing.get(name);
      if (expected === undefined) continue;
      missing.delete(name);
      if (nid !== BigInt(expected) || kind !== 'directory') {
        refuse(name, `its "${name}" is inode ${nid}, a ${kind}, not inode ${expected}`);
      }
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return;
  }
  for (const name of missing.keys()) refuse(name, `it has no "${name}"`);
}

function checkLinks({ path, inode, names, directories }: Links, list: ProblemList): void {
  // A directory's own "." and those that lead to it from below count as names.
  const expected = inode.kind === 'directory' ? 2 + directories : names;
  if (inode.nlink === expected) return;
  const message = `its link count is ${inode.nlink}, it has ${expected}`;
  list.add({ code: 'bad-value', path, offset: inode.offset, field: 'i_nlink', message });
}

/** Bytes without any use hold nothing: neither what was forgotten nor what someone hides. */
async function checkUnused(
  source: ByteSource,
  reader: ErofsReader,
  usage: BlockUsage,
  list: ProblemList,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { blockSize, imageSize } = reader.geometry;
  for (let start = 0; start < imageSize; start += STREAM_CHUNK) {
    signal?.throwIfAborted();
    const end = Math.min(start + STREAM_CHUNK, imageSize);
    let bytes: Uint8Array | undefined;
    for (let block = start; block < end; block += blockSize) {
      if (usage.isData(block)) continue;
      bytes ??= await source.read(start, end - start);
      const content = bytes.subarray(block - start, block - start + blockSize);
      // What stands before the superblock is a boot loader's.
      const isStray = (byte: number, i: number): boolean =>
        byte !== 0 && block + i >= EROFS_SUPER_OFFSET && !usage.isMetadata(block + i);
      const at = content.findIndex((byte, i) => isStray(byte, i));
      if (at < 0) continue;
      const message = 'bytes that nothing uses are not zero';
      const offset = block + at;
      list.add(
        { code: 'trailing-data', path: undefined, offset, field: undefined, message },
        'warning',
      );
    }
  }
}
