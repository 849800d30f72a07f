/**
 * Writing the entries of an archive to a directory. Every name is checked, everything is created anew within a
 * directory that nobody else knows, and symbolic links are made last, so that none is followed. The directory
 * appears whole or not at all.
 */

import { constants } from 'node:fs';
import { chmod, link, lstat, lutimes, mkdir, open, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FormatError, UsageError } from '../../core/errors.ts';
import { writeDirectoryAtomic } from '../../io/atomic-output.ts';
import type { Entry, EntryList } from './entry.ts';

export interface ExtractOptions {
  /** Only what is at or below this path, which becomes the root. */
  readonly from?: string;
  /** The most bytes to write. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

export interface ExtractReport {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  readonly links: number;
  /** In bytes. */
  readonly written: number;
  readonly skipped: readonly { readonly path: string; readonly what: string }[];
  readonly moreSkipped: number;
}

const MAX_BYTES = 64 * 2 ** 30;
const MAX_SKIPPED = 1000;
/** Longest name that Linux takes, in bytes. */
const MAX_NAME = 255;

/**
 * The parts of an entry's name.
 *
 * @throws {FormatError} naming the entry, when they could lead elsewhere.
 */
export function safeParts(name: string): readonly string[] {
  const parts = name.split('/');
  const odd = parts.find(
    (part) =>
      part === '' ||
      part === '.' ||
      part === '..' ||
      /\p{Cc}/u.test(part) ||
      Buffer.byteLength(part) > MAX_NAME,
  );
  if (odd === undefined) return parts;
  throw new FormatError(
    'archive',
    'bad-value',
    `Cannot extract entry ${JSON.stringify(name.slice(0, 200))}: its name could lead elsewhere`,
    { field: name.slice(0, 200) },
  );
}

/** The path below `from`, empty for `from` itself, or undefined when it is not there. */
export function below(name: string, from: string): string | undefined {
  if (from === '') return name;
  if (name === from) return '';
  return name.startsWith(`${from}/`) ? name.slice(from.length + 1) : undefined;
}

export const cleanPath = (path: string): string => path.replaceAll(/^\/+|\/+$/g, '');

/**
 * Restored are data, names, hard and symbolic links, permission bits without set-id, and times; what else an
 * archive holds is told.
 *
 * @param directory Must not exist.
 * @throws {FormatError} when the archive is damaged or hostile, or holds more than `maxBytes`.
 * @throws {UsageError} `output` when `directory` exists, `input` when nothing is at `from`.
 */
export async function extractEntries(
  list: EntryList,
  directory: string,
  options: ExtractOptions = {},
): Promise<ExtractReport> {
  const exists = await lstat(directory).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
  if (exists) {
    throw new UsageError('output', `Cannot extract to ${directory}: it exists already`, {
      hint: 'Name a directory that does not exist yet',
    });
  }
  return writeDirectoryAtomic(directory, (temporary) => extractTo(list, temporary, options));
}

interface Made {
  readonly path: string;
  readonly entry: Entry;
}

