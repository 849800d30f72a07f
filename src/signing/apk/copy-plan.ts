/**
 * Which bytes of an APK a signer copies, and where they come to stand. Entries keep their order and
 * their bytes; earlier JAR signatures and directories are left out, as apksigner does, and so is what
 * belongs to no entry.
 */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import { readLocalHeader, type LocalHeader } from '../../formats/zip/entry.ts';
import { alignedExtra, declaredAlignment } from '../../formats/zip/extra.ts';
import {
  DATA_DESCRIPTOR_SIGNATURE,
  DataDescriptor,
  FLAG_DATA_DESCRIPTOR,
  LocalFileHeader,
  METHOD_STORED,
} from '../../formats/zip/layout.ts';
import type { ZipDirectory, ZipEntry } from '../../formats/zip/read.ts';
import type { DirectoryRecord } from '../../formats/zip/records.ts';
import { windowSource } from '../../formats/zip/window-source.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import { isListedInManifest } from './jar/names.ts';

/** Bytes of the output: a range of the input, or bytes of our own. */
export type CopyPiece =
  | { readonly kind: 'input'; readonly offset: number; readonly size: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

export interface CopyPlan {
  readonly pieces: readonly CopyPiece[];
  /** Of the pieces together, in bytes. */
  readonly size: number;
  /** In the order of the input's central directory. */
  readonly records: readonly DirectoryRecord[];
}

export interface CopyOptions {
  /** Where the entries of the input end: at its signing block, or its central directory. */
  readonly entriesEnd: number;
  /** What stored data is aligned to. */
  readonly alignment: EntryAlignment;
  /** Whether entries keep their comments. */
  readonly entryComments: boolean;
  /** Whether bytes that belong to no entry are passed over; otherwise they are refused, save zeros. */
  readonly dropGaps: boolean;
  /** Entries that are made anew, or kept from an earlier signature. */
  readonly isLeftOut: (name: string) => boolean;
}

/** `kept`: as in the input, where it is aligned; else pages of `.so` in bytes, 4 for all other data. */
export type EntryAlignment = 'kept' | { readonly libraryPage: number };

const COMMON_PAGE = 4096;
const DATA_ALIGNMENT = 4;

/** Whether a name is a file of a JAR signature, or a directory: what a new signature does away with. */
export const isSignatureEntry = (name: string): boolean => !isListedInManifest(name);

const refuse = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string; hint?: string },
): FormatError => new FormatError('zip', code, `Cannot sign APK: ${message}`, where);

/** A data descriptor may start with a signature, which its size does not say. */
async function descriptorSize(
  source: ByteSource,
  entry: ZipEntry,
  offset: number,
): Promise<number> {
  if ((entry.flags & FLAG_DATA_DESCRIPTOR) === 0) return 0;
  const bytes = await source.read(offset, 4);
  const signed =
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === DATA_DESCRIPTOR_SIGNATURE;
  return DataDescriptor.size + (signed ? 4 : 0);
}

/** An entry as it stands in the input. */
interface PlacedEntry {
  readonly entry: ZipEntry;
  readonly local: LocalHeader;
  /** Behind its data and its descriptor. */
  readonly end: number;
}

async function placeEntry(
  source: ByteSource,
  entry: ZipEntry,
  limit: number,
): Promise<PlacedEntry> {
  const local = await readLocalHeader(source, entry);
  const dataEnd = local.dataOffset + entry.compressedSize;
  const overlap = (): FormatError =>
    refuse('out-of-range', `entry "${entry.name}" overlaps what follows it`, {
      offset: entry.localHeaderOffset,
      field: entry.name,
    });
  if (dataEnd > limit) throw overlap();
  const end = dataEnd + (await descriptorSize(source, entry, dataEnd));
  if (end > limit) throw overlap();
  return { entry, local, end };
}

/** Zeros align what follows; other bytes may be anything, an entry that nobody lists among them. */
async function checkGap(source: ByteSource, from: number, to: number): Promise<void> {
  for await (const chunk of streamOf(source, from, to - from)) {
    if (chunk.some((byte) => byte !== 0)) {
      throw refuse('trailing-data', `${to - from} bytes belong to no entry`, {
        offset: from,
        hint: 'Sign with --drop-gaps to leave them out',
      });
    }
  }
}

