/**
 * Which files the bytes of an image belong to: to tell people what a corrupt block means for them.
 * The image may be damaged: what can still be read is used.
 */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageExtent } from './data-extent.ts';
import { dataExtents, isCompressed } from './data-map.ts';
import type { ErofsInode } from './inode.ts';
import { inodeExtents, type InodeExtent } from './inode-extents.ts';
import { openErofs, type ErofsReader } from './reader.ts';
import { systemExtents } from './system-extents.ts';
import { walkImage } from './walk-image.ts';

/** Bytes `[offset, offset + length)` of an image. */
export interface ErofsRange {
  readonly offset: number;
  readonly length: number;
}

/** A part of a range, and what it is. */
export interface ErofsOwner {
  /** The bytes of the range that are meant, in the image. */
  readonly offset: number;
  readonly length: number;
  /**
   * `data`, `directory` and `symlink` are contents; `fragments` are those of several files. `unused`
   * bytes belong to nothing, `unknown` ones perhaps to what the damage keeps from being found.
   */
  readonly kind:
    | 'superblock'
    | 'xattr-prefixes'
    | 'shared-xattrs'
    | 'inode'
    | 'xattrs'
    | 'index'
    | 'data'
    | 'directory'
    | 'symlink'
    | 'fragments'
    | 'unused'
    | 'unknown';
  /** The first name of the inode, or undefined for what has none. */
  readonly path: string | undefined;
  /** Of contents: which of the file's bytes these are; where they are compressed, all that they make. */
  readonly file: { readonly start: number; readonly length: number } | undefined;
}

/** No more owners than this are told; a block of tiny files has some hundred. */
const MAX_OWNERS = 10_000;

/**
 * Tells who owns the bytes of some ranges. Inodes are read one after the other, so memory is bounded
 * by their number and by `ranges`.
 *
 * @param ranges In any order; parts outside of the file system are left out.
 * @returns Owners in the order of their offsets. Bytes with several owners come several times.
 * @throws {FormatError} when the superblock or the root cannot be read.
 */
export async function locateErofsBlocks(
  source: ByteSource,
  ranges: readonly ErofsRange[],
): Promise<ErofsOwner[]> {
  const reader = await openErofs(source, () => undefined);
  const wanted = mergeRanges(ranges, reader.geometry.imageSize);
  const owners: ErofsOwner[] = [];
  const claim = (
    kind: ErofsOwner['kind'],
    path: string | undefined,
    extent: ImageExtent & Partial<Pick<InodeExtent, 'file' | 'isEncoded'>>,
  ): void => {
    for (const range of overlapping(wanted, extent.offset, extent.size)) {
      if (owners.length >= MAX_OWNERS) return;
      const skipped = range.offset - extent.offset;
      const file =
        extent.file === undefined || extent.isEncoded === true
          ? extent.file
          : { start: extent.file.start + skipped, length: range.length };
      owners.push({ ...range, kind, path, file });
    }
  };

  let damaged = false;
  const tolerate = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      damaged = true;
    }
  };
  const claimInode = (path: string | undefined, inode: ErofsInode): Promise<void> =>
    tolerate(async () => {
      for await (const extent of inodeExtents(reader.metadata, inode, reader.geometry)) {
        const kind = extent.part === 'data' ? contentKind(reader, inode) : extent.part;
        claim(kind, path, extent);
      }
      for (const extent of await reader.sharedXattrs(inode)) claim('shared-xattrs', path, extent);
    });

  await tolerate(async () => {
    for await (const { part, ...extent } of systemExtents(reader)) claim(part, undefined, extent);
  });
  if (reader.packed !== undefined) await claimInode(undefined, reader.packed);
  const fragments = owners.filter(({ kind }) => kind === 'fragments');
  const onProblem = (): void => {
    damaged = true;
  };
  for await (const { path, inode, isFirst } of walkImage(reader, onProblem)) {
    if (!isFirst) continue;
    await claimInode(path, inode);
    if (fragments.length === 0 || !isCompressed(inode)) continue;
    await tolerate(async () => {
      for await (const owner of fragmentOwners(reader, inode, fragments)) {
        if (owners.length < MAX_OWNERS) owners.push({ ...owner, path });
      }
    });
  }

  for (const gap of gapsOf(wanted, owners)) {
    owners.push({
      ...gap,
      kind: damaged ? 'unknown' : 'unused',
      path: undefined,
      file: undefined,
    });
  }
  return owners.sort((a, b) => a.offset - b.offset || a.length - b.length);
}

