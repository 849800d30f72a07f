/**
 * What an archive holds, told apart from how it holds it: tar, ZIP and image layers all become lists of
 * such entries, whose data stands in one file on disk. Lists can be kept beside that file.
 */

import { createReadStream } from 'node:fs';
import { FormatError } from '../core/errors.ts';
import { bytesContent, type FileContent } from './file-tree.ts';

interface EntryBase {
  /** Absolute in the archive's own root: `/usr/bin/true`; `/` for the root itself. */
  readonly path: string;
  /** 0..0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since 1970. */
  readonly mtime: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** A stored part of a sparse file: `size` bytes of it from `at` on stand in the data file at `offset`. */
export interface Piece {
  readonly at: number;
  readonly offset: number;
  readonly size: number;
}

export interface ArchiveFile extends EntryBase {
  readonly kind: 'file';
  /** In bytes, holes included. */
  readonly size: number;
  /** Of its data in the data file, in bytes. */
  readonly offset: number;
  /** Of a sparse file, in order: what is stored. What is between them is zeros. */
  readonly pieces?: readonly Piece[];
}

export type ArchiveEntry =
  | ArchiveFile
  | (EntryBase & { readonly kind: 'directory' })
  | (EntryBase & { readonly kind: 'symlink'; readonly target: string })
  /** `target` is a path as `path` is. */
  | (EntryBase & { readonly kind: 'hardlink'; readonly target: string })
  | (EntryBase & {
      readonly kind: 'char-device' | 'block-device';
      readonly major: number;
      readonly minor: number;
    })
  | (EntryBase & { readonly kind: 'fifo' });

/** The lines that `decodeEntries` reads: one an entry, in order. */
export function* encodeEntries(entries: Iterable<ArchiveEntry>): Generator<Uint8Array> {
  let lines: string[] = [];
  for (const { xattrs, ...entry } of entries) {
    const known =
      xattrs.size === 0
        ? entry
        : {
            ...entry,
            xattrs: [...xattrs].map(([name, value]) => [
              name,
              Buffer.from(value).toString('base64'),
            ]),
          };
    lines.push(JSON.stringify(known));
    if (lines.length === 1024) {
      yield Buffer.from(`${lines.join('\n')}\n`);
      lines = [];
    }
  }
  if (lines.length > 0) yield Buffer.from(`${lines.join('\n')}\n`);
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** What `encodeEntries` wrote. It comes from this machine's cache, whose digest has been compared. */
export function* decodeEntries(text: string): Generator<ArchiveEntry> {
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\n', at);
    const { xattrs, ...entry } = JSON.parse(text.slice(at, end)) as Omit<ArchiveEntry, 'xattrs'> & {
      xattrs?: readonly (readonly [string, string])[];
    };
    yield {
      ...entry,
      xattrs:
        xattrs === undefined
          ? NO_XATTRS
          : new Map(
              xattrs.map(([name, value]) => [name, new Uint8Array(Buffer.from(value, 'base64'))]),
            ),
    } as ArchiveEntry;
    at = end + 1;
  }
}

/** What is in a file on disk between two offsets. */
export function sliceContent(path: string, offset: number, size: number): FileContent {
  return size === 0 ? EMPTY : new SliceContent(path, offset, size);
}

const EMPTY = bytesContent(new Uint8Array(0));
const CHUNK = 1 << 20;

/** A class, as there are as many as files: each is one small object. */
class SliceContent implements FileContent {
  readonly size: number;
  readonly #path: string;
  readonly #offset: number;

  constructor(path: string, offset: number, size: number) {
    this.size = size;
    this.#path = path;
    this.#offset = offset;
  }

  get slice(): { readonly path: string; readonly offset: number } {
    return { path: this.#path, offset: this.#offset };
  }

  stream(): AsyncIterable<Uint8Array> {
    return readSlice(this.#path, this.#offset, this.size);
  }
}

async function* readSlice(path: string, offset: number, size: number): AsyncGenerator<Uint8Array> {
  let done = 0;
  const options = { start: offset, end: offset + size - 1, highWaterMark: CHUNK };
  for await (const chunk of createReadStream(path, options)) {
    done += (chunk as Buffer).length;
    yield chunk as Uint8Array;
  }
  if (done !== size) {
    throw new FormatError('file', 'truncated', `${path} became shorter while it was read`);
  }
}

/** The content of a file whose data stands in `path`. */
export function entryContent(path: string, entry: ArchiveFile): FileContent {
  const { size, offset, pieces } = entry;
  if (pieces === undefined) return sliceContent(path, offset, size);
  return {
    size,
    async *stream() {
      let at = 0;
      for (const piece of [...pieces, { at: size, offset: 0, size: 0 }]) {
        while (at < piece.at) {
          const hole = Math.min(CHUNK, piece.at - at);
          at += hole;
          yield new Uint8Array(hole);
        }
        if (piece.size > 0) yield* readSlice(path, piece.offset, piece.size);
        at += piece.size;
      }
    },
  };
}
