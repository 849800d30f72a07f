/**
 * Which files of an EROFS image some of its blocks belong to, so that corruption has a name.
 *
 * The image is known to be corrupt: what of it cannot be read is passed over, and the reader's bounds hold. The walk
 * keeps the folders still to be read and what it found, never the whole tree.
 */

import { FormatError } from '../core/errors.ts';
import { dataExtents } from '../formats/erofs/data-map.ts';
import type { ErofsInode } from '../formats/erofs/inode.ts';
import { EROFS_FEATURE_COMPAT_SB_CHKSUM, EROFS_SUPER_OFFSET } from '../formats/erofs/layout.ts';
import { openErofs, type ErofsReader } from '../formats/erofs/reader.ts';
import type { ByteSource } from '../io/byte-source.ts';

/** What some blocks of an image hold. */
export interface ErofsOwners {
  /** By block: paths of files whose data it has, or whose inode. At most eight a block. */
  readonly paths: ReadonlyMap<number, readonly string[]>;
  /** Folders and files of which a part could not be read: they may own any of the blocks. */
  readonly unreadable: readonly string[];
}

/** Where the superblock has `feature_compat`, in bytes. */
const FEATURE_COMPAT = 8;

/** More names than that say no more. */
const MAX_PATHS = 8;
const MAX_UNREADABLE = 100;
/** As deep as a path can be. */
const MAX_DEPTH = 2048;

/**
 * Finds the owners of blocks.
 *
 * @param blocks In ascending order; block sizes need not be those of the image.
 * @returns undefined when the image is no EROFS, or its superblock or root cannot be read.
 */
export async function findErofsOwners(
  image: ByteSource,
  blocks: readonly number[],
  blockSize: number,
  signal?: AbortSignal,
): Promise<ErofsOwners | undefined> {
  const reader = await openOrUndefined(image);
  if (reader === undefined) return undefined;
  const paths = new Map<number, string[]>();
  const unreadable: string[] = [];
  const missed = (path: string): void => {
    if (unreadable.length < MAX_UNREADABLE && unreadable.at(-1) !== path) unreadable.push(path);
  };
  const claim = (path: string, offset: number, length: number): void => {
    if (length <= 0) return;
    const last = Math.floor((offset + length - 1) / blockSize);
    for (let i = lowerBound(blocks, Math.floor(offset / blockSize)); i < blocks.length; i += 1) {
      const block = blocks[i] ?? 0;
      if (block > last) break;
      const owners = paths.get(block) ?? [];
      if (owners.length < MAX_PATHS && owners.at(-1) !== path) owners.push(path);
      paths.set(block, owners);
    }
  };

  claim('(superblock)', 0, 1024 + 128);
  const pending = [{ inode: reader.root, path: '/', depth: 0 }];
  const known = new Set<number>([reader.root.nid]);
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    signal?.throwIfAborted();
    const { inode, path, depth } = at;
    if (!(await claimInode(reader, inode, path, claim))) missed(path);
    if (inode.kind !== 'directory' || depth > MAX_DEPTH) continue;
    try {
      for await (const { name, nid } of reader.listDirectory(inode)) {
        if (name === '.' || name === '..' || known.has(Number(nid))) continue;
        known.add(Number(nid));
        const child = `${path === '/' ? '' : path}/${name}`;
        try {
          pending.push({ inode: await reader.readInode(nid), path: child, depth: depth + 1 });
        } catch (error) {
          ignoreFormatError(error);
          missed(child);
        }
      }
    } catch (error) {
      ignoreFormatError(error);
      missed(path);
    }
  }
  if (reader.packed !== undefined) {
    await claimInode(reader, reader.packed, '(tails of several files)', claim);
  }
  return { paths, unreadable };
}

async function openOrUndefined(image: ByteSource): Promise<ErofsReader | undefined> {
  try {
    return await openErofs(image);
  } catch (error) {
    ignoreFormatError(error);
    if (!(error instanceof FormatError) || error.code !== 'bad-checksum') return undefined;
  }
  try {
    return await openErofs(withoutChecksum(image));
  } catch (error) {
    ignoreFormatError(error);
    return undefined;
  }
}

/**
 * The image as one without a checksum: it covers the whole first block, inodes included, and that something is
 * corrupt is known.
 */
function withoutChecksum(image: ByteSource): ByteSource {
  const at = EROFS_SUPER_OFFSET + FEATURE_COMPAT;
  return {
    name: image.name,
    size: image.size,
    async read(offset, length) {
      const bytes = await image.read(offset, length);
      if (offset > at || offset + length <= at) return bytes;
      const patched = bytes.slice();
      patched[at - offset] = (patched[at - offset] ?? 0) & ~EROFS_FEATURE_COMPAT_SB_CHKSUM;
      return patched;
    },
    close: () => Promise.resolve(),
  };
}

/** Claims the inode itself and its data. @returns whether all of it could be read. */
async function claimInode(
  reader: ErofsReader,
  inode: ErofsInode,
  path: string,
  claim: (path: string, offset: number, length: number) => void,
): Promise<boolean> {
  claim(path, inode.offset, inode.tailOffset - inode.offset);
  if (inode.kind !== 'file' && inode.kind !== 'directory' && inode.kind !== 'symlink') return true;
  try {
    for await (const extent of dataExtents(reader.metadata, inode, reader.geometry)) {
      if (extent.kind === 'stored') claim(path, extent.offset, extent.length);
      else if (extent.kind === 'encoded') claim(path, extent.offset, extent.storedSize);
    }
    return true;
  } catch (error) {
    ignoreFormatError(error);
    return false;
  }
}

function ignoreFormatError(error: unknown): void {
  if (!(error instanceof FormatError)) throw error;
}

/** The place of the first number that is not below `value`. */
function lowerBound(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