/** The alignment that the data of an entry must have; 1 when it may stand anywhere. */
function alignmentOf({ entry, local }: PlacedEntry, rule: EntryAlignment): number {
  if (entry.method !== METHOD_STORED) return 1;
  const isLibrary = entry.name.endsWith('.so');
  const declared = declaredAlignment(local.extra);
  if (rule === 'kept') return Math.max(declared ?? (isLibrary ? COMMON_PAGE : DATA_ALIGNMENT), 1);
  const needed = isLibrary ? rule.libraryPage : DATA_ALIGNMENT;
  // Who asked for more gets it, as long as it serves what is needed too.
  return declared !== undefined && declared % needed === 0 && declared > 0 ? declared : needed;
}

/** The pieces of one entry when it starts at `offset` of the output. */
function entryPieces(
  placed: PlacedEntry,
  offset: number,
  rule: EntryAlignment,
): readonly CopyPiece[] {
  const { entry, local, end } = placed;
  const inputOffset = entry.localHeaderOffset;
  const verbatim: CopyPiece = { kind: 'input', offset: inputOffset, size: end - inputOffset };
  const alignment = alignmentOf(placed, rule);
  const dataOffset = offset + (local.dataOffset - inputOffset);
  const isAligned = dataOffset % alignment === 0;
  // What was not aligned is not aligned now: apksigner leaves that to zipalign.
  if (isAligned || (rule === 'kept' && local.dataOffset % alignment !== 0)) return [verbatim];
  const { header, nameBytes, extra } = local;
  const extraOffset = offset + LocalFileHeader.size + nameBytes.length;
  const moved = alignedExtra(extra, extraOffset, alignment);
  return [
    {
      kind: 'bytes',
      bytes: Buffer.concat([
        LocalFileHeader.encode({ ...header, extraLength: moved.length }),
        nameBytes,
        moved,
      ]),
    },
    { kind: 'input', offset: local.dataOffset, size: end - local.dataOffset },
  ];
}

const pieceSize = (piece: CopyPiece): number =>
  piece.kind === 'input' ? piece.size : piece.bytes.length;

/** Adds a piece, joined to the one before where both are one range of the input. */
function addPiece(pieces: CopyPiece[], piece: CopyPiece): void {
  const last = pieces.at(-1);
  if (
    last?.kind === 'input' &&
    piece.kind === 'input' &&
    last.offset + last.size === piece.offset
  ) {
    pieces[pieces.length - 1] = { ...last, size: last.size + piece.size };
  } else {
    pieces.push(piece);
  }
}

/**
 * Plans the copy of an APK's entries.
 *
 * @throws {FormatError} when entries overlap, or bytes belong to none of them.
 */
export async function planCopy(
  source: ByteSource,
  zip: ZipDirectory,
  options: CopyOptions,
): Promise<CopyPlan> {
  const byOffset = [...zip.entries].sort((a, b) => a.localHeaderOffset - b.localHeaderOffset);
  const headers = windowSource(source);
  const pieces: CopyPiece[] = [];
  const offsets = new Map<ZipEntry, number>();
  let size = 0;
  let inputEnd = 0;
  const passGap = async (to: number): Promise<void> => {
    if (to > inputEnd && !options.dropGaps) await checkGap(source, inputEnd, to);
  };
  for (const [index, entry] of byOffset.entries()) {
    await passGap(Math.min(entry.localHeaderOffset, options.entriesEnd));
    const next = byOffset[index + 1]?.localHeaderOffset ?? options.entriesEnd;
    const placed = await placeEntry(headers, entry, Math.min(next, options.entriesEnd));
    inputEnd = placed.end;
    if (options.isLeftOut(entry.name)) continue;
    offsets.set(entry, size);
    for (const piece of entryPieces(placed, size, options.alignment)) {
      addPiece(pieces, piece);
      size += pieceSize(piece);
    }
  }
  await passGap(options.entriesEnd);
  const records = zip.entries.flatMap((entry) => {
    const localHeaderOffset = offsets.get(entry);
    if (localHeaderOffset === undefined) return [];
    const comment = options.entryComments ? entry.comment : new Uint8Array(0);
    return [{ ...entry, comment, localHeaderOffset }];
  });
  return { pieces, size, records };
}
