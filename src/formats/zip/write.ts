/**
 * Writes APK-shaped ZIP archives: sorted entries, aligned data, fixed times, every header complete
 * before its data (no data descriptors), nothing that depends on the machine.
 */

import { once } from 'node:events';
import { constants, crc32, createDeflateRaw } from 'node:zlib';
import { FormatError } from '../../core/errors.ts';
import { appendWriter, type AppendWriter } from '../../io/append-writer.ts';
import type { FileContent } from '../../io/file-tree.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { alignedExtra } from './extra.ts';
import {
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
  EndOfCentralDirectory,
  FLAG_UTF8,
  LOCAL_FILE_HEADER_SIGNATURE,
  LocalFileHeader,
  MAX_ZIP_SIZE,
  METHOD_DEFLATED,
  METHOD_STORED,
} from './layout.ts';
import { nameProblem, nameSet } from './names.ts';
import { MAX_CENTRAL_DIRECTORY } from './read.ts';
import { encodeRecords, type DirectoryRecord } from './records.ts';

export interface ZipInput {
  readonly name: string;
  readonly content: FileContent;
  /**
   * Deflates the data. Left out, it is stored: zlib's output differs between its builds (even
   * between processors), so only stored entries are the same bytes under every Node.
   */
  readonly compress?: boolean;
}

export interface WriteZipOptions {
  /** Alignment of stored `*.so`, in bytes: the page size of the device. */
  readonly libraryAlignment?: 4096 | 16384;
}

export interface ZipSummary {
  /** Of the whole archive, in bytes. */
  readonly size: number;
  /** Where the entries end, and the central directory begins. */
  readonly centralDirectoryOffset: number;
  /** In the order of the central directory, which is that of their data: what reading it would tell. */
  readonly entries: readonly DirectoryRecord[];
}

/** 1981-01-01 01:01:02, which Android's build tools give to every entry. */
const FIXED_TIME = (1 << 11) | (1 << 5) | (2 >> 1);
const FIXED_DATE = (1 << 9) | (1 << 5) | 1;

/** Stored data starts at a multiple of this, so that it can be used where it is mapped. */
const DATA_ALIGNMENT = 4;
const MANIFEST_NAME = 'AndroidManifest.xml';

const VERSION_STORED = 10;
const VERSION_DEFLATED = 20;

/** The manifest first, where installers look for it; then by the bytes of the names. */
function compareNames(a: ZipInput, b: ZipInput): number {
  if (a.name === b.name) return 0;
  if (a.name === MANIFEST_NAME) return -1;
  if (b.name === MANIFEST_NAME) return 1;
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
}

function checkNames(entries: readonly ZipInput[]): void {
  const names = nameSet();
  for (const { name } of entries) {
    const problem = nameProblem(name) ?? names.add(name);
    if (problem !== undefined) {
      throw new RangeError(`Cannot write ZIP entry ${JSON.stringify(name)}: the name ${problem}`);
    }
  }
}

/** Passes content through zlib, one chunk at a time. */
async function* deflate(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const zlib = createDeflateRaw({ level: constants.Z_BEST_COMPRESSION });
  const feed = (async () => {
    for await (const chunk of content) {
      // The producer may reuse its chunk while zlib still reads it.
      if (!zlib.write(Uint8Array.from(chunk))) await once(zlib, 'drain');
    }
    zlib.end();
  })();
  feed.catch((error: unknown) => zlib.destroy(error as Error));
  try {
    yield* zlib;
  } finally {
    zlib.destroy();
  }
  await feed;
}

const NO_BYTES = new Uint8Array(0);

