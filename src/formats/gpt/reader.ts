/** Reading a partition table: both copies, their checksums, and that partitions make sense. */

import { crc32 } from 'node:zlib';
import { equalBytes } from '../../core/digest.ts';
import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import { divCeil } from '../../core/math.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { Values } from '../struct.ts';
import { formatGuid, swapGuid } from './guid.ts';
import {
  GPT_HEADER_SIZE,
  GPT_SIGNATURE,
  GptEntry,
  GptHeader,
  type gptHeaderFields,
  MBR_PARTITIONS_OFFSET,
  MBR_SIGNATURE,
  MBR_TYPE_GPT_PROTECTIVE,
  MbrPartition,
  SECTOR_SIZE,
} from './layout.ts';

export interface Partition {
  /** Place in the table, from 0. */
  readonly index: number;
  readonly label: string;
  /** In the order of their text. */
  readonly guid: Uint8Array;
  readonly typeGuid: Uint8Array;
  readonly attributes: bigint;
  /** In bytes. */
  readonly offset: number;
  readonly size: number;
}

type HeaderValues = Values<typeof gptHeaderFields>;

export interface Gpt {
  readonly diskGuid: Uint8Array;
  /** In the order of the table. */
  readonly partitions: readonly Partition[];
  readonly primary: HeaderValues;
  readonly backup: HeaderValues;
}

/** Limits on what a header may claim; every tool makes 128 entries of 128 bytes. */
const MAX_ENTRIES = 1024;
const MAX_ENTRY_SIZE = 4096;

const bad = (
  code: FormatErrorCode,
  problem: string,
  where: { offset?: number; field?: string } = {},
): FormatError => new FormatError('gpt', code, `Cannot read GPT: ${problem}`, where);

/**
 * Reads the table of a disk with sectors of 512 bytes.
 *
 * @throws {FormatError} when the protective MBR, one of the two headers or one of the two arrays is
 *   missing, damaged or not like the other, when partitions overlap, leave the usable range or
 *   share a GUID, and when the header claims more entries than any tool makes (`too-large`).
 */
export async function readGpt(source: ByteSource): Promise<Gpt> {
  const sectors = Math.floor(source.size / SECTOR_SIZE);
  if (sectors < 3) throw bad('truncated', `${source.name} has ${source.size} bytes`);
  checkMbr(await source.read(0, SECTOR_SIZE));
  const primary = await readHeader(source, 1, sectors);
  if (primary.alternate_lba !== BigInt(sectors - 1)) {
    throw bad(
      'out-of-range',
      `its backup is at sector ${primary.alternate_lba}, the last one is ${sectors - 1}`,
      { offset: SECTOR_SIZE, field: 'alternate_lba' },
    );
  }
  const backup = await readHeader(source, sectors - 1, sectors);
  for (const field of SAME_IN_BOTH) {
    const [a, b] = [primary[field], backup[field]];
    const same = a instanceof Uint8Array ? equalBytes(a, b as Uint8Array) : a === b;
    if (!same) throw bad('bad-value', `the two headers differ in ${field}`, { field });
  }
  if (backup.alternate_lba !== 1n) {
    throw bad('bad-value', `the backup says that the table is at ${backup.alternate_lba}`);
  }
  const entries = await readEntries(source, primary);
  await readEntries(source, backup);
  return {
    diskGuid: swapGuid(primary.disk_guid),
    partitions: decodePartitions(entries, primary),
    primary,
    backup,
  };
}

/** What must not depend on the copy; the entries are the same when their checksums are. */
const SAME_IN_BOTH = [
  'first_usable_lba',
  'last_usable_lba',
  'disk_guid',
  'number_of_partition_entries',
  'size_of_partition_entry',
  'partition_entry_array_crc32',
] as const;

/**
 * The bytes of the partition of this label.
 *
 * @throws {FormatError} `bad-value` when there is none, `duplicate` when there are several.
 */
export function partitionSource(source: ByteSource, gpt: Gpt, label: string): ByteSource {
  const [found, another] = gpt.partitions.filter((partition) => partition.label === label);
  if (found === undefined) throw bad('bad-value', `${source.name} has no partition "${label}"`);
  if (another !== undefined) {
    throw bad('duplicate', `${source.name} has two partitions "${label}"`);
  }
  return sliceSource(source, found.offset, found.size, `${source.name}: ${label}`);
}

function checkMbr(sector: Uint8Array): void {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.length);
  const signature = view.getUint16(SECTOR_SIZE - 2, true);
  if (signature !== MBR_SIGNATURE) {
    throw bad('bad-magic', `its MBR signature is 0x${signature.toString(16)}`, {
      offset: SECTOR_SIZE - 2,
    });
  }
  const { os_type, starting_lba } = MbrPartition.decode(sector, MBR_PARTITIONS_OFFSET);
  if (os_type !== MBR_TYPE_GPT_PROTECTIVE || starting_lba !== 1) {
    throw bad('bad-value', 'its MBR does not protect it', { offset: MBR_PARTITIONS_OFFSET });
  }
}

