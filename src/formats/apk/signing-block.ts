/**
 * The APK Signing Block: ID-value pairs between the entries and the central directory.
 *
 * FORMAT: u64 size of what follows; pairs of (u64 size of the rest, u32 id, value); u64 size again;
 * 16 bytes magic.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#apk-signing-block
 */

import { toHex } from '../../core/digest.ts';
import { alignUp } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { findEndOfCentralDirectory, type EndRecord } from '../zip/read.ts';
import {
  EndOfCentralDirectory,
  ZIP64_LOCATOR_SIGNATURE,
  ZIP64_LOCATOR_SIZE,
} from '../zip/layout.ts';
import { bytes, le, struct } from '../struct.ts';
import { apkError } from './length-prefixed.ts';
import { SOURCE_STAMP_V1_BLOCK_ID, SOURCE_STAMP_V2_BLOCK_ID } from './source-stamp.ts';

export const APK_SIGNATURE_SCHEME_V2_BLOCK_ID = 0x7109871a;
export const APK_SIGNATURE_SCHEME_V3_BLOCK_ID = 0xf05368c0;
export const APK_SIGNATURE_SCHEME_V31_BLOCK_ID = 0x1b93ad61;
export const VERITY_PADDING_BLOCK_ID = 0x42726577;

const BLOCK_NAMES: ReadonlyMap<number, string> = new Map([
  [APK_SIGNATURE_SCHEME_V2_BLOCK_ID, 'APK Signature Scheme v2'],
  [APK_SIGNATURE_SCHEME_V3_BLOCK_ID, 'APK Signature Scheme v3'],
  [APK_SIGNATURE_SCHEME_V31_BLOCK_ID, 'APK Signature Scheme v3.1'],
  [VERITY_PADDING_BLOCK_ID, 'padding'],
  [SOURCE_STAMP_V1_BLOCK_ID, 'source stamp v1'],
  [SOURCE_STAMP_V2_BLOCK_ID, 'source stamp v2'],
]);
/** What a block id stands for, or undefined. */
export const findBlockName = (id: number): string | undefined => BLOCK_NAMES.get(id);

/** "APK Sig Block 42". */
export const SIGNING_BLOCK_MAGIC = new TextEncoder().encode('APK Sig Block 42');

const BlockFooter = struct('APK Signing Block footer', 24, { size: le.u64, magic: bytes(16) });
const PairHeader = struct('ID-value pair', 12, { size: le.u64, id: le.u32 });
const SIZE_FIELD = 8;
const ID_FIELD = 4;

/**
 * A block is read as a whole. Three schemes with RSA-16384 take 40 KiB; what stores add to it stays
 * below 1 MiB.
 */
const MAX_SIGNING_BLOCK_SIZE = 4 << 20;

/** Signing blocks start and end at multiples of this, so that what follows can be mapped. */
export const SIGNING_BLOCK_ALIGNMENT = 4096;

export interface BlockPair {
  readonly id: number;
  readonly value: Uint8Array;
}

export interface PlacedPair extends BlockPair {
  /** Where the value stands in the file. */
  readonly offset: number;
}

/** The parts of an APK that signatures tell apart. Offsets and sizes are bytes. */
export interface ApkSections {
  /** Where the entries end: the start of the signing block, or of the central directory. */
  readonly entriesEnd: number;
  readonly hasSigningBlock: boolean;
  readonly centralDirectoryOffset: number;
  readonly centralDirectorySize: number;
  readonly endOffset: number;
  /** The EOCD with its comment. */
  readonly endBytes: Uint8Array;
  /** The end of the APK; zeros may follow where it fills a partition. */
  readonly size: number;
}

function checkEnd(end: EndRecord, endOffset: number): void {
  const { centralDirectoryOffset: offset, centralDirectorySize: size } = end;
  if (offset === 0xffffffff || size === 0xffffffff || end.entryCount === 0xffff) {
    throw apkError('unsupported', 'Cannot read APK: it is a ZIP64 archive', { offset: endOffset });
  }
  if (offset + size !== endOffset) {
    throw apkError(
      'bad-value',
      'Cannot read APK: the central directory is not directly followed by its end record',
      { offset: endOffset },
    );
  }
}

async function checkTail(source: ByteSource, endOffset: number, size: number): Promise<void> {
  if (endOffset >= ZIP64_LOCATOR_SIZE) {
    const locator = await source.read(endOffset - ZIP64_LOCATOR_SIZE, 4);
    const signature = new DataView(locator.buffer, locator.byteOffset).getUint32(0, true);
    if (signature === ZIP64_LOCATOR_SIGNATURE) {
      throw apkError('unsupported', 'Cannot read APK: it has a ZIP64 locator', {
        offset: endOffset - ZIP64_LOCATOR_SIZE,
      });
    }
  }
  const padding = await source.read(size, source.size - size);
  if (padding.length >= SIGNING_BLOCK_ALIGNMENT || padding.some((byte) => byte !== 0)) {
    throw apkError('trailing-data', 'Cannot read APK: bytes follow its end record', {
      offset: size,
    });
  }
}