async function writeEntry(
  entry: ZipInput,
  out: AppendWriter,
  libraryAlignment: number,
): Promise<DirectoryRecord> {
  const offset = out.position;
  const nameBytes = new TextEncoder().encode(entry.name);
  const compressed = entry.compress === true;
  const extraOffset = offset + LocalFileHeader.size + nameBytes.length;
  const alignment = entry.name.endsWith('.so') ? libraryAlignment : DATA_ALIGNMENT;
  const extra = compressed
    ? new Uint8Array(0)
    : alignedExtra(new Uint8Array(0), extraOffset, alignment);
  const dataOffset = extraOffset + extra.length;
  // It is written over when it is known what it says.
  await out.append(new Uint8Array(dataOffset - offset));

  let crc = 0;
  let size = 0;
  const plain = (async function* () {
    for await (const chunk of entry.content.stream()) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      yield chunk;
    }
  })();
  for await (const chunk of compressed ? deflate(plain) : plain) {
    if (out.position + chunk.length > MAX_ZIP_SIZE) throw tooLarge();
    await out.append(chunk);
  }
  if (size !== entry.content.size) {
    throw new RangeError(
      `Cannot write ZIP entry "${entry.name}": its content is ${size} bytes, ${entry.content.size} were announced`,
    );
  }

  const common = {
    versionNeeded: compressed ? VERSION_DEFLATED : VERSION_STORED,
    flags: nameBytes.length === entry.name.length ? 0 : FLAG_UTF8,
    method: compressed ? METHOD_DEFLATED : METHOD_STORED,
    time: FIXED_TIME,
    date: FIXED_DATE,
    crc32: crc,
    compressedSize: out.position - dataOffset,
    size,
    nameLength: nameBytes.length,
  };
  const prefix = new Uint8Array(dataOffset - offset);
  prefix.set(
    LocalFileHeader.encode({
      ...common,
      signature: LOCAL_FILE_HEADER_SIGNATURE,
      extraLength: extra.length,
    }),
  );
  prefix.set(nameBytes, LocalFileHeader.size);
  prefix.set(extra, LocalFileHeader.size + nameBytes.length);
  await out.patch(offset, prefix);
  return {
    versionMadeBy: common.versionNeeded,
    versionNeeded: common.versionNeeded,
    flags: common.flags,
    method: common.method,
    time: common.time,
    date: common.date,
    crc32: crc,
    compressedSize: common.compressedSize,
    size,
    diskNumber: 0,
    internalAttributes: 0,
    externalAttributes: 0,
    localHeaderOffset: offset,
    name: entry.name,
    nameBytes,
    extra: NO_BYTES,
    comment: NO_BYTES,
  };
}

const tooLarge = (): FormatError =>
  new FormatError(
    'zip',
    'too-large',
    'Cannot write ZIP archive: it would pass 4 GiB, which no APK can',
  );

/** Of what is stored, before anything is written: whoever waits for gigabytes wants to know at once. */
function checkSize(entries: readonly ZipInput[]): void {
  let size = 0;
  for (const { name, content, compress } of entries) {
    if (compress !== true) size += content.size;
    if (size > MAX_ZIP_SIZE) {
      throw new FormatError(
        'zip',
        'too-large',
        `Cannot write ZIP archive: it would pass 4 GiB with "${name}" (${content.size} bytes), which no APK can`,
        { field: name },
      );
    }
  }
}

/**
 * Writes an archive: `AndroidManifest.xml` first, the others ordered by the bytes of their names.
 *
 * @throws {RangeError} for names that two readers could take differently, or content of another
 *   size than announced.
 * @throws {FormatError} `too-large` beyond 4 GiB, 65534 entries, or a directory that readers take for an attack.
 */
export async function writeZip(
  entries: readonly ZipInput[],
  sink: ImageSink,
  options: WriteZipOptions = {},
): Promise<ZipSummary> {
  checkNames(entries);
  if (entries.length >= 0xffff) {
    throw new FormatError('zip', 'too-large', `Cannot write ${entries.length} ZIP entries`);
  }
  checkSize(entries);
  const written: DirectoryRecord[] = [];
  const out = appendWriter(sink);
  for (const entry of [...entries].sort(compareNames)) {
    written.push(await writeEntry(entry, out, options.libraryAlignment ?? 4096));
  }
  const centralDirectoryOffset = out.position;
  const directory = encodeRecords(written);
  if (directory.length > MAX_CENTRAL_DIRECTORY) {
    throw new FormatError(
      'zip',
      'too-large',
      `Cannot write ZIP archive: the names of its entries make a directory of ${directory.length} bytes, over ${MAX_CENTRAL_DIRECTORY}`,
    );
  }
  const size = centralDirectoryOffset + directory.length + EndOfCentralDirectory.size;
  if (size > MAX_ZIP_SIZE) throw tooLarge();
  const end = EndOfCentralDirectory.encode({
    signature: END_OF_CENTRAL_DIRECTORY_SIGNATURE,
    diskNumber: 0,
    centralDirectoryDisk: 0,
    entriesOnDisk: written.length,
    entryCount: written.length,
    centralDirectorySize: directory.length,
    centralDirectoryOffset,
    commentLength: 0,
  });
  await out.append(directory);
  await out.append(end);
  await out.flush();
  await sink.truncate(size);
  return { size, centralDirectoryOffset, entries: written };
}
