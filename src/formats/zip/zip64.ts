/**
 * ZIP64: sizes, offsets and counts of 64 bits beside the fields that are too narrow for them.
 *
 * A narrow field that holds all ones refers to its wide twin. A writer may give the wide twin of a field that is not
 * all ones, too; then both must say the same, or readers would differ.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT sections 4.3.14, 4.3.15, 4.4.1.4, 4.5.3
 */

import type { ByteSource } from '../../io/byte-source.ts';
import type { FormatError } from '../../core/errors.ts';
import { decodeExtra } from './extra.ts';
import {
  EXTRA_ZIP64,
  ZIP64_END_SIGNATURE,
  ZIP64_LOCATOR_SIGNATURE,
  Zip64EndOfCentralDirectory,
  Zip64Locator,
} from './layout.ts';

const ALL_ONES_16 = 0xffff;
const ALL_ONES_32 = 0xffffffff;
/** Of the record behind its own size field, as long as it has no data for special purposes. */
const END_RECORD_REST = 44;

type Refuse = (
  code: 'bad-value' | 'unsupported' | 'out-of-range' | 'too-large',
  message: string,
  offset: number,
) => FormatError;

/** Of the end record: what a reader must know. */
interface EndFields {
  readonly diskNumber: number;
  readonly centralDirectoryDisk: number;
  readonly entriesOnDisk: number;
  readonly entryCount: number;
  readonly centralDirectorySize: number;
  readonly centralDirectoryOffset: number;
}

/** Narrow fields of the end record that the wide one repeats; true for those of 16 bits. */
const END_FIELDS: Readonly<Record<keyof EndFields, boolean>> = {
  diskNumber: true,
  centralDirectoryDisk: true,
  entriesOnDisk: true,
  entryCount: true,
  centralDirectorySize: false,
  centralDirectoryOffset: false,
};

function safeNumber(value: bigint, refuse: () => FormatError): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw refuse();
  return Number(value);
}

/**
 * The end record with what the wide one before it says; undefined where there is none.
 *
 * @returns also where the wide record stands: the central directory ends there.
 * @throws what `refuse` makes, when it is not where it should be or contradicts the narrow one.
 */
export async function readWideEnd<T extends EndFields>(
  source: ByteSource,
  end: T,
  endOffset: number,
  refuse: Refuse,
): Promise<{ readonly end: T; readonly directoryEnd: number } | undefined> {
  const locatorOffset = endOffset - Zip64Locator.size;
  if (locatorOffset < 0) return undefined;
  const locator = Zip64Locator.decode(await source.read(locatorOffset, Zip64Locator.size));
  if (locator.signature !== ZIP64_LOCATOR_SIGNATURE) return undefined;
  const directoryEnd = locatorOffset - Zip64EndOfCentralDirectory.size;
  const isDirectlyBefore = locator.endOffset === BigInt(directoryEnd);
  if (locator.endDisk !== 0 || locator.diskCount > 1 || !isDirectlyBefore) {
    throw refuse('bad-value', 'its ZIP64 locator does not lead to the record before it', endOffset);
  }
  const wide = Zip64EndOfCentralDirectory.decode(
    await source.read(directoryEnd, Zip64EndOfCentralDirectory.size),
  );
  if (wide.signature !== ZIP64_END_SIGNATURE || wide.recordSize !== BigInt(END_RECORD_REST)) {
    throw refuse('bad-value', 'its ZIP64 end record is damaged', directoryEnd);
  }
  const fields = Object.entries(END_FIELDS).map(([name, isShort]): [string, number] => {
    const field = name as keyof EndFields;
    const value = safeNumber(BigInt(wide[field]), () =>
      refuse('too-large', `its ZIP64 end record has ${field} ${wide[field]}`, directoryEnd),
    );
    const narrow = end[field];
    if (narrow !== (isShort ? ALL_ONES_16 : ALL_ONES_32) && narrow !== value) {
      const message = `its two end records disagree on ${field}: ${narrow} and ${value}`;
      throw refuse('bad-value', message, directoryEnd);
    }
    return [field, value];
  });
  return { end: { ...end, ...Object.fromEntries(fields) }, directoryEnd };
}

/** Fields that the extra field widens, in its order. */
const WIDE_FIELDS = ['size', 'compressedSize', 'localHeaderOffset'] as const;

/** Of a header in the central directory, or a local one, which has no offset. */
interface NarrowFields {
  readonly size: number;
  readonly compressedSize: number;
  readonly localHeaderOffset?: number;
  readonly diskNumber?: number;
}

/**
 * A header with the values of its ZIP64 extra field.
 *
 * @param refuse Makes the error; its message follows what the entry is called.
 */
export function widened<T extends NarrowFields>(
  header: T,
  extra: Uint8Array,
  refuse: (message: string) => FormatError,
): T {
  const fields = decodeExtra(extra).fields.filter(({ id }) => id === EXTRA_ZIP64);
  const [field, another] = fields;
  // All ones and no extra field is what it says: an archive of 4 GiB less one byte.
  if (field === undefined) return header;
  if (another !== undefined) throw refuse('has two ZIP64 extra fields');
  const { data } = field;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const present = WIDE_FIELDS.filter((name) => header[name] !== undefined);
  const masked = present.filter((name) => header[name] === ALL_ONES_32);
  const values: Partial<Record<(typeof WIDE_FIELDS)[number], number>> = {};
  let at = 0;
  const take = (name: (typeof WIDE_FIELDS)[number]): void => {
    if (at + 8 > data.length) throw refuse(`has no ${name} in its ZIP64 extra field`);
    const wide = view.getBigUint64(at, true);
    values[name] = safeNumber(wide, () => refuse(`has ${name} ${wide}`));
    at += 8;
  };
  // Some writers give all, whether they are needed or not; others exactly what is needed.
  const givesAll = data.length >= present.length * 8 && masked.length < present.length;
  const givesSizes = !givesAll && data.length >= 16 && !masked.includes('localHeaderOffset');
  for (const name of givesAll ? present : givesSizes ? WIDE_FIELDS.slice(0, 2) : masked) take(name);
  for (const [name, value] of Object.entries(values)) {
    const narrow = header[name as (typeof WIDE_FIELDS)[number]];
    if (narrow !== ALL_ONES_32 && narrow !== value) {
      throw refuse(`has two values of ${name}: ${narrow} and ${value}`);
    }
  }
  const disk = header.diskNumber === ALL_ONES_16;
  if (disk && at + 4 <= data.length) {
    const number = view.getUint32(at, true);
    at += 4;
    if (number !== 0) throw refuse('is on another disk');
  }
  if (at !== data.length && !data.subarray(at).every((byte) => byte === 0)) {
    throw refuse('has a ZIP64 extra field of another length');
  }
  return { ...header, ...values, ...(disk && { diskNumber: 0 }) };
}
