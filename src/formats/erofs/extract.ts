/**
 * Writing the files of an image to a directory. Names were checked by the reader, everything is
 * created anew within a directory that nobody else knows, and no symbolic link is followed: they are
 * made last. The directory appears whole or not at all.
 */

import { constants } from 'node:fs';
import {
  chmod,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  symlink,
  utimes,
  type FileHandle,
} from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, UsageError } from '../../core/errors.ts';
import { writeDirectoryAtomic } from '../../io/atomic-output.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { findErofsPath } from './find-path.ts';
import type { ErofsInode } from './inode.ts';
import { openErofs, type ErofsReader } from './reader.ts';
import { walkImage, type WalkedName } from './walk-image.ts';

export interface ExtractErofsOptions {
  /** Absolute path in the image of the directory whose contents are written; `/` when left out. */
  readonly from?: string;
  /** Whether files get the owners of the image, which takes root's rights. Otherwise they are the caller's. */
  readonly owners?: boolean;
  /** The most bytes of data to write; holes do not count. Default: 256 times the image, at least 4 GiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (written: number) => void;
}

export interface ExtractErofsReport {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  /** Further names of files. */
  readonly links: number;
  /** Bytes of data, without holes. */
  readonly written: number;
  /** Each thing of the image that the directory lacks: what, and where. */
  readonly skipped: readonly { readonly path: string; readonly what: string }[];
  /** How many more there were. */
  readonly moreSkipped: number;
}

const MAX_SKIPPED = 1000;
const MODE_BITS = 0o7777;
/** Set-uid and set-gid: of somebody else's file they would be the caller's. */
const SET_ID_BITS = 0o6000;

/**
 * Writes the contents of a directory of an image, or all of it, into a new directory.
 *
 * Restored are data (holes stay holes), names, hard links, symbolic links, permission bits and
 * modification times to the microsecond; owners and set-id bits when asked for. Devices, fifos, sockets and extended
 * attributes are not: Node has no calls for them, and the report names each.
 *
 * @param directory Must not exist.
 * @throws {FormatError} when the image is not usable, or stands for more bytes than `maxBytes`.
 * @throws {UsageError} `output` when `directory` exists, `input` when `from` is no directory.
 * @throws the system's error when something cannot be written; then nothing is left behind.
 */
export async function extractErofs(
  source: ByteSource,
  directory: string,
  options: ExtractErofsOptions = {},
): Promise<ExtractErofsReport> {
  const reader = await openErofs(source);
  const from = await findErofsPath(reader, options.from ?? '/');
  if (from.kind !== 'directory') {
    throw new UsageError('input', `Cannot extract ${options.from}: it is a ${from.kind}`, {
      hint: 'A single file is written by "cat"',
    });
  }
  await refuseExisting(directory);
  return writeDirectoryAtomic(directory, (temporary) =>
    extractTo(reader, from, temporary, options),
  );
}

