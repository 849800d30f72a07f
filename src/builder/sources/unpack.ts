/**
 * Archives, unpacked once: what they hold is kept in the cache as one uncompressed file, and a list of what stands
 * where in it. Nothing is held in memory but the list.
 */

import { open, stat } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import { runAction, type InputDigest } from '../../cache/action.ts';
import { digestFile, type Cache } from '../../cache/store.ts';
import { decompress, detectCompression } from '../../formats/tar/decompress.ts';
import { licenseOfCopyright, MAX_COPYRIGHT_SIZE } from '../../formats/tar/deb-copyright.ts';
import { md5Checker, openDeb, type DebControl } from '../../formats/tar/deb.ts';
import { indexTar } from '../../formats/tar/tree.ts';
import {
  decodeEntries,
  encodeEntries,
  sliceContent,
  type ArchiveEntry,
} from '../../io/archive-entry.ts';
import { openFileSource, sliceSource, type ByteSource } from '../../io/byte-source.ts';

/** An archive on disk. */
export interface Archive {
  readonly path: string;
  /** Where it stands in the file, in bytes; default: it is the file. */
  readonly slice?: { readonly offset: number; readonly size: number };
  /** What messages call it. */
  readonly name: string;
  /** Of the archive. */
  readonly digest: InputDigest;
  /** Told now and then how much of it is unpacked, in bytes; not when that was done before. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What an archive holds. */
export interface Unpacked<T = undefined> {
  /** The file in which the data of `entries` stands. */
  readonly path: string;
  readonly entries: readonly ArchiveEntry[];
  readonly value: T;
}

/** What is less than this is never a bomb. In bytes. */
const MIN_LIMIT = 64 << 20;
/** What decompresses to more than that of itself is made to fill the disk. Text in xz reaches 30. */
const MAX_RATIO = 100;
/** Larger than any system. In bytes. */
const MAX_UNPACKED = 64 * 2 ** 30;

/** How much an archive of `size` bytes may decompress to. */
export const unpackedLimit = (size: number): number =>
  Math.min(Math.max(MIN_LIMIT, size * MAX_RATIO), MAX_UNPACKED);

/** A file of the recipe with its digest. */
export interface LocalArchive {
  readonly archive: Archive;
  /** @throws {UsageError} `input` when it is another file by now. */
  readonly checkUnchanged: () => Promise<void>;
}

/** SHA-256 of a file in hexadecimal, and its size. */
export type DigestOf = (path: string) => Promise<InputDigest>;

/** Looks at a file of the recipe. */
export async function localArchive(
  path: string,
  name: string,
  digestOf: DigestOf = digestFile,
): Promise<LocalArchive> {
  const before = await identity(path);
  const digest = await digestOf(path);
  return {
    archive: { path, name, digest },
    async checkUnchanged() {
      if ((await identity(path)) === before) return;
      throw new UsageError('input', `Cannot use ${name}: it changed while it was read`);
    },
  };
}

async function identity(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

/** Unpacks a tar archive: plain, or packed with gzip, xz or zstd. */
export async function unpackTar(cache: Cache, archive: Archive): Promise<Unpacked> {
  const { entries, path } = await unpack(cache, archive, 'unpack-tar/1', (source) =>
    Promise.resolve({ source, value: null }),
  );
  return { entries, path, value: undefined };
}

/** What is kept of a package's control file, and what its copyright file tells. */
export type PackageFacts = Omit<DebControl, 'md5sums'> & {
  /** SPDX expression. */
  readonly license: string | null;
};

/**
 * Unpacks a Debian package.
 *
 * @throws {FormatError} `bad-checksum` when a file is not as the package's own list of digests says.
 */
export function unpackDeb(cache: Cache, archive: Archive): Promise<Unpacked<PackageFacts>> {
  return unpack(cache, archive, 'unpack-deb/2', async (deb) => {
    const { control, data } = await openDeb(deb);
    const checker = md5Checker(deb.name, control);
    const copyright = collect(`/usr/share/doc/${control.package}/copyright`, MAX_COPYRIGHT_SIZE);
    const { md5sums: _, ...facts } = control;
    const value: { license: string | null } & typeof facts = { ...facts, license: null };
    return {
      source: data,
      value,
      onData(path, chunk) {
        checker.onData(path, chunk);
        copyright.onData(path, chunk);
      },
      check(entries) {
        checker.finish(entries);
        value.license = licenseOfCopyright(copyright.bytes()) ?? null;
      },
    };
  });
}

/** Keeps the bytes of one file that passes, up to a size. */
function collect(
  wanted: string,
  maxSize: number,
): { onData(path: string, chunk: Uint8Array | undefined): void; bytes(): Uint8Array } {
  const chunks: Uint8Array[] = [];
  let size = 0;
  return {
    onData(path, chunk) {
      if (path !== wanted || chunk === undefined) return;
      size += chunk.length;
      // What is passed may be overwritten later.
      if (size <= maxSize) chunks.push(chunk.slice());
    },
    bytes: () => (size <= maxSize ? new Uint8Array(Buffer.concat(chunks)) : new Uint8Array(0)),
  };
}

/** A layer of a container image; the digest is that of what it decompresses to. */
export function unpackLayer(
  cache: Cache,
  archive: Archive,
): Promise<Unpacked<{ readonly diffId: string }>> {
  return unpack(cache, archive, 'unpack-layer/1', (source) => {
    const hash = createHash('sha256');
    const value = { diffId: '' };
    return Promise.resolve({
      source,
      value,
      onBytes: (chunk) => hash.update(chunk),
      check: () => {
        value.diffId = `sha256:${hash.digest('hex')}`;
      },
    });
  });
}

interface Opened<T> {
  /** The tar archive, a part of the file or all of it. */
  readonly source: ByteSource;
  /** Kept with the result; what JSON can say. */
  readonly value: T;
  /** Told of all bytes of the archive, decompressed. */
  readonly onBytes?: (chunk: Uint8Array) => void;
  readonly onData?: (path: string, chunk: Uint8Array | undefined) => void;
  /** Called when all has passed. */
  readonly check?: (entries: readonly ArchiveEntry[]) => void;
}

/** Where the tar archive stands in the archive, when it is not compressed and needs no copy. */
interface Place {
  readonly offset: number | null;
}

async function unpack<T>(
  cache: Cache,
  archive: Archive,
  mnemonic: string,
  prepare: (source: ByteSource) => Promise<Opened<T>>,
): Promise<Unpacked<T>> {
  const { outputs, value } = await runAction(
    cache,
    { mnemonic, parameters: {}, inputs: { archive: archive.digest }, outputs: ['data', 'entries'] },
    async (folder) => {
      const file = await openFileSource(archive.path, archive.name);
      try {
        const { slice } = archive;
        const whole = slice ? sliceSource(file, slice.offset, slice.size, archive.name) : file;
        const opened = await prepare(whole);
        const { source } = opened;
        const isPlain = (await detectCompression(source)) === 'none';
        const limit = isPlain ? MAX_UNPACKED : unpackedLimit(source.size);
        const { onProgress } = archive;
        const watched = onProgress === undefined ? source : watchedSource(source, onProgress);
        const bytes = decompress(watched, limit);
        const entries = await copying(bytes, join(folder, 'data'), !isPlain, opened);
        opened.check?.(entries);
        await writeEntries(join(folder, 'entries'), entries);
        const start = (source.file?.offset ?? 0) - (slice?.offset ?? 0);
        const place: Place = { offset: isPlain ? start : null };
        return { value: { place, value: opened.value } };
      } finally {
        await file.close();
      }
    },
  );
  return {
    path: value.place.offset === null ? outputs.data.path : archive.path,
    entries: await readEntries(
      outputs.entries.path,
      value.place.offset === null ? 0 : value.place.offset + (archive.slice?.offset ?? 0),
    ),
    value: value.value,
  };
}

/** Tells how far it is read. */
const watchedSource = (
  source: ByteSource,
  onProgress: (done: number, total: number) => void,
): ByteSource => ({
  ...source,
  read(offset, length) {
    onProgress(offset, source.size);
    return source.read(offset, length);
  },
});

/** Lists an archive while its bytes are written to `target`, or only pass by. */
async function copying<T>(
  bytes: AsyncIterable<Uint8Array>,
  target: string,
  isKept: boolean,
  { source, onBytes, onData }: Opened<T>,
): Promise<ArchiveEntry[]> {
  const handle = await open(target, 'wx', 0o600);
  const pass = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      onBytes?.(chunk);
      if (isKept) await handle.writeFile(chunk);
      yield chunk;
    }
  };
  try {
    return await indexTar(pass(), source.name, { onData });
  } finally {
    await handle.close();
  }
}

