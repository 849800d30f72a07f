/** Entries of a tar archive: checked paths, plain kinds, data as it streams by. */

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Headers } from 'tar-stream';
import { FormatError } from '../../core/errors.ts';
import { splitPath } from '../../io/file-tree.ts';
import type { ArchiveEntry } from '../../io/archive-entry.ts';
import { strictTar, type EntryFacts } from './strict.ts';

/** An entry as it streams by. */
export interface StreamedEntry {
  readonly entry: ArchiveEntry;
  /** Of a file, as it is stored: to be read before the next entry is asked for, or not at all. */
  readonly data: AsyncIterable<Uint8Array>;
}

/** Longest path that Linux takes, without its NUL. */
const PATH_MAX = 4095;

function refuse(archive: string, entry: string, why: string): never {
  const shown = JSON.stringify(entry.length > 120 ? `${entry.slice(0, 120)}...` : entry);
  throw new FormatError('tar', 'bad-value', `Cannot read ${archive}: entry ${shown} ${why}`, {
    field: entry.slice(0, 200),
  });
}

/** `./usr/bin/` becomes `/usr/bin`; what could leave the root, or be read in two ways, is refused. */
function normalisePath(archive: string, entry: string, name: string): string {
  if (name.startsWith('/')) refuse(archive, entry, 'has an absolute path');
  if (/\p{Cc}/u.test(name)) refuse(archive, entry, 'has a control character in its path');
  const path = `/${name.replace(/^(?:\.\/)+/, '').replace(/\/$/, '')}`;
  if (Buffer.byteLength(path) > PATH_MAX) refuse(archive, entry, 'has too long a path');
  if (path === '/' || path === '/.') return '/';
  try {
    splitPath(path);
  } catch (error) {
    refuse(archive, entry, `is refused: ${error instanceof Error ? error.message : ''}`);
  }
  return path;
}

function entryOf(header: Headers, facts: EntryFacts, archive: string): ArchiveEntry {
  const name = facts.path ?? header.name;
  const path = normalisePath(archive, name, name);
  const { size, offset, pieces, uid, gid, mtime, xattrs } = facts;
  const base = { path, mode: (header.mode ?? 0) & 0o7777, uid, gid, mtime, xattrs };
  const link = header.linkname ?? '';
  const { type } = header;
  switch (type) {
    case 'file':
      return { ...base, kind: 'file', size, offset, ...(pieces && { pieces }) };
    case 'directory':
      return { ...base, kind: 'directory' };
    case 'symlink':
      if (link === '' || link.includes('\0')) refuse(archive, name, 'is a link to nothing');
      return { ...base, kind: 'symlink', target: link };
    case 'link':
      return { ...base, kind: 'hardlink', target: normalisePath(archive, name, link) };
    case 'character-device':
    case 'block-device':
      return {
        ...base,
        kind: type === 'block-device' ? 'block-device' : 'char-device',
        major: header.devmajor ?? 0,
        minor: header.devminor ?? 0,
      };
    case 'fifo':
      return { ...base, kind: 'fifo' };
    case 'contiguous-file':
    case 'gnu-long-link-path':
    case 'gnu-long-path':
    case 'pax-global-header':
    case 'pax-header':
    case null:
    case undefined:
    default:
      return refuse(archive, name, `is of a type that is not supported: ${String(type)}`);
  }
}

/**
 * Reads the entries of an uncompressed archive, in order.
 *
 * @param name Of the archive, for errors.
 * @throws {FormatError} naming the entry, when the archive is not strictly well formed or a path could
 *   leave its root.
 */
export async function* readTar(
  input: AsyncIterable<Uint8Array>,
  name: string,
): AsyncGenerator<StreamedEntry> {
  const parser = extract({ allowUnknownFormat: true });
  let failure: unknown;
  const facts: EntryFacts[] = [];
  let index = 0;
  const feeding = pipeline(Readable.from(strictTar(input, name, facts)), parser).catch(
    (error: unknown) => {
      failure = error;
    },
  );
  try {
    for await (const entry of parser) {
      const known = facts[index];
      if (known === undefined) throw new TypeError('An entry came before its header was checked');
      index += 1;
      yield { entry: entryOf(entry.header, known, name), data: entry as AsyncIterable<Uint8Array> };
      entry.resume();
    }
    await feeding;
  } catch (error) {
    // What an entry was refused for comes first, then what the gate refused: tar-stream only reports that it
    // was closed.
    if (error instanceof FormatError) throw error;
    parser.destroy();
    await feeding;
    throw asFormatError(failure ?? error, name);
  } finally {
    parser.destroy();
    await feeding;
  }
  if (failure !== undefined) throw asFormatError(failure, name);
}

function asFormatError(error: unknown, name: string): unknown {
  if (error instanceof FormatError || !(error instanceof Error)) return error;
  return new FormatError('tar', 'bad-value', `Cannot read ${name}: ${error.message}`, {
    cause: error,
  });
}