async function refuseExisting(directory: string): Promise<void> {
  try {
    await lstat(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  throw new UsageError('output', `Cannot extract to ${directory}: it exists already`, {
    hint: 'Name a directory that does not exist yet',
  });
}

interface Attributes {
  readonly path: string;
  readonly inode: ErofsInode;
}

async function extractTo(
  reader: ErofsReader,
  from: ErofsInode,
  target: string,
  options: ExtractErofsOptions,
): Promise<ExtractErofsReport> {
  const limit = options.maxBytes ?? Math.max(2 ** 32, reader.geometry.imageSize * 256);
  const skipped: { path: string; what: string }[] = [];
  let moreSkipped = 0;
  const skip = (path: string, what: string): void => {
    if (skipped.length < MAX_SKIPPED) skipped.push({ path, what });
    else moreSkipped += 1;
  };
  const counts = { files: 0, directories: 0, symlinks: 0, links: 0, written: 0 };
  const firstNames = new Map<number, string>();
  const directories: Attributes[] = [];
  const symlinks: Attributes[] = [];
  const place = (path: string): string => join(target, ...path.split('/'));

  const write = async ({ path, inode, isFirst, entry }: WalkedName): Promise<void> => {
    if (entry !== undefined && entry.kind !== inode.kind) throw contradiction(path, inode);
    if (!isFirst) {
      if (inode.kind === 'directory') throw contradiction(path, inode);
      const first = firstNames.get(inode.nid);
      if (first === undefined) {
        if (inode.kind === 'symlink') symlinks.push({ path, inode });
        else skip(path, `a ${inode.kind}`);
        return;
      }
      await link(place(first), place(path));
      counts.links += 1;
      return;
    }
    for (const name of (await reader.readXattrs(inode)).keys()) {
      skip(path, `the extended attribute ${name}`);
    }
    switch (inode.kind) {
      case 'directory':
        if (path !== '/') await mkdir(place(path), { mode: 0o700 });
        directories.push({ path, inode });
        break;
      case 'file':
        firstNames.set(inode.nid, path);
        await writeFile(path, inode);
        counts.files += 1;
        break;
      case 'symlink':
        symlinks.push({ path, inode });
        break;
      case 'char-device':
      case 'block-device':
      case 'fifo':
      case 'socket':
        skip(path, `a ${inode.kind}`);
        break;
      default:
        inode.kind satisfies never;
    }
  };

  const writeFile = async (path: string, inode: ErofsInode): Promise<void> => {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const handle = await open(place(path), flags, 0o600);
    try {
      await writeData(handle, inode);
      await setAttributes(handle, inode);
    } finally {
      await handle.close();
    }
  };

  const writeData = async (handle: FileHandle, inode: ErofsInode): Promise<void> => {
    let at = 0;
    for await (const part of reader.readParts(inode)) {
      options.signal?.throwIfAborted();
      if (!('data' in part)) {
        at += part.zeros;
        continue;
      }
      counts.written += part.data.length;
      if (counts.written > limit) {
        throw new FormatError(
          'erofs',
          'too-large',
          `Cannot extract EROFS: its files have over ${limit} bytes`,
          { offset: inode.offset, field: 'i_size', hint: 'A larger limit can be allowed' },
        );
      }
      await handle.write(part.data, 0, part.data.length, at);
      at += part.data.length;
      options.onProgress?.(counts.written);
    }
    // A hole at the end is only a size.
    await handle.truncate(inode.size);
  };

  const modeOf = ({ mode }: ErofsInode): number =>
    options.owners === true ? mode & MODE_BITS : mode & MODE_BITS & ~SET_ID_BITS;
  const timeOf = (inode: ErofsInode): number => {
    const { mtime, mtimeNsec } = reader.modificationTime(inode);
    return mtime + mtimeNsec / 1e9;
  };
  const setAttributes = async (handle: FileHandle, inode: ErofsInode): Promise<void> => {
    if (options.owners === true) await handle.chown(inode.uid, inode.gid);
    // Behind the owner, whose change clears set-id bits.
    await handle.chmod(modeOf(inode));
    await handle.utimes(timeOf(inode), timeOf(inode));
  };

  for await (const name of walkFrom(reader, from)) {
    options.signal?.throwIfAborted();
    await write(name);
  }
  for (const { path, inode } of symlinks) {
    await symlink(await reader.readSymlink(inode), place(path));
    if (options.owners === true) await lchown(place(path), inode.uid, inode.gid);
    await lutimes(place(path), timeOf(inode), timeOf(inode));
    counts.symlinks += 1;
  }
  // Innermost first: what is made in a directory changes its time, and its mode may forbid it.
  for (const { path, inode } of directories.toReversed()) {
    if (options.owners === true) await lchown(place(path), inode.uid, inode.gid);
    await chmod(place(path), modeOf(inode));
    await utimes(place(path), timeOf(inode), timeOf(inode));
    counts.directories += 1;
  }
  return { ...counts, skipped, moreSkipped };
}

/** The names below a directory, with paths that start there. */
const walkFrom = (reader: ErofsReader, root: ErofsInode): AsyncGenerator<WalkedName> =>
  walkImage({ ...reader, root });

const contradiction = (path: string, inode: ErofsInode): Error =>
  new FormatError(
    'erofs',
    'bad-value',
    `Cannot extract EROFS: ${path} is not what its entry says`,
    {
      offset: inode.offset,
      field: 'file_type',
    },
  );
