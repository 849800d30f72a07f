/** The central directory of an archive that is written. */

import { CENTRAL_FILE_HEADER_SIGNATURE, CentralFileHeader } from './layout.ts';
import type { ZipEntry } from './read.ts';

/** All that a record says. */
export type DirectoryRecord = Omit<ZipEntry, 'recordOffset' | 'recordSize'>;

/** Encodes a central directory. */
export function encodeRecords(records: readonly DirectoryRecord[]): Uint8Array {
  const recordSize = ({ nameBytes, extra, comment }: DirectoryRecord): number =>
    CentralFileHeader.size + nameBytes.length + extra.length + comment.length;
  const out = new Uint8Array(records.reduce((sum, record) => sum + recordSize(record), 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const record of records) {
    const { nameBytes, extra, comment } = record;
    // Field by field: an APK may have 65534 of them, and spreading costs microseconds.
    CentralFileHeader.encodeInto(view, at, {
      signature: CENTRAL_FILE_HEADER_SIGNATURE,
      versionMadeBy: record.versionMadeBy,
      versionNeeded: record.versionNeeded,
      flags: record.flags,
      method: record.method,
      time: record.time,
      date: record.date,
      crc32: record.crc32,
      compressedSize: record.compressedSize,
      size: record.size,
      nameLength: nameBytes.length,
      extraLength: extra.length,
      commentLength: comment.length,
      diskNumber: record.diskNumber,
      internalAttributes: record.internalAttributes,
      externalAttributes: record.externalAttributes,
      localHeaderOffset: record.localHeaderOffset,
    });
    at += CentralFileHeader.size;
    for (const part of [nameBytes, extra, comment]) {
      out.set(part, at);
      at += part.length;
    }
  }
  return out;
}
