/**
 * ZIP records as APKs use them: 32-bit sizes, one disk, no encryption. ZIP64 is for other archives.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16
 */

import { le, struct } from '../struct.ts';

export const LOCAL_FILE_HEADER_SIGNATURE = 0x04034b50;
export const DATA_DESCRIPTOR_SIGNATURE = 0x08074b50;
export const CENTRAL_FILE_HEADER_SIGNATURE = 0x02014b50;
export const END_OF_CENTRAL_DIRECTORY_SIGNATURE = 0x06054b50;
export const ZIP64_LOCATOR_SIGNATURE = 0x07064b50;
export const ZIP64_LOCATOR_SIZE = 20;

export const ZIP64_END_SIGNATURE = 0x06064b50;

export const METHOD_STORED = 0;
export const METHOD_DEFLATED = 8;

/** General purpose bits, section 4.4.4. */
export const FLAG_ENCRYPTED = 1 << 0;
export const FLAG_DEFLATE_EFFORT = 3 << 1;
export const FLAG_DATA_DESCRIPTOR = 1 << 3;
export const FLAG_STRONG_ENCRYPTION = 1 << 6;
export const FLAG_UTF8 = 1 << 11;
export const FLAG_MASKED_HEADERS = 1 << 13;

/** Extra field ids: Android's alignment, ZIP64, Info-ZIP's Unicode path. */
export const EXTRA_ANDROID_ALIGNMENT = 0xd935;
export const EXTRA_ZIP64 = 0x0001;
export const EXTRA_UNICODE_PATH = 0x7075;

export const LocalFileHeader = struct('local file header', 30, {
  signature: le.u32,
  versionNeeded: le.u16,
  flags: le.u16,
  method: le.u16,
  time: le.u16,
  date: le.u16,
  crc32: le.u32,
  compressedSize: le.u32,
  size: le.u32,
  nameLength: le.u16,
  extraLength: le.u16,
});

/** What follows the signature, which writers may leave out. */
export const DataDescriptor = struct('data descriptor', 12, {
  crc32: le.u32,
  compressedSize: le.u32,
  size: le.u32,
});

export const CentralFileHeader = struct('central directory file header', 46, {
  signature: le.u32,
  versionMadeBy: le.u16,
  versionNeeded: le.u16,
  flags: le.u16,
  method: le.u16,
  time: le.u16,
  date: le.u16,
  crc32: le.u32,
  compressedSize: le.u32,
  size: le.u32,
  nameLength: le.u16,
  extraLength: le.u16,
  commentLength: le.u16,
  diskNumber: le.u16,
  internalAttributes: le.u16,
  externalAttributes: le.u32,
  localHeaderOffset: le.u32,
});

export const EndOfCentralDirectory = struct('end of central directory record', 22, {
  signature: le.u32,
  diskNumber: le.u16,
  centralDirectoryDisk: le.u16,
  entriesOnDisk: le.u16,
  entryCount: le.u16,
  centralDirectorySize: le.u32,
  centralDirectoryOffset: le.u32,
  commentLength: le.u16,
});

/** The record that replaces the former where its fields are too narrow. */
export const Zip64EndOfCentralDirectory = struct('ZIP64 end of central directory record', 56, {
  signature: le.u32,
  /** Of what follows this field, in bytes. */
  recordSize: le.u64,
  versionMadeBy: le.u16,
  versionNeeded: le.u16,
  diskNumber: le.u32,
  centralDirectoryDisk: le.u32,
  entriesOnDisk: le.u64,
  entryCount: le.u64,
  centralDirectorySize: le.u64,
  centralDirectoryOffset: le.u64,
});

export const Zip64Locator = struct('ZIP64 end of central directory locator', ZIP64_LOCATOR_SIZE, {
  signature: le.u32,
  endDisk: le.u32,
  endOffset: le.u64,
  diskCount: le.u32,
});

/** What follows the signature of a data descriptor where the entry has the ZIP64 extra field. */
export const WideDataDescriptor = struct('ZIP64 data descriptor', 20, {
  crc32: le.u32,
  compressedSize: le.u64,
  size: le.u64,
});

/** Where the CD offset stands inside the EOCD: APK content digests replace it. */
export const EOCD_CENTRAL_DIRECTORY_OFFSET_AT = 16;

/** The largest offset or size that the 32-bit fields can hold. */
export const MAX_ZIP_SIZE = 0xffffffff;
