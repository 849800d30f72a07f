/**
 * An APK as Android's installers see it: they pass over much that our strict reader refuses, such as a
 * gap behind the central directory, and a verdict on their behalf must do the same.
 *
 * What they refuse is a `FormatError`. A signing block that they do not find is not there.
 */

import { FormatError, type FormatErrorCode } from '../../../core/errors.ts';
import {
  SIGNING_BLOCK_MAGIC,
  type ApkSections,
  type PlacedPair,
} from '../../../formats/apk/signing-block.ts';
import {
  CENTRAL_FILE_HEADER_SIGNATURE,
  CentralFileHeader,
  END_OF_CENTRAL_DIRECTORY_SIGNATURE,
  EndOfCentralDirectory,
} from '../../../formats/zip/layout.ts';
import { zipEntry, type ZipEntry } from '../../../formats/zip/read.ts';
import type { ByteSource } from '../../../io/byte-source.ts';

/** The pairs of a signing block that were asked for. */
export interface SigningBlockView {
  /** The first pair of this id, or undefined. */
  pair(id: number): PlacedPair | undefined;
}

export interface ApkView {
  readonly source: ByteSource;
  readonly sections: ApkSections;
  /** Undefined when there is none that counts; `blockProblem` may say why. */
  readonly block: SigningBlockView | undefined;
  readonly blockProblem: string | undefined;
}

const apkError = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string } = {},
): FormatError => new FormatError('apk', code, `Cannot read APK: ${message}`, where);

const MAX_COMMENT = 0xffff;
const FOOTER_SIZE = 24;
/** With its magic and both of its sizes. */
const MIN_BLOCK_SIZE = 32;
/** Above it, Android finds no block. */
const MAX_BLOCK_SIZE = 0x7fff_fff7;
/** Stores add to signing blocks, but no more than megabytes. What Android would read is refused. */
const MAX_READ_BLOCK = 64 << 20;
/** 65535 records of 300 bytes and a little. */
const MAX_CENTRAL_DIRECTORY = 32 << 20;

/** The EOCD whose comment ends exactly where the file does; the shortest comment counts. */
async function findEnd(source: ByteSource): Promise<{ offset: number; bytes: Uint8Array }> {
  const size = Math.min(source.size, EndOfCentralDirectory.size + MAX_COMMENT);
  const tail = await source.read(source.size - size, size);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  for (let at = size - EndOfCentralDirectory.size; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_OF_CENTRAL_DIRECTORY_SIGNATURE) continue;
    const bytes = tail.subarray(at);
    const { commentLength } = EndOfCentralDirectory.decode(bytes);
    if (commentLength === bytes.length - EndOfCentralDirectory.size) {
      return { offset: source.size - size + at, bytes };
    }
  }
  throw apkError(
    'bad-magic',
    'it is no ZIP archive, which ends in an end of central directory record',
  );
}

type BlockFinding =
  | { readonly offset: number; readonly size: number }
  | { readonly problem: string }
  | undefined;

async function findBlock(
  source: ByteSource,
  directoryOffset: number,
  directoryEnd: number,
  endOffset: number,
): Promise<BlockFinding> {
  if (directoryOffset < MIN_BLOCK_SIZE) return undefined;
  const footer = await source.read(directoryOffset - FOOTER_SIZE, FOOTER_SIZE);
  if (!Buffer.from(footer.subarray(8)).equals(SIGNING_BLOCK_MAGIC)) return undefined;
  if (directoryEnd !== endOffset) {
    return { problem: 'the central directory is not directly followed by its end record' };
  }
  const size = new DataView(footer.buffer, footer.byteOffset).getBigUint64(0, true);
  if (size < BigInt(FOOTER_SIZE) || size > BigInt(MAX_BLOCK_SIZE)) {
    return { problem: `its size, ${size}, is out of range` };
  }
  const offset = directoryOffset - Number(size) - 8;
  if (offset < 0) return { problem: `its size, ${size}, is more than there is before it` };
  const head = await source.read(offset, 8);
  const headSize = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  if (headSize !== size) return { problem: `its sizes, ${headSize} and ${size}, differ` };
  if (size > BigInt(MAX_READ_BLOCK)) {
    throw apkError('too-large', `its signing block is ${size} bytes`, { offset });
  }
  return { offset, size: Number(size) + 8 };
}

