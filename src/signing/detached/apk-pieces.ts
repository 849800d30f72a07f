/**
 * A signed APK as its signer left it, without the data of its entries: every header, gap, JAR signature,
 * signing block and directory, and for the data what it must be. Put together with the entries of a
 * build that was never signed, it is the signed APK again, byte for byte.
 */

import { createHash } from 'node:crypto';
import { FormatError } from '../../core/errors.ts';
import { findApkSections } from '../../formats/apk/signing-block.ts';
import { STAMP_CERTIFICATE_ENTRY } from '../../formats/apk/source-stamp.ts';
import { readLocalHeader } from '../../formats/zip/entry.ts';
import { readZip, type ZipEntry } from '../../formats/zip/read.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';

/** The data of an entry as it stands in the archive, compressed or not. */
export interface EntryData {
  readonly name: string;
  readonly method: number;
  /** Of the data decompressed. */
  readonly crc32: number;
  readonly size: number;
  readonly compressedSize: number;
  /** Of the data as it stands in the archive, in hex. */
  readonly sha256: string;
}

export type ApkPiece =
  /** Headers, gaps, the directory: bytes that the signer wrote or kept. */
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** A file that came with the signature, as it stands in the archive. */
  | { readonly kind: 'signature-file'; readonly name: string; readonly bytes: Uint8Array }
  | { readonly kind: 'signing-block'; readonly bytes: Uint8Array }
  /** Data that the signature is over. */
  | { readonly kind: 'entry'; readonly entry: EntryData };

export interface ApkPieces {
  /** Of the whole signed APK. */
  readonly size: number;
  readonly sha256: string;
  /** In the order of the file. */
  readonly pieces: readonly ApkPiece[];
}

/** Headers of 65535 entries take a tenth; a signer leaves no gaps that come near it. */
const MAX_KEPT_BYTES = 64 << 20;

const apkError = (message: string, where: { offset?: number; field?: string } = {}): FormatError =>
  new FormatError('apk', 'unsupported', `Cannot tell an APK from its signature: ${message}`, where);

/** Files of a JAR signature, as Android's verifier and its signer know them; directly in META-INF. */
const JAR_SIGNATURE_FILE = /^META-INF\/(?:MANIFEST\.MF|[^/]+\.(?:SF|RSA|DSA|EC)|SIG-[^/]+)$/i;

/** Whether a file came with a signature: of a JAR signature, or of a source stamp. */
export const isOfSignature = (name: string): boolean =>
  name === STAMP_CERTIFICATE_ENTRY || JAR_SIGNATURE_FILE.test(name);

/** The entries in the order of the file. @throws {FormatError} when two have one name. */
export async function readUniqueEntries(source: ByteSource): Promise<readonly ZipEntry[]> {
  const { entries } = await readZip(source);
  const names = new Set<string>();
  for (const { name } of entries) {
    if (names.has(name)) throw apkError(`it has two entries named "${name}"`, { field: name });
    names.add(name);
  }
  return [...entries].sort((a, b) => a.localHeaderOffset - b.localHeaderOffset);
}

/** Whether an APK carries any signature. */
export const isSigned = ({ pieces }: ApkPieces): boolean =>
  pieces.some(({ kind }) => kind === 'signature-file' || kind === 'signing-block');

/**
 * Splits an APK, signed or not.
 *
 * @throws {FormatError} when its entries overlap, or two have one name.
 */
export async function splitApk(source: ByteSource, signal?: AbortSignal): Promise<ApkPieces> {
  const sections = await findApkSections(source);
  const entries = await readUniqueEntries(source);
  const whole = createHash('sha256');
  const pieces: ApkPiece[] = [];
  let kept = 0;
  const read = async (from: number, to: number): Promise<Uint8Array> => {
    kept += to - from;
    if (kept > MAX_KEPT_BYTES) {
      throw apkError(`more than ${MAX_KEPT_BYTES} bytes are no data of entries`, { offset: from });
    }
    const bytes = await source.read(from, to - from);
    whole.update(bytes);
    return bytes;
  };
  let at = 0;
  for (const entry of entries) {
    signal?.throwIfAborted();
    const { dataOffset } = await readLocalHeader(source, entry);
    const end = dataOffset + entry.compressedSize;
    if (entry.localHeaderOffset < at || end > sections.entriesEnd) {
      const where = { offset: entry.localHeaderOffset, field: entry.name };
      throw apkError(`entry "${entry.name}" overlaps what stands beside it`, where);
    }
    pieces.push({ kind: 'bytes', bytes: await read(at, dataOffset) });
    if (entry.name.endsWith('/')) {
      pieces.push({ kind: 'bytes', bytes: await read(dataOffset, end) });
    } else if (isOfSignature(entry.name)) {
      // As bytes: it is put back as it is, however it was compressed.
      const bytes = await read(dataOffset, end);
      pieces.push({ kind: 'signature-file', name: entry.name, bytes });
    } else {
      pieces.push({ kind: 'entry', entry: await describeData(source, entry, dataOffset, whole) });
    }
    at = end;
  }
  const { entriesEnd, centralDirectoryOffset, size } = sections;
  pieces.push({ kind: 'bytes', bytes: await read(at, entriesEnd) });
  if (sections.hasSigningBlock) {
    const bytes = await read(entriesEnd, centralDirectoryOffset);
    pieces.push({ kind: 'signing-block', bytes });
  }
  pieces.push({ kind: 'bytes', bytes: await read(centralDirectoryOffset, size) });
  return { size, sha256: whole.digest('hex'), pieces: joined(pieces) };
}

/** Bytes that follow bytes become one piece, and empty ones none. */
function joined(pieces: readonly ApkPiece[]): ApkPiece[] {
  const out: ApkPiece[] = [];
  for (const piece of pieces) {
    const last = out.at(-1);
    if (piece.kind !== 'bytes') out.push(piece);
    else if (last?.kind === 'bytes') {
      out[out.length - 1] = { kind: 'bytes', bytes: Buffer.concat([last.bytes, piece.bytes]) };
    } else if (piece.bytes.length > 0) out.push(piece);
  }
  return out;
}

async function describeData(
  source: ByteSource,
  entry: ZipEntry,
  dataOffset: number,
  whole: ReturnType<typeof createHash>,
): Promise<EntryData> {
  const hash = createHash('sha256');
  for await (const chunk of streamOf(source, dataOffset, entry.compressedSize)) {
    hash.update(chunk);
    whole.update(chunk);
  }
  const { name, method, crc32, size, compressedSize } = entry;
  return { name, method, crc32, size, compressedSize, sha256: hash.digest('hex') };
}
