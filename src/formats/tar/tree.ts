/** A tar archive as a file tree. */

import { FormatError } from '../../core/errors.ts';
import type { ArchiveEntry, ArchiveFile, Piece } from '../../io/archive-entry.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { entryTree } from '../../io/entry-tree.ts';
import { bytesContent, type Directory, type FileContent } from '../../io/file-tree.ts';
import { decompress } from './decompress.ts';
import { readTar, type StreamedEntry } from './read.ts';

/** Where the data of files goes while the archive streams by. */
export interface ContentStore {
  /** Takes exactly `size` bytes. */
  add(data: AsyncIterable<Uint8Array>, size: number): Promise<FileContent>;
}

/** Keeps files in memory: for small archives, or a small selection of a large one. */
export const memoryStore: ContentStore = {
  async add(data, size) {
    const bytes = new Uint8Array(size);
    let at = 0;
    for await (const chunk of data) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytesContent(bytes);
  },
};

export interface TarTreeOptions {
  /** Default: in memory. */
  readonly store?: ContentStore;
  /** Which paths to take; directories above them come along with default attributes. Default: all. */
  readonly select?: (path: string) => boolean;
  /** Takes device nodes and pipes, which are contents otherwise. */
  readonly allowDevices?: boolean;
  /** Of the decompressed archive, in bytes. Default 4 GiB. */
  readonly maxSize?: number;
  /** Default 1 000 000. */
  readonly maxEntries?: number;
}

/**
 * Reads an archive, compressed or not, into a tree.
 *
 * @throws {FormatError} naming archive and entry, when it is damaged, hostile or too large.
 */
export async function tarToTree(
  source: ByteSource,
  options: TarTreeOptions = {},
): Promise<Directory> {
  const { select, maxSize = 2 ** 32, maxEntries, store = memoryStore, allowDevices } = options;
  const tree = entryTree({ format: 'tar', archive: source.name, allowDevices });
  let size = 0;
  for await (const { entry, data } of countedEntries(
    decompress(source, maxSize),
    source.name,
    maxEntries,
  )) {
    if (select !== undefined && !select(entry.path)) continue;
    refuseXattrs(source.name, entry);
    const contents = new Map<ArchiveFile, FileContent>();
    if (entry.kind === 'file') {
      // Holes cost nothing in the archive, and memory here.
      size += entry.size;
      if (size > maxSize) tooLarge(source.name, `its files have more than ${maxSize} bytes`);
      contents.set(entry, await store.add(withHoles(entry, data), entry.size));
    }
    tree.add(entry, (file) => contents.get(file) as FileContent);
  }
  return tree.root;
}

export interface IndexTarOptions {
  /** Default 1 000 000. */
  readonly maxEntries?: number | undefined;
  /** Told of the stored data of each file as it passes, and once with nothing at its end. */
  readonly onData?: ((path: string, chunk: Uint8Array | undefined) => void) | undefined;
}

/**
 * Lists an archive that is not compressed. The data is passed over: its offsets are those of `input`.
 *
 * @throws {FormatError} naming archive and entry, when it is damaged, hostile or too large.
 */
export async function indexTar(
  input: AsyncIterable<Uint8Array>,
  name: string,
  { maxEntries, onData }: IndexTarOptions = {},
): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  for await (const { entry, data } of countedEntries(input, name, maxEntries)) {
    entries.push(entry);
    if (onData === undefined || entry.kind !== 'file') continue;
    for await (const chunk of data) onData(entry.path, chunk);
    onData(entry.path, undefined);
  }
  return entries;
}

async function* countedEntries(
  input: AsyncIterable<Uint8Array>,
  name: string,
  maxEntries = 1_000_000,
): AsyncGenerator<StreamedEntry> {
  let count = 0;
  for await (const streamed of readTar(input, name)) {
    count++;
    if (count > maxEntries) tooLarge(name, `it has more than ${maxEntries} entries`);
    yield streamed;
  }
}

function tooLarge(name: string, why: string): never {
  throw new FormatError('tar', 'too-large', `Cannot read ${name}: ${why}`);
}

/** security.capability makes a program privileged: not something any archive may decide. */
function refuseXattrs(archive: string, { path, xattrs }: ArchiveEntry): void {
  const name = [...xattrs.keys()].find((each) => !each.startsWith('user.'));
  if (name === undefined) return;
  throw new FormatError(
    'tar',
    'bad-value',
    `Cannot read ${archive}: entry ${JSON.stringify(path)} sets the extended attribute ${name}`,
    { field: path },
  );
}

/** The data of a file with the zeros of its holes. */
async function* withHoles(
  { size, pieces }: ArchiveFile,
  data: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  if (pieces === undefined) return yield* data;
  let at = 0;
  let stored = 0;
  let index = 0;
  for await (const chunk of data) {
    for (let from = 0; from < chunk.length;) {
      const piece = pieces[index] as Piece;
      const start = piece.at + (stored - (piece.offset - (pieces[0]?.offset ?? 0)));
      for (; at < start; at += Math.min(HOLE, start - at)) {
        yield new Uint8Array(Math.min(HOLE, start - at));
      }
      const part = chunk.subarray(from, from + piece.at + piece.size - at);
      yield part;
      from += part.length;
      stored += part.length;
      at += part.length;
      if (at === piece.at + piece.size) index += 1;
    }
  }
  for (; at < size; at += Math.min(HOLE, size - at))
    yield new Uint8Array(Math.min(HOLE, size - at));
}

const HOLE = 1 << 20;
