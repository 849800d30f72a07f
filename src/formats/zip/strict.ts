/**
 * The ZIP profile of payloads: archives that every reader must read the same way.
 *
 * A signature over an APK says which bytes were signed and nothing about what they mean: readers
 * differ on duplicate names, overlapping entries, headers that contradict each other. So the entries
 * must tile the archive, both headers of each must agree, and no name may be taken for another.
 */

import { FormatError } from '../../core/errors.ts';
import { equalBytes } from '../../core/digest.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import { openEntry, readLocalHeader } from './entry.ts';
import { decodeExtra } from './extra.ts';
import {
  DATA_DESCRIPTOR_SIGNATURE,
  DataDescriptor,
  EndOfCentralDirectory,
  EXTRA_UNICODE_PATH,
  EXTRA_ZIP64,
  FLAG_DATA_DESCRIPTOR,
  FLAG_ENCRYPTED,
  FLAG_MASKED_HEADERS,
  FLAG_STRONG_ENCRYPTION,
  METHOD_DEFLATED,
  METHOD_STORED,
  ZIP64_LOCATOR_SIGNATURE,
  ZIP64_LOCATOR_SIZE,
} from './layout.ts';
import { nameProblem, nameSet } from './names.ts';
import type { ZipDirectory, ZipEntry } from './read.ts';

export interface StrictZipOptions {
  /**
   * Where the entries end, in bytes: the start of an APK Signing Block. Zeros may stand before it.
   * Default: the central directory, and then nothing may stand before it.
   */
  readonly entriesEnd?: number;
  /** Bytes that all entries together may decompress to. Default 4 GiB. */
  readonly maxTotalSize?: number;
  /** Whether to decompress every entry, to compare its size and CRC-32. Default true. */
  readonly contents?: boolean;
  /** Whether entries may have comments. Default false: readers ignore them, so nobody sees them. */
  readonly entryComments?: boolean;
}

const DEFAULT_MAX_TOTAL_SIZE = 2 ** 32;

/** `st_mode` in the upper half of the external attributes. */
const MODE_TYPE_MASK = 0xf000;
const MODE_REGULAR = 0x8000;
const MODE_DIRECTORY = 0x4000;

const refuse = (
  code: ConstructorParameters<typeof FormatError>[1],
  message: string,
  where: { offset?: number; field?: string } = {},
): FormatError => new FormatError('zip', code, `Refused ZIP archive: ${message}`, where);

async function checkEnd(source: ByteSource, zip: ZipDirectory): Promise<void> {
  const { end, endOffset, entries } = zip;
  const where = { offset: endOffset };
  if (end.commentLength !== 0) throw refuse('trailing-data', 'it has an archive comment', where);
  if (endOffset + EndOfCentralDirectory.size !== source.size) {
    throw refuse('trailing-data', 'bytes follow the end of central directory record', where);
  }
  if (end.diskNumber !== 0 || end.centralDirectoryDisk !== 0) {
    throw refuse('unsupported', 'it is one disk of several', where);
  }
  if (end.entryCount !== entries.length || end.entriesOnDisk !== entries.length) {
    throw refuse(
      'bad-value',
      `its end record counts ${end.entryCount} entries (${end.entriesOnDisk} on this disk), the directory lists ${entries.length}`,
      where,
    );
  }
  if (end.centralDirectoryOffset + end.centralDirectorySize !== endOffset) {
    throw refuse('bad-value', 'the central directory does not end at its end record', where);
  }
  if (endOffset >= ZIP64_LOCATOR_SIZE) {
    const locator = await source.read(endOffset - ZIP64_LOCATOR_SIZE, 4);
    if (
      new DataView(locator.buffer, locator.byteOffset).getUint32(0, true) ===
      ZIP64_LOCATOR_SIGNATURE
    ) {
      throw refuse('unsupported', 'it has a ZIP64 locator', where);
    }
  }
}

function checkExtra(extra: Uint8Array, entry: ZipEntry): void {
  const { fields, rest } = decodeExtra(extra);
  const where = { offset: entry.recordOffset, field: entry.name };
  if (rest.some((byte) => byte !== 0)) {
    throw refuse('bad-value', `the extra data of "${entry.name}" holds a broken field`, where);
  }
  for (const { id } of fields) {
    if (id === EXTRA_ZIP64 || id === EXTRA_UNICODE_PATH) {
      throw refuse(
        'unsupported',
        `entry "${entry.name}" has the extra field 0x${id.toString(16).padStart(4, '0')}`,
        where,
      );
    }
  }
}

/** What the record in the central directory says by itself. */
function checkRecord(entry: ZipEntry, entryComments: boolean): void {
  const where = { offset: entry.recordOffset, field: entry.name };
  const label = `entry ${JSON.stringify(entry.name)}`;
  const problem = nameProblem(entry.name);
  if (problem !== undefined) throw refuse('bad-value', `the name of ${label} ${problem}`, where);
  if (entry.diskNumber !== 0) throw refuse('unsupported', `${label} is on another disk`, where);
  if (entry.comment.length > 0 && !entryComments)
    throw refuse('unsupported', `${label} has a comment`, where);
  if (entry.method !== METHOD_STORED && entry.method !== METHOD_DEFLATED) {
    throw refuse('unsupported', `${label} uses compression method ${entry.method}`, where);
  }
  if (entry.flags & (FLAG_ENCRYPTED | FLAG_STRONG_ENCRYPTION | FLAG_MASKED_HEADERS)) {
    throw refuse('unsupported', `${label} is marked as encrypted`, where);
  }
  if (entry.flags & FLAG_DATA_DESCRIPTOR && entry.method !== METHOD_DEFLATED) {
    throw refuse('bad-value', `${label} is stored and has a data descriptor`, where);
  }
  if (entry.method === METHOD_STORED && entry.compressedSize !== entry.size) {
    throw refuse('bad-value', `${label} is stored and has two sizes`, where);
  }
  const type = (entry.externalAttributes >>> 16) & MODE_TYPE_MASK;
  const isDirectory = entry.name.endsWith('/');
  if (type !== 0 && type !== (isDirectory ? MODE_DIRECTORY : MODE_REGULAR)) {
    throw refuse('unsupported', `${label} is not a regular file by its mode`, where);
  }
  if (isDirectory && entry.size !== 0)
    throw refuse('bad-value', `${label} is a directory with data`, where);
  checkExtra(entry.extra, entry);
}

