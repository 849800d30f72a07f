/** The entries of ZIP, cpio, tar and ar archives. */

import { FormatError } from '../../core/errors.ts';
import { readAr } from '../../formats/ar/ar.ts';
import { readCpio, type CpioEntry } from '../../formats/cpio/newc.ts';
import { decompress } from '../../formats/tar/decompress.ts';
import { readTar, type StreamedEntry } from '../../formats/tar/read.ts';
import { openEntry, readLocalHeader } from '../../formats/zip/entry.ts';
import { readZip, type ZipEntry } from '../../formats/zip/read.ts';
import { sliceSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import type { Entry, EntryData, EntryList } from './entry.ts';

/** What a compressed archive may decode to, in bytes. */
const MAX_UNPACKED = 64 * 2 ** 30;

const hex = (value: number, digits: number): string =>
  `0x${value.toString(16).padStart(digits, '0')}`;

const METHODS: Readonly<Record<number, string>> = { 0: 'stored', 8: 'deflated' };

/** MS-DOS time and date; undefined for what is none. */
function dosTime(date: number, time: number): number | undefined {
  const [year, month, day] = [(date >> 9) + 1980, (date >> 5) & 15, date & 31];
  if (month === 0 || month > 12 || day === 0) return undefined;
  return Date.UTC(year, month - 1, day, time >> 11, (time >> 5) & 63, (time & 31) * 2) / 1000;
}

function zipKind(entry: ZipEntry): Entry['kind'] {
  const format = entry.versionMadeBy >> 8 === 3 ? (entry.externalAttributes >>> 16) & 0o170000 : 0;
  if (format === 0o120000) return 'symlink';
  return entry.name.endsWith('/') || format === 0o040000 ? 'directory' : 'file';
}

const clean = (name: string): string => name.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '');

async function zipEntry(source: ByteSource, entry: ZipEntry): Promise<EntryData> {
  const { method, flags, crc32, compressedSize, size, versionMadeBy, externalAttributes } = entry;
  const mtime = dosTime(entry.date, entry.time);
  const isUnix = versionMadeBy >> 8 === 3;
  let stored: ByteSource | undefined;
  let dataOffset = 0;
  try {
    ({ dataOffset } = await readLocalHeader(source, entry));
    stored = sliceSource(source, dataOffset, compressedSize, entry.name);
  } catch (error) {
    // Told when the data is asked for.
    if (!(error instanceof FormatError)) throw error;
  }
  return {
    entry: {
      name: clean(entry.name),
      kind: zipKind(entry),
      size,
      ...(isUnix && { mode: (externalAttributes >>> 16) & 0o7777 }),
      ...(mtime !== undefined && { mtime }),
      storage: {
        method: METHODS[method] ?? method,
        flags: hex(flags, 4),
        compressedSize,
        versionMadeBy,
        versionNeeded: entry.versionNeeded,
        externalAttributes: hex(externalAttributes, 8),
        extra: Buffer.from(entry.extra).toString('hex'),
        comment: Buffer.from(entry.comment).toString('hex'),
        alignment: dataOffset === 0 ? 0 : alignmentOf(dataOffset),
        localHeaderOffset: entry.localHeaderOffset,
      },
      checksum: `crc32 ${hex(crc32, 8)}`,
      ...(stored && { stored }),
    },
    data: {
      async *[Symbol.asyncIterator]() {
        yield* (await openEntry(source, entry)).stream();
      },
    },
  };
}

/** The largest power of two up to 16 KiB that an offset is a multiple of. */
function alignmentOf(offset: number): number {
  let alignment = 1;
  while (alignment < 16384 && offset % (alignment * 2) === 0) alignment *= 2;
  return alignment;
}

/** @throws {FormatError} while it is listed, when it is not well formed. */
export const zipEntries = (source: ByteSource): EntryList => ({
  async *entries() {
    for (const entry of (await readZip(source)).entries) yield zipEntry(source, entry);
  },
});

const CPIO_KINDS: Readonly<Record<number, Entry['kind']>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
  0o020000: 'char-device',
  0o060000: 'block-device',
  0o010000: 'fifo',
  0o140000: 'socket',
};
/** PATH_MAX. */
const MAX_TARGET = 4096;

async function cpioEntry(source: ByteSource, entry: CpioEntry): Promise<EntryData> {
  const { name, mode, uid, gid, mtime, nlink, ino, offset, dataOffset, dataSize } = entry;
  const kind = CPIO_KINDS[mode & 0o170000] ?? 'file';
  const stored = sliceSource(source, dataOffset, dataSize, name);
  const target =
    kind === 'symlink' && dataSize <= MAX_TARGET
      ? Buffer.from(await stored.read(0, dataSize)).toString('utf8')
      : undefined;
  return {
    entry: {
      name: clean(name),
      kind,
      size: dataSize,
      mode: mode & 0o7777,
      uid,
      gid,
      mtime,
      ...(target !== undefined && { target }),
      storage: { ino, nlink, offset, dataOffset },
      stored,
    },
    data: streamOf(stored),
  };
}

/**
 * All archives of an initrd, one behind the other, with zeros between them; what follows them is not looked at.
 *
 * @throws {FormatError} while it is listed, when the first is not well formed.
 */
export const cpioEntries = (source: ByteSource): EntryList => ({
  async *entries() {
    for (let at = 0; at < source.size;) {
      const { entries, end } = await readCpio(source, at);
      for (const entry of entries) yield cpioEntry(source, entry);
      at = await skipZeros(source, end);
      if (at + 6 > source.size) return;
      const magic = Buffer.from(await source.read(at, 6)).toString('latin1');
      if (!magic.startsWith('07070')) return;
    }
  },
});

async function skipZeros(source: ByteSource, from: number): Promise<number> {
  let at = from;
  for await (const chunk of streamOf(source, from)) {
    const first = chunk.findIndex((byte) => byte !== 0);
    if (first >= 0) return at + first;
    at += chunk.length;
  }
  return at;
}

function tarEntry({ entry, data }: StreamedEntry): EntryData {
  const { path, kind, mode, uid, gid, mtime, xattrs } = entry;
  const storage: Record<string, string> = {};
  for (const [name, value] of xattrs) storage[`xattr ${name}`] = Buffer.from(value).toString('hex');
  if (entry.kind === 'char-device' || entry.kind === 'block-device') {
    storage['device'] = `${entry.major}:${entry.minor}`;
  }
  return {
    entry: {
      name: clean(path),
      kind,
      size: entry.kind === 'file' ? entry.size : 0,
      mode,
      uid,
      gid,
      mtime,
      ...('target' in entry && { target: entry.target }),
      storage,
    },
    data: entry.kind === 'file' ? data : nothing,
  };
}

const nothing: AsyncIterable<Uint8Array> = {
  // oxlint-disable-next-line typescript/require-await -- an async generator by contract
  async *[Symbol.asyncIterator]() {
    yield* [];
  },
};

/** An archive, compressed or not. @throws {FormatError} while it is listed. */
export const tarEntries = (source: ByteSource): EntryList => ({
  async *entries() {
    for await (const entry of readTar(decompress(source, MAX_UNPACKED), source.name)) {
      yield tarEntry(entry);
    }
  },
});

/** The members of an ar archive, such as a Debian package. @throws {FormatError} while it is listed. */
export const arEntries = (source: ByteSource): EntryList => ({
  async *entries() {
    for (const { name, offset, size } of await readAr(source)) {
      const stored = sliceSource(source, offset, size, name);
      const entry: Entry = { name, kind: 'file', size, storage: { offset }, stored };
      yield { entry, data: streamOf(stored) };
    }
  },
});
