/** Reads the central directory of a ZIP archive, and nothing else: bounded by its own size. */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  CENTRAL_FILE_HEADER_SIGNATURE,
  CentralFileHeader,
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
  EndOfCentralDirectory,
} from './layout.ts';
import { readWideEnd, widened } from './zip64.ts';

export type EndRecord = ReturnType<typeof EndOfCentralDirectory.decode>;

/** A record of the central directory. */
export interface ZipEntry extends Omit<
  ReturnType<typeof CentralFileHeader.decode>,
  'signature' | 'nameLength' | 'extraLength' | 'commentLength'
> {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly extra: Uint8Array;
  readonly comment: Uint8Array;
  /** Where the record stands, and how long it is with its variable parts, in bytes. */
  readonly recordOffset: number;
  readonly recordSize: number;
}

export interface ZipDirectory {
  /** In the order of the central directory. */
  readonly entries: readonly ZipEntry[];
  readonly end: EndRecord;
  /** Where the EOCD stands. */
  readonly endOffset: number;
  /** Where the central directory must end: at the EOCD, or at the ZIP64 record before that. */
  readonly directoryEnd: number;
}

export interface ReadZipOptions {
  /** Whether ZIP64 is understood. Default false: it is no part of APKs. */
  readonly zip64?: boolean;
}

/** 65535 records of 300 bytes and a little: more is not an APK but an attack on memory. */
export const MAX_CENTRAL_DIRECTORY = 32 << 20;
const MAX_COMMENT = 0xffff;
/** A partition that holds an archive ends in zeros up to a whole block. */
const MAX_PADDING = 4095;

const NO_BYTES = new Uint8Array(0);

/** Of a name in messages, in characters. */
const MAX_SHOWN = 200;

/** A name as messages have it: one line, quoted, of bounded length. */
export const shownName = (name: string): string =>
  JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}...` : name);

export const zipError = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string; cause?: unknown } = {},
): FormatError => new FormatError('zip', code, `Cannot read ZIP archive: ${message}`, where);

/** The last record with the EOCD signature whose comment fits into the file. */
export async function findEndOfCentralDirectory(
  source: ByteSource,
): Promise<{ readonly end: EndRecord; readonly endOffset: number }> {
  const tailSize = Math.min(source.size, EndOfCentralDirectory.size + MAX_COMMENT + MAX_PADDING);
  const tailOffset = source.size - tailSize;
  const tail = await source.read(tailOffset, tailSize);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  for (let at = tailSize - EndOfCentralDirectory.size; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_OF_CENTRAL_DIRECTORY_SIGNATURE) continue;
    const end = EndOfCentralDirectory.decode(tail, at);
    if (at + EndOfCentralDirectory.size + end.commentLength > tailSize) continue;
    return { end, endOffset: tailOffset + at };
  }
  throw zipError('bad-magic', 'it has no end of central directory record');
}

/**
 * A record and its variable parts as an entry. The caller has seen that all of it is there.
 *
 * @param directory The central directory, which stands at `offset` of the archive.
 * @param at Where the record starts in it, in bytes.
 */
export function zipEntry(
  record: ReturnType<typeof CentralFileHeader.decode>,
  directory: Uint8Array,
  at: number,
  { name, offset }: { readonly name: string; readonly offset: number },
): ZipEntry {
  const { nameLength, extraLength, commentLength } = record;
  const nameAt = at + CentralFileHeader.size;
  const extraAt = nameAt + nameLength;
  const commentAt = extraAt + extraLength;
  const next = commentAt + commentLength;
  // Field by field: an archive may have 65535 of them, and spreading costs microseconds.
  return {
    versionMadeBy: record.versionMadeBy,
    versionNeeded: record.versionNeeded,
    flags: record.flags,
    method: record.method,
    time: record.time,
    date: record.date,
    crc32: record.crc32,
    compressedSize: record.compressedSize,
    size: record.size,
    diskNumber: record.diskNumber,
    internalAttributes: record.internalAttributes,
    externalAttributes: record.externalAttributes,
    localHeaderOffset: record.localHeaderOffset,
    name,
    nameBytes: directory.subarray(nameAt, extraAt),
    extra: extraLength === 0 ? NO_BYTES : directory.subarray(extraAt, commentAt),
    comment: commentLength === 0 ? NO_BYTES : directory.subarray(commentAt, next),
    recordOffset: offset + at,
    recordSize: next - at,
  };
}

/**
 * Reads the list of entries. It says what the archive claims: `checkStrictZip` says whether
 * every reader must agree with it.
 *
 * @throws {FormatError} when the directory is not inside the file or a record does not parse.
 */
export async function readZip(
  source: ByteSource,
  { zip64 = false }: ReadZipOptions = {},
): Promise<ZipDirectory> {
  const { end: narrow, endOffset } = await findEndOfCentralDirectory(source);
  const wide = zip64
    ? await readWideEnd(source, narrow, endOffset, (code, message, at) =>
        zipError(code, message, { offset: at }),
      )
    : undefined;
  const { end, directoryEnd } = wide ?? { end: narrow, directoryEnd: endOffset };
  const { centralDirectoryOffset: offset, centralDirectorySize: size } = end;
  if (offset + size > directoryEnd) {
    throw zipError('out-of-range', 'the central directory reaches beyond its end record', {
      offset: endOffset,
    });
  }
  if (size > MAX_CENTRAL_DIRECTORY) {
    throw zipError('too-large', `the central directory is ${size} bytes`, { offset });
  }
  const directory = await source.read(offset, size);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const entries: ZipEntry[] = [];
  for (let at = 0; at < size;) {
    const recordOffset = offset + at;
    const before = entries.at(-1);
    const place = (): string =>
      before === undefined ? 'the first' : `after that of ${shownName(before.name)}, the`;
    const isCutOff = (): FormatError =>
      zipError('truncated', `${place()} central directory record is cut off`, {
        offset: recordOffset,
      });
    if (size - at < CentralFileHeader.size) {
      throw isCutOff();
    }
    const record = CentralFileHeader.decode(directory, at);
    const { signature, nameLength, extraLength, commentLength } = record;
    if (signature !== CENTRAL_FILE_HEADER_SIGNATURE) {
      throw zipError('bad-magic', `${place()} central directory record has another signature`, {
        offset: recordOffset,
      });
    }
    const nameAt = at + CentralFileHeader.size;
    const extraAt = nameAt + nameLength;
    const next = extraAt + extraLength + commentLength;
    if (next > size) {
      throw isCutOff();
    }
    let name: string;
    try {
      name = utf8.decode(directory.subarray(nameAt, extraAt));
    } catch (cause) {
      const shown = shownName(Buffer.from(directory.subarray(nameAt, extraAt)).toString('latin1'));
      throw zipError('bad-value', `the name of entry ${shown} is not UTF-8`, {
        offset: offset + nameAt,
        field: 'name',
        cause,
      });
    }
    const whole = zip64
      ? widened(record, directory.subarray(extraAt, extraAt + extraLength), (message) =>
          zipError('bad-value', `entry ${shownName(name)} ${message}`, {
            offset: recordOffset,
            field: name,
          }),
        )
      : record;
    entries.push(zipEntry(whole, directory, at, { name, offset }));
    at = next;
  }
  return { entries, end, endOffset, directoryEnd };
}
