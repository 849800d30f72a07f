/**
 * The records of a GUID partition table on a disk of 512-byte sectors.
 *
 * @see https://uefi.org/specs/UEFI/2.10/05_GUID_Partition_Table_Format.html
 */

import { bytes, le, struct, u8 } from '../struct.ts';

export const SECTOR_SIZE = 512;
/** `EFI PART`, read as a little-endian number. */
export const GPT_SIGNATURE = 0x5452415020494645n;
export const GPT_REVISION = 0x00010000;
/** The only header size there is; the rest of its sector is zeros. */
export const GPT_HEADER_SIZE = 92;
export const GPT_ENTRIES = 128;
/** Sectors of the array of 128 entries. */
export const GPT_ENTRY_SECTORS = 32;
/** Letters of a label: UTF-16 code units. */
export const GPT_LABEL_UNITS = 36;

export const MBR_SIGNATURE = 0xaa55;
/** Partition type of the one MBR entry that keeps others away from the disk. */
export const MBR_TYPE_GPT_PROTECTIVE = 0xee;
export const MBR_PARTITIONS_OFFSET = 446;

const mbrPartitionFields = {
  boot_indicator: u8,
  starting_chs: bytes(3),
  os_type: u8,
  ending_chs: bytes(3),
  starting_lba: le.u32,
  size_in_lba: le.u32,
} as const;
export const MbrPartition = struct('MBR partition record', 16, mbrPartitionFields);

export const gptHeaderFields = {
  signature: le.u64,
  revision: le.u32,
  header_size: le.u32,
  header_crc32: le.u32,
  reserved: le.u32,
  my_lba: le.u64,
  alternate_lba: le.u64,
  first_usable_lba: le.u64,
  last_usable_lba: le.u64,
  disk_guid: bytes(16),
  partition_entry_lba: le.u64,
  number_of_partition_entries: le.u32,
  size_of_partition_entry: le.u32,
  partition_entry_array_crc32: le.u32,
} as const;
export const GptHeader = struct('GPT header', GPT_HEADER_SIZE, gptHeaderFields);

const gptEntryFields = {
  partition_type_guid: bytes(16),
  unique_partition_guid: bytes(16),
  starting_lba: le.u64,
  ending_lba: le.u64,
  attributes: le.u64,
  partition_name: bytes(2 * GPT_LABEL_UNITS),
} as const;
export const GptEntry = struct('GPT partition entry', 128, gptEntryFields);

/** Linux filesystem data: what Android's composite disks use for all their partitions. */
export const LINUX_DATA_TYPE = '0fc63daf-8483-4772-8e79-3d69d8477de4';