async function readHeader(source: ByteSource, lba: number, sectors: number): Promise<HeaderValues> {
  const offset = lba * SECTOR_SIZE;
  const name = lba === 1 ? 'header' : 'backup header';
  // A copy, also of a Buffer, whose slice would be a view.
  const sector = new Uint8Array(await source.read(offset, SECTOR_SIZE));
  const values = GptHeader.decode(sector);
  const refuse = (code: FormatErrorCode, field: keyof HeaderValues): FormatError =>
    bad(code, `${field} of the ${name} is ${String(values[field])}`, { offset, field });

  if (values.signature !== GPT_SIGNATURE) throw refuse('bad-magic', 'signature');
  if (values.revision >>> 16 !== 1) throw refuse('bad-version', 'revision');
  if (values.header_size !== GPT_HEADER_SIZE) throw refuse('unsupported', 'header_size');
  const header = sector.subarray(0, GPT_HEADER_SIZE);
  header.fill(0, 16, 20);
  if (crc32(header) !== values.header_crc32) throw refuse('bad-checksum', 'header_crc32');
  if (values.reserved !== 0 || sector.subarray(GPT_HEADER_SIZE).some((byte) => byte !== 0)) {
    throw refuse('bad-value', 'reserved');
  }
  if (values.my_lba !== BigInt(lba)) throw refuse('bad-value', 'my_lba');
  const { first_usable_lba: first, last_usable_lba: last } = values;
  if (first < 2n || first > last + 1n) throw refuse('out-of-range', 'first_usable_lba');
  if (last >= BigInt(sectors - 1)) throw refuse('out-of-range', 'last_usable_lba');
  const { number_of_partition_entries: count, size_of_partition_entry: size } = values;
  if (count > MAX_ENTRIES) throw refuse('too-large', 'number_of_partition_entries');
  if (size > MAX_ENTRY_SIZE) throw refuse('too-large', 'size_of_partition_entry');
  if (size < GptEntry.size || !Number.isInteger(Math.log2(size))) {
    throw refuse('bad-value', 'size_of_partition_entry');
  }
  const arraySectors = BigInt(divCeil(count * size, SECTOR_SIZE));
  const at = values.partition_entry_lba;
  const isBefore = at >= 2n && at + arraySectors <= first;
  const isBehind = at > last && at + arraySectors <= BigInt(sectors - 1);
  if (!isBefore && !isBehind) throw refuse('out-of-range', 'partition_entry_lba');
  return values;
}

async function readEntries(source: ByteSource, header: HeaderValues): Promise<Uint8Array> {
  const offset = Number(header.partition_entry_lba) * SECTOR_SIZE;
  const size = header.number_of_partition_entries * header.size_of_partition_entry;
  const entries = await source.read(offset, size);
  if (crc32(entries) !== header.partition_entry_array_crc32) {
    throw bad('bad-checksum', 'the partition entries do not match their checksum', {
      offset,
      field: 'partition_entry_array_crc32',
    });
  }
  return entries;
}

function decodePartitions(entries: Uint8Array, header: HeaderValues): Partition[] {
  const partitions: Partition[] = [];
  const guids = new Set<string>();
  const entrySize = header.size_of_partition_entry;
  for (let index = 0; index * entrySize < entries.length; index += 1) {
    const entry = GptEntry.decode(entries, index * entrySize);
    if (entry.partition_type_guid.every((byte) => byte === 0)) continue;
    const { starting_lba: start, ending_lba: end } = entry;
    if (start > end || start < header.first_usable_lba || end > header.last_usable_lba) {
      throw bad('out-of-range', `partition ${index} has sectors ${start} to ${end}`, {
        field: 'starting_lba',
      });
    }
    const guid = swapGuid(entry.unique_partition_guid);
    const text = formatGuid(guid);
    if (guids.has(text)) throw bad('duplicate', `two partitions have the GUID ${text}`);
    guids.add(text);
    partitions.push({
      index,
      label: decodeLabel(entry.partition_name),
      guid,
      typeGuid: swapGuid(entry.partition_type_guid),
      attributes: entry.attributes,
      offset: Number(start) * SECTOR_SIZE,
      size: Number(end - start + 1n) * SECTOR_SIZE,
    });
  }
  const byOffset = partitions.toSorted((a, b) => a.offset - b.offset);
  for (const [i, partition] of byOffset.entries()) {
    const next = byOffset[i + 1];
    if (next !== undefined && partition.offset + partition.size > next.offset) {
      throw bad('bad-value', `partitions ${partition.index} and ${next.index} overlap`);
    }
  }
  return partitions;
}

function decodeLabel(units: Uint8Array): string {
  const text = Buffer.from(units).toString('utf16le');
  const end = text.indexOf('\0');
  return end === -1 ? text : text.slice(0, end);
}