/** Writes the list that `readEntries` reads. */
export async function writeEntries(path: string, entries: Iterable<ArchiveEntry>): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    for (const chunk of encodeEntries(entries)) await handle.writeFile(chunk);
  } finally {
    await handle.close();
  }
}

/** @param shift What to add to the offsets of data. */
export async function readEntries(path: string, shift: number): Promise<ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  let rest = '';
  for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
    const text = rest + (chunk as string);
    const end = text.lastIndexOf('\n') + 1;
    for (const entry of decodeEntries(text.slice(0, end))) entries.push(shifted(entry, shift));
    rest = text.slice(end);
  }
  return entries;
}

function shifted(entry: ArchiveEntry, shift: number): ArchiveEntry {
  if (shift === 0 || entry.kind !== 'file') return entry;
  const { pieces } = entry;
  return {
    ...entry,
    offset: entry.offset + shift,
    ...(pieces && { pieces: pieces.map((each) => ({ ...each, offset: each.offset + shift })) }),
  };
}

/** The digest of a part of a file. */
export async function digestOfSlice(
  path: string,
  offset: number,
  size: number,
): Promise<InputDigest> {
  const hash = createHash('sha256');
  for await (const chunk of sliceContent(path, offset, size).stream()) hash.update(chunk);
  return { sha256: hash.digest('hex'), size };
}
