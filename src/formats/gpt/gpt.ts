/** Laying out and writing a partition table; the partitions' bytes are the caller's to write. */

import { crc32 } from 'node:zlib';
import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { formatGuid, parseGuid, swapGuid } from './guid.ts';
import {
  GPT_ENTRIES,
  GPT_ENTRY_SECTORS,
  GPT_HEADER_SIZE,
  GPT_LABEL_UNITS,
  GPT_REVISION,
  GPT_SIGNATURE,
  GptEntry,
  GptHeader,
  LINUX_DATA_TYPE,
  MBR_PARTITIONS_OFFSET,
  MBR_SIGNATURE,
  MBR_TYPE_GPT_PROTECTIVE,
  MbrPartition,
  SECTOR_SIZE,
} from './layout.ts';

/** Partitions start and end at multiples of this: pages, and blocks of file systems and dm-verity. */
const ALIGNMENT = 4096;
/** Where partitioning tools put the first partition. */
const FIRST_PARTITION = 1 << 20;
/** MBR, header and entries. */
const PRIMARY_SECTORS = 2 + GPT_ENTRY_SECTORS;
/** Entries and header. */
const BACKUP_SECTORS = GPT_ENTRY_SECTORS + 1;

interface PartitionRequest {
  /** At most 36 UTF-16 code units; no other partition may have it. */
  readonly label: string;
  /** In bytes; rounded up to 4096. */
  readonly size: number;
  /** 16 bytes, in the order of their text; see `guidFromDigest`. */
  readonly guid: Uint8Array;
  /** Default: Linux filesystem data. */
  readonly typeGuid?: Uint8Array;
}

export interface GptRequest {
  readonly diskGuid: Uint8Array;
  readonly partitions: readonly PartitionRequest[];
  /** Offset of the first partition in bytes, a multiple of 4096 from 20480 on. Default 1 MiB. */
  readonly firstPartition?: number;
}

interface PartitionPlace {
  readonly label: string;
  readonly guid: Uint8Array;
  readonly typeGuid: Uint8Array;
  /** Both in bytes, multiples of 4096. */
  readonly offset: number;
  readonly size: number;
}

export interface GptLayout {
  readonly diskGuid: Uint8Array;
  /** In the order asked for, one behind the other. */
  readonly partitions: readonly PartitionPlace[];
  /** Bytes before the first and behind the last partition hold the table. A multiple of 4096. */
  readonly diskSize: number;
}

/**
 * A GUID of version 8 (RFC 9562, "custom") from the first bytes of a digest, so that names give
 * stable GUIDs: `guidFromDigest(sha256(name))`.
 *
 * @throws {RangeError} when the digest is shorter than 16 bytes.
 */
export function guidFromDigest(digest: Uint8Array): Uint8Array {
  if (digest.length < 16) throw new RangeError('Cannot make a GUID of less than 16 bytes');
  const guid = digest.slice(0, 16);
  guid[6] = ((guid[6] ?? 0) & 0x0f) | 0x80;
  guid[8] = ((guid[8] ?? 0) & 0x3f) | 0x80;
  return guid;
}

/**
 * Decides where the partitions go.
 *
 * @throws {UsageError} `input` on a label that is empty, too long or used twice, a GUID used twice,
 *   a size that is not positive, or more than 128 partitions.
 * @throws {RangeError} on a GUID that has not 16 bytes, and on a first partition that is out of place.
 */
export function layoutGpt(request: GptRequest): GptLayout {
  const { firstPartition = FIRST_PARTITION } = request;
  if (firstPartition % ALIGNMENT !== 0 || firstPartition < PRIMARY_SECTORS * SECTOR_SIZE) {
    throw new RangeError(`Cannot place the first partition at ${firstPartition}`);
  }
  if (request.partitions.length > GPT_ENTRIES) {
    throw refuse(`${request.partitions.length} partitions, the table has room for ${GPT_ENTRIES}`);
  }
  const labels = new Set<string>();
  const guids = new Set([guidText(request.diskGuid)]);
  let offset = firstPartition;
  const partitions = request.partitions.map((partition): PartitionPlace => {
    const { label, guid, typeGuid = parseGuid(LINUX_DATA_TYPE) } = partition;
    const text = guidText(guid);
    if (/^[0-]*$/.test(guidText(typeGuid)))
      throw refuse(`partition ${label} has the type of an unused entry`);
    const problem = labelProblem(label) ?? (labels.has(label) ? 'is used twice' : undefined);
    if (problem !== undefined) throw refuse(`the label ${JSON.stringify(label)} ${problem}`);
    if (guids.has(text)) throw refuse(`the GUID ${text} is used twice`);
    if (!Number.isSafeInteger(partition.size) || partition.size <= 0) {
      throw refuse(`partition ${label} has ${partition.size} bytes`);
    }
    labels.add(label);
    guids.add(text);
    const size = alignUp(partition.size, ALIGNMENT);
    const place = { label, guid, typeGuid, offset, size };
    offset += size;
    return place;
  });
  const diskSize = alignUp(offset + BACKUP_SECTORS * SECTOR_SIZE, ALIGNMENT);
  if (!Number.isSafeInteger(diskSize)) throw refuse(`the disk would have ${diskSize} bytes`);
  return { diskGuid: request.diskGuid, partitions, diskSize };
}