const SAME_IN_BOTH = ['flags', 'method', 'time', 'date'] as const;
const SIZES = ['crc32', 'compressedSize', 'size'] as const;

/** The local header against the record; returns where the entry's bytes end. */
async function checkLocal(source: ByteSource, entry: ZipEntry, next: number): Promise<number> {
  const { header, nameBytes, extra, dataOffset } = await readLocalHeader(source, entry);
  const where = { offset: entry.localHeaderOffset, field: entry.name };
  const disagree = (field: string): FormatError =>
    refuse('bad-value', `the two headers of "${entry.name}" disagree on ${field}`, where);
  if (!equalBytes(nameBytes, entry.nameBytes)) throw disagree('the name');
  for (const field of SAME_IN_BOTH) if (header[field] !== entry[field]) throw disagree(field);
  const described = (entry.flags & FLAG_DATA_DESCRIPTOR) !== 0;
  for (const field of SIZES) {
    if (header[field] !== entry[field] && !(described && header[field] === 0))
      throw disagree(field);
  }
  checkExtra(extra, entry);
  const dataEnd = dataOffset + entry.compressedSize;
  if (dataEnd > next)
    throw refuse('out-of-range', `entry "${entry.name}" overlaps what follows`, where);
  return described ? dataEnd + (await descriptorSize(source, entry, dataEnd, next)) : dataEnd;
}

async function descriptorSize(
  source: ByteSource,
  entry: ZipEntry,
  offset: number,
  next: number,
): Promise<number> {
  const bytes = await source.read(offset, Math.min(4 + DataDescriptor.size, next - offset));
  // The signature is optional, so both readings are tried; a CRC may look like the signature.
  for (const size of [4 + DataDescriptor.size, DataDescriptor.size]) {
    if (bytes.length < size) continue;
    const signed = size > DataDescriptor.size;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (signed && view.getUint32(0, true) !== DATA_DESCRIPTOR_SIGNATURE) continue;
    const descriptor = DataDescriptor.decode(bytes, signed ? 4 : 0);
    if (SIZES.every((field) => descriptor[field] === entry[field])) return size;
  }
  throw refuse('bad-value', `the data descriptor of "${entry.name}" is missing or disagrees`, {
    offset,
    field: entry.name,
  });
}

async function checkZeros(source: ByteSource, from: number, to: number): Promise<void> {
  for await (const chunk of streamOf(source, from, to - from)) {
    if (chunk.some((byte) => byte !== 0)) {
      throw refuse('trailing-data', 'bytes that belong to no entry', { offset: from });
    }
  }
}

/**
 * Checks an archive against the profile.
 *
 * @param zip What `readZip` read from the same source.
 * @throws {FormatError} naming the first rule that is broken.
 */
export async function checkStrictZip(
  source: ByteSource,
  zip: ZipDirectory,
  options: StrictZipOptions = {},
): Promise<void> {
  const { maxTotalSize = DEFAULT_MAX_TOTAL_SIZE, contents = true, entryComments = false } = options;
  const entriesEnd = options.entriesEnd ?? zip.end.centralDirectoryOffset;
  await checkEnd(source, zip);
  const names = nameSet();
  let totalSize = 0;
  for (const entry of zip.entries) {
    checkRecord(entry, entryComments);
    const problem = names.add(entry.name);
    if (problem !== undefined) {
      throw refuse('duplicate', `entry ${JSON.stringify(entry.name)} ${problem}`, {
        offset: entry.recordOffset,
        field: entry.name,
      });
    }
    totalSize += entry.size;
  }
  if (totalSize > maxTotalSize) {
    throw refuse('too-large', `its entries hold ${totalSize} bytes, ${maxTotalSize} are allowed`);
  }

  const byOffset = [...zip.entries].sort((a, b) => a.localHeaderOffset - b.localHeaderOffset);
  let at = 0;
  for (const [index, entry] of byOffset.entries()) {
    if (entry.localHeaderOffset !== at) {
      throw refuse('bad-value', `entry "${entry.name}" does not start where the one before ends`, {
        offset: at,
        field: entry.name,
      });
    }
    const next = byOffset[index + 1]?.localHeaderOffset ?? entriesEnd;
    at = await checkLocal(source, entry, next);
  }
  if (options.entriesEnd === undefined && at !== entriesEnd) {
    throw refuse('trailing-data', 'bytes stand before the central directory', { offset: at });
  }
  await checkZeros(source, at, entriesEnd);

  if (!contents) return;
  for (const entry of byOffset) {
    // The stream itself compares size and CRC-32.
    for await (const chunk of (await openEntry(source, entry)).stream()) void chunk;
  }
}
