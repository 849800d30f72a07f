/**
 * The data of an entry as Android's signature checks read it: headers must agree where they matter,
 * whatever is not stored is deflated, and the CRC-32 is not looked at.
 */

import { inflateRawSync } from 'node:zlib';
import { FormatError, type FormatErrorCode } from '../../../core/errors.ts';
import {
  FLAG_DATA_DESCRIPTOR,
  LOCAL_FILE_HEADER_SIGNATURE,
  LocalFileHeader,
  METHOD_STORED,
} from '../../../formats/zip/layout.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import type { ApkView } from './apk-view.ts';

export const entryError = (
  code: FormatErrorCode,
  entry: ZipEntry,
  message: string,
  cause?: unknown,
): FormatError =>
  new FormatError('apk', code, `Cannot read entry ${entry.name}: ${message}`, {
    offset: entry.localHeaderOffset,
    field: entry.name,
    ...(cause !== undefined && { cause }),
  });

const SAME_IN_BOTH = ['crc32', 'compressedSize', 'size'] as const;

/**
 * Where the data stands and how long it is there, after the local header was compared with the record.
 *
 * @throws {FormatError} when they disagree, or the data is not before the central directory.
 */
export async function locateEntryData(
  { source, sections }: ApkView,
  entry: ZipEntry,
): Promise<{ readonly offset: number; readonly size: number }> {
  const headerOffset = entry.localHeaderOffset;
  const end = sections.centralDirectoryOffset;
  const headerSize = LocalFileHeader.size + entry.nameBytes.length;
  if (headerOffset + headerSize > end) {
    throw entryError('out-of-range', entry, 'its local header reaches into the central directory');
  }
  const bytes = await source.read(headerOffset, headerSize);
  const header = LocalFileHeader.decode(bytes);
  if (header.signature !== LOCAL_FILE_HEADER_SIGNATURE) {
    throw entryError('bad-magic', entry, 'there is no local header where it should start');
  }
  if (((header.flags ^ entry.flags) & FLAG_DATA_DESCRIPTOR) !== 0) {
    throw entryError('bad-value', entry, 'its two headers disagree on a data descriptor');
  }
  const described = (header.flags & FLAG_DATA_DESCRIPTOR) !== 0;
  for (const field of SAME_IN_BOTH) {
    if (!described && header[field] !== entry[field]) {
      throw entryError('bad-value', entry, `its two headers disagree on ${field}`);
    }
  }
  const name = bytes.subarray(LocalFileHeader.size, LocalFileHeader.size + header.nameLength);
  if (!Buffer.from(name).equals(entry.nameBytes)) {
    throw entryError('bad-value', entry, 'its two headers disagree on its name');
  }
  const offset = headerOffset + LocalFileHeader.size + header.nameLength + header.extraLength;
  const size = entry.method === METHOD_STORED ? entry.size : entry.compressedSize;
  if (offset + size > end) {
    throw entryError('out-of-range', entry, 'its data reaches into the central directory');
  }
  return { offset, size };
}

/**
 * Reads an entry into memory.
 *
 * @param limit The most bytes that it may have.
 * @throws {FormatError} when it is longer, or Android could not read it.
 */
export async function readEntryData(
  apk: ApkView,
  entry: ZipEntry,
  limit: number,
): Promise<Uint8Array> {
  // Deflating makes nothing much longer, but for blocks of nothing that nobody writes.
  if (Math.max(entry.size, entry.compressedSize / 2) > limit) {
    throw entryError('too-large', entry, `it is ${entry.size} bytes, ${limit} are allowed`);
  }
  const { offset, size } = await locateEntryData(apk, entry);
  const stored = await apk.source.read(offset, size);
  if (entry.method === METHOD_STORED) return stored;
  let data: Uint8Array;
  try {
    // One byte more than is allowed, so that what is too long is seen.
    data = inflateRawSync(stored, { maxOutputLength: entry.size + 1 });
  } catch (cause) {
    throw entryError('bad-value', entry, 'its deflated data is broken', cause);
  }
  if (data.length !== entry.size) {
    throw entryError(
      'bad-value',
      entry,
      `its data is ${data.length} bytes, ${entry.size} are declared`,
    );
  }
  return data;
}