/**
 * Looks at each pair once and keeps the first of each id: hostile blocks hold a hundred thousand.
 * A pair that leaves the block hides those behind it.
 */
async function readBlock(
  source: ByteSource,
  { offset, size }: { readonly offset: number; readonly size: number },
): Promise<SigningBlockView> {
  const base = offset + 8;
  const data = await source.read(base, size - 8 - FOOTER_SIZE);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return {
    pair(wanted) {
      for (let at = 0; at + 8 <= data.length;) {
        const length = view.getUint32(at, true);
        const isHuge = view.getUint32(at + 4, true) !== 0;
        if (isHuge || length < 4 || length > data.length - at - 8) return undefined;
        if (view.getUint32(at + 8, true) === wanted) {
          const value = data.subarray(at + 12, at + 8 + length);
          return { id: wanted, value, offset: base + at + 12 };
        }
        at += 8 + length;
      }
      return undefined;
    },
  };
}

/** @throws {FormatError} when it is no ZIP archive. */
export async function openApk(source: ByteSource): Promise<ApkView> {
  const { offset: endOffset, bytes: endBytes } = await findEnd(source);
  const end = EndOfCentralDirectory.decode(endBytes);
  const { centralDirectoryOffset, centralDirectorySize } = end;
  const directoryEnd = centralDirectoryOffset + centralDirectorySize;
  if (directoryEnd > endOffset) {
    throw apkError('out-of-range', 'its central directory reaches beyond the end record', {
      offset: endOffset,
    });
  }
  const block = await findBlock(source, centralDirectoryOffset, directoryEnd, endOffset);
  const found = block !== undefined && 'offset' in block ? block : undefined;
  return {
    source,
    sections: {
      entriesEnd: found?.offset ?? centralDirectoryOffset,
      hasSigningBlock: found !== undefined,
      centralDirectoryOffset,
      centralDirectorySize,
      endOffset,
      endBytes,
      size: source.size,
    },
    block: found && (await readBlock(source, found)),
    blockProblem: block !== undefined && 'problem' in block ? block.problem : undefined,
  };
}

/**
 * The entries that are files, in the order of the central directory: as many as its end record counts.
 *
 * @throws {FormatError} when one of them is cut off.
 */
export async function readEntries({ source, sections }: ApkView): Promise<readonly ZipEntry[]> {
  const { centralDirectoryOffset: offset, centralDirectorySize: size } = sections;
  if (size > MAX_CENTRAL_DIRECTORY) {
    throw apkError('too-large', `its central directory is ${size} bytes`, { offset });
  }
  const directory = await source.read(offset, size);
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  const { entryCount } = EndOfCentralDirectory.decode(sections.endBytes);
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let number = 1; number <= entryCount; number++) {
    const recordOffset = offset + at;
    const malformed = (): FormatError =>
      apkError('bad-value', `record ${number} of its central directory is malformed`, {
        offset: recordOffset,
      });
    if (size - at < CentralFileHeader.size) throw malformed();
    const record = CentralFileHeader.decode(directory, at);
    const nameAt = at + CentralFileHeader.size;
    const extraAt = nameAt + record.nameLength;
    const next = extraAt + record.extraLength + record.commentLength;
    if (record.signature !== CENTRAL_FILE_HEADER_SIGNATURE || next > size) throw malformed();
    const name = utf8.decode(directory.subarray(nameAt, extraAt));
    if (!name.endsWith('/')) entries.push(zipEntry(record, directory, at, { name, offset }));
    at = next;
  }
  return entries;
}