/**
 * Finds the sections of an APK. Fewer than 4096 zeros may follow it, as in a partition.
 *
 * @throws {FormatError} when it is no ZIP archive as APKs are, or its signing block is malformed.
 */
export async function findApkSections(source: ByteSource): Promise<ApkSections> {
  const { end, endOffset } = await findEndOfCentralDirectory(source);
  checkEnd(end, endOffset);
  const endBytes = await source.read(endOffset, EndOfCentralDirectory.size + end.commentLength);
  const size = endOffset + endBytes.length;
  await checkTail(source, endOffset, size);
  const blockSize = await findBlockSize(source, end.centralDirectoryOffset);
  return {
    entriesEnd: end.centralDirectoryOffset - (blockSize ?? 0),
    hasSigningBlock: blockSize !== undefined,
    centralDirectoryOffset: end.centralDirectoryOffset,
    centralDirectorySize: end.centralDirectorySize,
    endOffset,
    endBytes,
    size,
  };
}

/** The whole size of the block that ends at `end`, or undefined when none does. */
async function findBlockSize(source: ByteSource, end: number): Promise<number | undefined> {
  if (end < BlockFooter.size) return undefined;
  const footerOffset = end - BlockFooter.size;
  const footer = BlockFooter.decode(await source.read(footerOffset, BlockFooter.size));
  if (toHex(footer.magic) !== toHex(SIGNING_BLOCK_MAGIC)) return undefined;
  const where = { offset: footerOffset, field: 'size' };
  if (footer.size < BigInt(BlockFooter.size) || footer.size > BigInt(MAX_SIGNING_BLOCK_SIZE)) {
    throw apkError('too-large', `APK Signing Block size out of range: ${footer.size}`, where);
  }
  const size = Number(footer.size) + SIZE_FIELD;
  if (size > end) {
    throw apkError('out-of-range', 'APK too small for APK Signing Block', where);
  }
  const head = await source.read(end - size, SIZE_FIELD);
  const headSize = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  if (headSize !== footer.size) {
    throw apkError(
      'bad-value',
      `APK Signing Block sizes in header and footer do not match: ${headSize} and ${footer.size}`,
      { offset: end - size, field: 'size' },
    );
  }
  return size;
}

/**
 * Reads the pairs of the signing block, in their order.
 *
 * @throws {FormatError} when there is no block, or its pairs do not fill it exactly.
 */
export async function readSigningBlock(
  source: ByteSource,
  sections: ApkSections,
): Promise<readonly PlacedPair[]> {
  const { entriesEnd, centralDirectoryOffset: end } = sections;
  if (!sections.hasSigningBlock)
    throw apkError('bad-magic', 'No APK Signing Block', { offset: end });
  const base = entriesEnd + SIZE_FIELD;
  const data = await source.read(base, end - BlockFooter.size - base);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const pairs: PlacedPair[] = [];
  for (let at = 0; at < data.length;) {
    const where = { offset: base + at, field: `pair ${pairs.length}` };
    if (data.length - at < PairHeader.size) {
      throw apkError('truncated', 'An ID-value pair of the APK Signing Block is cut off', where);
    }
    // Not `decode`: hostile blocks hold a hundred thousand pairs, and each would cost microseconds.
    const size = le.u64.read(view, at);
    const id = le.u32.read(view, at + SIZE_FIELD);
    const next = at + SIZE_FIELD + Number(size);
    if (size < BigInt(ID_FIELD) || next > data.length) {
      throw apkError('out-of-range', `APK Signing Block pair size out of range: ${size}`, where);
    }
    const start = at + PairHeader.size;
    pairs.push({ id, value: data.subarray(start, next), offset: base + start });
    at = next;
  }
  return pairs;
}

/** Encodes a block with these pairs, padded by one more pair to a multiple of 4096 bytes. */
export function encodeSigningBlock(pairs: readonly BlockPair[]): Uint8Array {
  const frame = SIZE_FIELD + BlockFooter.size;
  const used = pairs.reduce((sum, { value }) => sum + PairHeader.size + value.length, frame);
  let size = alignUp(used, SIGNING_BLOCK_ALIGNMENT);
  // A gap too small for a pair takes another page.
  if (size !== used && size - used < PairHeader.size) size += SIGNING_BLOCK_ALIGNMENT;
  const padding = size === used ? [] : [paddingPair(size - used)];
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  const sizeField = BigInt(size - SIZE_FIELD);
  le.u64.write(view, 0, sizeField);
  let at = SIZE_FIELD;
  for (const { id, value } of [...pairs, ...padding]) {
    PairHeader.encodeInto(view, at, { size: BigInt(ID_FIELD + value.length), id });
    out.set(value, at + PairHeader.size);
    at += PairHeader.size + value.length;
  }
  BlockFooter.encodeInto(view, at, { size: sizeField, magic: SIGNING_BLOCK_MAGIC });
  return out;
}

const paddingPair = (size: number): BlockPair => ({
  id: VERITY_PADDING_BLOCK_ID,
  value: new Uint8Array(size - PairHeader.size),
});
