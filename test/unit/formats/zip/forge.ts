/** ZIP archives with any field as one likes it: what a writer would never make. */

import { crc32, deflateRawSync } from 'node:zlib';
import {
  CENTRAL_FILE_HEADER_SIGNATURE,
  CentralFileHeader,
  DATA_DESCRIPTOR_SIGNATURE,
  DataDescriptor,
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
  EndOfCentralDirectory,
  LOCAL_FILE_HEADER_SIGNATURE,
  LocalFileHeader,
} from '../../../../src/formats/zip/layout.ts';

type Fields = Readonly<Record<string, number>>;

export interface ForgedEntry {
  readonly name: string | Uint8Array;
  /** As it is stored, or before it is deflated. */
  readonly data?: string | Uint8Array;
  readonly deflate?: boolean;
  /** What stands in the place of the deflated data. */
  readonly raw?: Uint8Array;
  readonly localName?: string | Uint8Array;
  readonly extra?: Uint8Array;
  readonly localExtra?: Uint8Array;
  readonly comment?: string;
  /** Fields of both headers, of one, and of the data descriptor, which is there when this is. */
  readonly both?: Fields;
  readonly local?: Fields;
  readonly central?: Fields;
  readonly descriptor?: Fields;
  readonly unsignedDescriptor?: boolean;
  /** Bytes that belong to no entry. */
  readonly before?: Uint8Array;
}

export interface ForgedArchive {
  readonly entries: readonly ForgedEntry[];
  /** Between the entries and the central directory, and behind that. */
  readonly beforeDirectory?: Uint8Array;
  readonly beforeEnd?: Uint8Array;
  readonly end?: Fields;
  readonly comment?: string;
  readonly trailer?: Uint8Array;
}

const bytesOf = (value: string | Uint8Array): Uint8Array =>
  typeof value === 'string' ? Buffer.from(value) : value;

const NO_FIELDS: Fields = {};

/** An archive that is right wherever nothing else is asked for. */
export function forge(archive: ForgedArchive): Uint8Array {
  const parts: Uint8Array[] = [];
  const records: Uint8Array[] = [];
  let at = 0;
  const put = (bytes: Uint8Array): void => {
    parts.push(bytes);
    at += bytes.length;
  };
  for (const entry of archive.entries) {
    put(entry.before ?? new Uint8Array(0));
    const offset = at;
    const [name, data] = [bytesOf(entry.name), bytesOf(entry.data ?? '')];
    const localName = bytesOf(entry.localName ?? entry.name);
    const stored = entry.raw ?? (entry.deflate === true ? deflateRawSync(data) : data);
    const described = entry.descriptor !== undefined;
    const sizes = { crc32: crc32(data), compressedSize: stored.length, size: data.length };
    const common = {
      versionNeeded: 20,
      flags: described ? 8 : 0,
      method: entry.deflate === true ? 8 : 0,
      time: 0x0821,
      date: 0x0221,
    };
    const [extra, localExtra] = [
      entry.extra ?? new Uint8Array(0),
      entry.localExtra ?? entry.extra ?? new Uint8Array(0),
    ];
    const comment = bytesOf(entry.comment ?? '');
    put(
      LocalFileHeader.encode({
        signature: LOCAL_FILE_HEADER_SIGNATURE,
        ...common,
        ...(described ? { crc32: 0, compressedSize: 0, size: 0 } : sizes),
        nameLength: localName.length,
        extraLength: localExtra.length,
        ...(entry.both ?? NO_FIELDS),
        ...(entry.local ?? NO_FIELDS),
      }),
    );
    put(localName);
    put(localExtra);
    put(stored);
    if (entry.descriptor) {
      const magic = Buffer.alloc(4);
      magic.writeUInt32LE(DATA_DESCRIPTOR_SIGNATURE);
      if (entry.unsignedDescriptor !== true) put(magic);
      put(DataDescriptor.encode({ ...sizes, ...(entry.both ?? NO_FIELDS), ...entry.descriptor }));
    }
    records.push(
      CentralFileHeader.encode({
        signature: CENTRAL_FILE_HEADER_SIGNATURE,
        versionMadeBy: 20,
        ...common,
        ...sizes,
        nameLength: name.length,
        extraLength: extra.length,
        commentLength: comment.length,
        diskNumber: 0,
        internalAttributes: 0,
        externalAttributes: 0,
        localHeaderOffset: offset,
        ...(entry.both ?? NO_FIELDS),
        ...(entry.central ?? NO_FIELDS),
      }),
      name,
      extra,
      comment,
    );
  }
  put(archive.beforeDirectory ?? new Uint8Array(0));
  const centralDirectoryOffset = at;
  const directory = Buffer.concat(records);
  put(directory);
  put(archive.beforeEnd ?? new Uint8Array(0));
  const comment = bytesOf(archive.comment ?? '');
  put(
    EndOfCentralDirectory.encode({
      signature: END_OF_CENTRAL_DIRECTORY_SIGNATURE,
      diskNumber: 0,
      centralDirectoryDisk: 0,
      entriesOnDisk: archive.entries.length,
      entryCount: archive.entries.length,
      centralDirectorySize: directory.length,
      centralDirectoryOffset,
      commentLength: comment.length,
      ...(archive.end ?? NO_FIELDS),
    }),
  );
  put(comment);
  put(archive.trailer ?? new Uint8Array(0));
  return new Uint8Array(Buffer.concat(parts));
}

/** An extra field. */
export function field(id: number, data: readonly number[]): Uint8Array {
  const out = Buffer.alloc(4 + data.length);
  out.writeUInt16LE(id, 0);
  out.writeUInt16LE(data.length, 2);
  out.set(data, 4);
  return out;
}