/**
 * One line on the block that holds a byte: `data of /usr/lib/x, bytes 4096..8191`.
 *
 * @throws {FormatError} as `locateErofsBlocks`.
 */
export async function describeOffset(source: ByteSource, offset: number): Promise<string> {
  const owners = await locateErofsBlocks(source, [{ offset, length: 1 }]);
  return owners.length === 0
    ? 'nothing of the file system'
    : owners.map((owner) => describeOwner(owner)).join('; ');
}

/** One line on an owner. */
export function describeOwner({ kind, path, file }: ErofsOwner): string {
  const bytes =
    file === undefined || kind === 'fragments'
      ? ''
      : `, bytes ${file.start}..${file.start + file.length - 1}`;
  switch (kind) {
    case 'superblock':
      return 'the superblock';
    case 'xattr-prefixes':
      return 'the start of names of extended attributes';
    case 'shared-xattrs':
      return `extended attributes of ${path ?? 'no file'} and others`;
    case 'fragments':
      return 'the last parts of several files';
    case 'unused':
      return 'unused space';
    case 'unknown':
      return 'something that the damage hides';
    case 'directory':
      return `names in ${path}`;
    case 'symlink':
      return `the target of ${path}`;
    case 'inode':
    case 'xattrs':
    case 'index':
    case 'data':
      return `${kind} of ${path ?? 'the packed inode'}${bytes}`;
    default:
      return kind satisfies never;
  }
}

/** What of a file is made from the parts of the packed inode that `fragments` are. */
async function* fragmentOwners(
  reader: ErofsReader,
  inode: ErofsInode,
  fragments: readonly ErofsOwner[],
): AsyncGenerator<ErofsOwner> {
  for await (const extent of dataExtents(reader.metadata, inode, reader.geometry)) {
    if (extent.kind !== 'fragment') continue;
    for (const owner of fragments) {
      if (owner.file === undefined) continue;
      const from = Math.max(owner.file.start, extent.packedStart);
      const to = Math.min(owner.file.start + owner.file.length, extent.packedStart + extent.length);
      if (from >= to) continue;
      const start = extent.start + from - extent.packedStart;
      yield { ...owner, kind: 'data', file: { start, length: to - from } };
    }
  }
}

function contentKind(reader: ErofsReader, inode: ErofsInode): ErofsOwner['kind'] {
  if (inode.nid === reader.packed?.nid) return 'fragments';
  return inode.kind === 'directory' || inode.kind === 'symlink' ? inode.kind : 'data';
}

/** Sorted, without overlaps, within the image. */
function mergeRanges(ranges: readonly ErofsRange[], size: number): ErofsRange[] {
  const merged: { offset: number; length: number }[] = [];
  for (const range of ranges.toSorted((a, b) => a.offset - b.offset)) {
    const offset = Math.max(range.offset, 0);
    const end = Math.min(range.offset + range.length, size);
    const last = merged.at(-1);
    if (end <= offset) continue;
    if (last !== undefined && offset <= last.offset + last.length) {
      last.length = Math.max(last.length, end - last.offset);
    } else merged.push({ offset, length: end - offset });
  }
  return merged;
}

/** The parts of sorted ranges that lie within `[offset, offset + size)`. */
function* overlapping(
  ranges: readonly ErofsRange[],
  offset: number,
  size: number,
): Generator<ErofsRange> {
  const end = offset + size;
  // The first range that ends behind `offset`.
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range !== undefined && range.offset + range.length <= offset) low = middle + 1;
    else high = middle;
  }
  for (let i = low; i < ranges.length; i += 1) {
    const range = ranges[i];
    if (range === undefined || range.offset >= end) return;
    const from = Math.max(range.offset, offset);
    yield { offset: from, length: Math.min(range.offset + range.length, end) - from };
  }
}

/** What of sorted ranges nobody owns. */
function* gapsOf(
  ranges: readonly ErofsRange[],
  owners: readonly ErofsOwner[],
): Generator<ErofsRange> {
  const owned = mergeRanges(owners, Infinity);
  let next = 0;
  for (const range of ranges) {
    let at = range.offset;
    const end = range.offset + range.length;
    for (; next < owned.length; next += 1) {
      const part = owned[next];
      if (part === undefined || part.offset >= end) break;
      if (part.offset > at) yield { offset: at, length: part.offset - at };
      at = Math.max(at, part.offset + part.length);
      // It may go on into the next range, where a merge joined what touches.
      if (part.offset + part.length > end) break;
    }
    if (at < end) yield { offset: at, length: end - at };
  }
}
