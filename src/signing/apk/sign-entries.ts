/** What a signer adds to the entries of an APK, and the directory over all of them. */

import { crc32 } from 'node:zlib';
import { FormatError } from '../../core/errors.ts';
import {
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
  EndOfCentralDirectory,
  FLAG_UTF8,
  LOCAL_FILE_HEADER_SIGNATURE,
  LocalFileHeader,
  MAX_ZIP_SIZE,
  METHOD_DEFLATED,
} from '../../formats/zip/layout.ts';
import { encodeRecords, type DirectoryRecord } from '../../formats/zip/records.ts';
import type { CopyPiece, CopyPlan } from './copy-plan.ts';

export interface NewEntry {
  readonly name: string;
  readonly content: Uint8Array;
}

const VERSION_DEFLATED = 20;
/** 2009-01-01, for an APK without entries whose time could be taken. */
const DEFAULT_DATE = 0x3a21;

/** As DOS has it. */
interface EntryTime {
  readonly date: number;
  readonly time: number;
}

/** The newest time of the copied entries: additions neither tell the clock nor look older. */
export function newestTime({ records }: CopyPlan): EntryTime {
  let newest: EntryTime = { date: -1, time: -1 };
  for (const { date, time } of records) {
    if (date > newest.date || (date === newest.date && time > newest.time)) newest = { date, time };
  }
  return newest.date === -1 ? { date: DEFAULT_DATE, time: 0 } : newest;
}

/** Adds entries behind all others, deflated as apksigner does. */
export async function addEntries(
  plan: CopyPlan,
  entries: readonly NewEntry[],
  { date, time }: EntryTime,
): Promise<CopyPlan> {
  // Its tables take longer to make than many an APK to sign.
  const { deflateRaw } = await import('../../formats/zip/deflate.ts');
  const pieces: CopyPiece[] = [...plan.pieces];
  const records: DirectoryRecord[] = [...plan.records];
  let { size } = plan;
  for (const { name, content } of entries) {
    const nameBytes = new TextEncoder().encode(name);
    const data = deflateRaw(content);
    const common = {
      versionNeeded: VERSION_DEFLATED,
      flags: FLAG_UTF8,
      method: METHOD_DEFLATED,
      time,
      date,
      crc32: crc32(content),
      compressedSize: data.length,
      size: content.length,
    };
    const header = LocalFileHeader.encode({
      ...common,
      signature: LOCAL_FILE_HEADER_SIGNATURE,
      nameLength: nameBytes.length,
      extraLength: 0,
    });
    const bytes = Buffer.concat([header, nameBytes, data]);
    pieces.push({ kind: 'bytes', bytes });
    records.push({
      ...common,
      versionMadeBy: VERSION_DEFLATED,
      diskNumber: 0,
      internalAttributes: 0,
      externalAttributes: 0,
      localHeaderOffset: size,
      name,
      nameBytes,
      extra: new Uint8Array(0),
      comment: new Uint8Array(0),
    });
    size += bytes.length;
  }
  return { pieces, size, records };
}

/** Encodes the central directory of a plan. */
export const encodeDirectory = ({ records }: CopyPlan): Uint8Array => encodeRecords(records);

/**
 * Encodes the end record.
 *
 * @param padding Zeros behind it, in bytes, as a comment: what makes a file fill whole blocks.
 * @throws {FormatError} `too-large` when the archive would need ZIP64.
 */
export function encodeEnd(
  { records }: CopyPlan,
  directory: { readonly offset: number; readonly size: number },
  padding = 0,
): Uint8Array {
  const end = directory.offset + directory.size;
  if (records.length >= 0xffff || end + EndOfCentralDirectory.size + padding > MAX_ZIP_SIZE) {
    throw new FormatError(
      'zip',
      'too-large',
      `Cannot sign APK: with ${records.length} entries and ${end} bytes it would need ZIP64, which APKs cannot have`,
    );
  }
  const record = EndOfCentralDirectory.encode({
    signature: END_OF_CENTRAL_DIRECTORY_SIGNATURE,
    diskNumber: 0,
    centralDirectoryDisk: 0,
    entriesOnDisk: records.length,
    entryCount: records.length,
    centralDirectorySize: directory.size,
    centralDirectoryOffset: directory.offset,
    commentLength: padding,
  });
  const out = new Uint8Array(record.length + padding);
  out.set(record);
  return out;
}