function guidText(guid: Uint8Array): string {
  if (guid.length !== 16) throw new RangeError(`Cannot use ${guid.length} bytes as a GUID`);
  return formatGuid(guid);
}

const refuse = (problem: string): UsageError =>
  new UsageError('input', `Cannot lay out a GPT: ${problem}`);

function labelProblem(label: string): string | undefined {
  if (label === '') return 'is empty';
  if (label.length > GPT_LABEL_UNITS) {
    return `has ${label.length} UTF-16 units, over ${GPT_LABEL_UNITS}`;
  }
  return /[\0\uD800-\uDFFF]/u.test(label) ? 'is not valid text' : undefined;
}

/**
 * Writes the protective MBR and both tables, and sets the size of the disk. What lies between is
 * left alone, so the partitions may be written before or after.
 */
export async function writeGpt(sink: ImageSink, layout: GptLayout): Promise<void> {
  const sectors = layout.diskSize / SECTOR_SIZE;
  const entries = encodeEntries(layout);
  const header = (isBackup: boolean): Uint8Array =>
    encodeHeader(layout.diskGuid, sectors, crc32(entries), isBackup);
  await sink.truncate(layout.diskSize);

  const primary = new Uint8Array(PRIMARY_SECTORS * SECTOR_SIZE);
  primary.set(encodeProtectiveMbr(sectors));
  primary.set(header(false), SECTOR_SIZE);
  primary.set(entries, 2 * SECTOR_SIZE);
  await sink.write(0, primary);

  const backup = new Uint8Array(BACKUP_SECTORS * SECTOR_SIZE);
  backup.set(entries);
  backup.set(header(true), entries.length);
  await sink.write(layout.diskSize - backup.length, backup);
}

function encodeEntries({ partitions }: GptLayout): Uint8Array {
  const entries = new Uint8Array(GPT_ENTRIES * GptEntry.size);
  const view = new DataView(entries.buffer);
  for (const [index, { label, guid, typeGuid, offset, size }] of partitions.entries()) {
    GptEntry.encodeInto(view, index * GptEntry.size, {
      partition_type_guid: swapGuid(typeGuid),
      unique_partition_guid: swapGuid(guid),
      starting_lba: BigInt(offset / SECTOR_SIZE),
      ending_lba: BigInt((offset + size) / SECTOR_SIZE - 1),
      attributes: 0n,
      partition_name: Buffer.from(label, 'utf16le'),
    });
  }
  return entries;
}

function encodeHeader(
  diskGuid: Uint8Array,
  sectors: number,
  entriesCrc: number,
  isBackup: boolean,
): Uint8Array {
  const last = BigInt(sectors - 1);
  const values = {
    signature: GPT_SIGNATURE,
    revision: GPT_REVISION,
    header_size: GPT_HEADER_SIZE,
    header_crc32: 0,
    reserved: 0,
    my_lba: isBackup ? last : 1n,
    alternate_lba: isBackup ? 1n : last,
    first_usable_lba: BigInt(PRIMARY_SECTORS),
    last_usable_lba: BigInt(sectors - BACKUP_SECTORS - 1),
    disk_guid: swapGuid(diskGuid),
    partition_entry_lba: isBackup ? BigInt(sectors - BACKUP_SECTORS) : 2n,
    number_of_partition_entries: GPT_ENTRIES,
    size_of_partition_entry: GptEntry.size,
    partition_entry_array_crc32: entriesCrc,
  };
  return GptHeader.encode({ ...values, header_crc32: crc32(GptHeader.encode(values)) });
}

function encodeProtectiveMbr(sectors: number): Uint8Array {
  const mbr = new Uint8Array(SECTOR_SIZE);
  const view = new DataView(mbr.buffer);
  MbrPartition.encodeInto(view, MBR_PARTITIONS_OFFSET, {
    boot_indicator: 0,
    starting_chs: Uint8Array.of(0x00, 0x02, 0x00),
    os_type: MBR_TYPE_GPT_PROTECTIVE,
    // Beyond what cylinders, heads and sectors can say.
    ending_chs: Uint8Array.of(0xff, 0xff, 0xff),
    starting_lba: 1,
    size_in_lba: Math.min(sectors - 1, 0xffffffff),
  });
  view.setUint16(SECTOR_SIZE - 2, MBR_SIGNATURE, true);
  return mbr;
}