async function extractTo(
  list: EntryList,
  target: string,
  { from: given = '', maxBytes = MAX_BYTES, signal }: ExtractOptions,
): Promise<ExtractReport> {
  const from = cleanPath(given);
  const files = new Set<string>();
  const directories: Made[] = [];
  const links: Made[] = [];
  const skipped: { path: string; what: string }[] = [];
  const count = { files: 0, directories: 0, symlinks: 0, links: 0, written: 0, moreSkipped: 0 };
  let found = from === '';
  for await (const { entry, data } of list.entries()) {
    signal?.throwIfAborted();
    const inner = below(entry.name, from);
    if (inner === undefined) continue;
    found = true;
    if (inner === '') {
      if (entry.kind === 'directory' || from === '') continue;
      throw new UsageError('input', `Cannot extract ${given}: it is a ${entry.kind}`, {
        hint: 'A single file is written by "cat"',
      });
    }
    const path = join(target, ...safeParts(inner));
    switch (entry.kind) {
      case 'directory':
        await mkdir(path, { recursive: true }).catch((cause: unknown) => clash(entry, cause));
        directories.push({ path, entry });
        count.directories += 1;
        break;
      case 'file':
        await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) =>
          clash(entry, cause),
        );
        count.written += await writeFile(path, entry, data, maxBytes - count.written);
        files.add(entry.name);
        count.files += 1;
        break;
      case 'symlink':
      case 'hardlink':
        links.push({ path, entry });
        break;
      case 'block-device':
      case 'char-device':
      case 'fifo':
      case 'socket':
        if (skipped.length < MAX_SKIPPED) skipped.push({ path: entry.name, what: entry.kind });
        else count.moreSkipped += 1;
        break;
      default:
        entry.kind satisfies never;
    }
  }
  if (!found) throw new UsageError('input', `Cannot find ${given}: the archive has no such entry`);
  for (const { path, entry } of links) {
    await mkdir(dirname(path), { recursive: true }).catch((cause: unknown) => clash(entry, cause));
    if (entry.kind === 'symlink') {
      await symlink(await targetOf(entry, list), path).catch((cause: unknown) =>
        clash(entry, cause),
      );
      if (entry.mtime !== undefined) await lutimes(path, entry.mtime, entry.mtime);
      count.symlinks += 1;
      continue;
    }
    const other = below(cleanPath(entry.target ?? ''), from);
    if (other === undefined || !files.has(cleanPath(entry.target ?? ''))) {
      skipped.push({ path: entry.name, what: `hard link to ${entry.target}` });
      continue;
    }
    await link(join(target, ...safeParts(other)), path).catch((cause: unknown) =>
      clash(entry, cause),
    );
    count.links += 1;
  }
  // Last, and from below: a directory that cannot be written would keep its own entries out.
  for (const { path, entry } of directories.toReversed()) {
    if (entry.mode !== undefined) await chmod(path, (entry.mode & 0o777) | 0o700);
    if (entry.mtime !== undefined) await utimes(path, entry.mtime, entry.mtime);
  }
  return { ...count, skipped };
}

/** Of a ZIP archive the target of a link is its data. */
async function targetOf(entry: Entry, list: EntryList): Promise<string> {
  if (entry.target !== undefined) return entry.target;
  const MAX_TARGET = 4095;
  for await (const { entry: other, data } of list.entries()) {
    if (other.name !== entry.name || other.size > MAX_TARGET) continue;
    const parts: Uint8Array[] = [];
    for await (const chunk of data) parts.push(chunk.slice());
    const target = Buffer.concat(parts).toString('utf8');
    if (target !== '' && !target.includes('\0')) return target;
  }
  throw new FormatError('archive', 'bad-value', `Cannot extract ${entry.name}: a link to nothing`, {
    field: entry.name,
  });
}

/** What stands in the way was made by another entry. */
function clash(entry: Entry, cause: unknown): never {
  const { code = '' } = cause as NodeJS.ErrnoException;
  if (!['EEXIST', 'ENOTDIR', 'EISDIR', 'ELOOP'].includes(code)) throw cause;
  throw new FormatError(
    'archive',
    'duplicate',
    `Cannot extract entry ${JSON.stringify(entry.name)}: another entry is there`,
    { field: entry.name, cause },
  );
}

async function writeFile(
  path: string,
  entry: Entry,
  data: AsyncIterable<Uint8Array>,
  room: number,
): Promise<number> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(path, flags, 0o600).catch((cause: unknown) => clash(entry, cause));
  let written = 0;
  try {
    for await (const chunk of data) {
      written += chunk.length;
      if (written > room) {
        throw new FormatError('archive', 'too-large', 'Cannot extract archive: it holds too much', {
          field: entry.name,
          hint: 'Raise --max-size where that is meant',
        });
      }
      await handle.write(chunk);
    }
    if (entry.mode !== undefined) await handle.chmod(entry.mode & 0o777);
    else await handle.chmod(0o644);
    if (entry.mtime !== undefined) await handle.utimes(entry.mtime, entry.mtime);
  } finally {
    await handle.close();
  }
  return written;
}
