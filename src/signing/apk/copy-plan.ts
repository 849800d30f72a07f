/**
 * Which bytes of an APK a signer copies. Entries keep their bytes and their place; earlier JAR
 * signatures and directories are left out, as apksigner does, and what then moves keeps the alignment
 * that it had.
 */

import { readLocalHeader } from '../../formats/zip/entry.ts';
import { alignedExtra, declaredAlignment } from '../../formats/zip/extra.ts';
import {
  CENTRAL_FILE_HEADER_SIGNATURE,
  CentralFileHeader,
  DATA_DESCRIPTOR_SIGNATURE,
  DataDescriptor,
  EndOfCentralDirectory,
  FLAG_DATA_DESCRIPTOR,
  LocalFileHeader,
  METHOD_STORED,
} from '../../formats/zip/layout.ts';
import type { ZipDirectory, ZipEntry } from '../../formats/zip/read.ts';
import type { ByteSource } from '../../io/byte-source.ts';

/** Bytes of the output: a range of the input, or bytes of our own. */
export type CopyPiece =
  | { readonly kind: 'input'; readonly offset: number; readonly size: number }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

export interface CopyPlan {
  readonly pieces: readonly CopyPiece[];
  /** Of the pieces together, in bytes. */
  readonly size: number;
  readonly centralDirectory: Uint8Array;
  /** The EOCD for a central directory at this offset. */
  endOfCentralDirectory(centralDirectoryOffset: number): Uint8Array;
}

/** Libraries are mapped; other stored data is read as arrays of integers. */
const LIBRARY_ALIGNMENT = 4096;
const DATA_ALIGNMENT = 4;

const META_INF = 'META-INF/';

/** Directories, and the files of a JAR signature: a new signature would contradict them. */
function isLeftOut(name: string): boolean {
  if (name.endsWith('/')) return true;
  if (!name.startsWith(META_INF) || name.includes('/', META_INF.length)) return false;
  const file = name.slice(META_INF.length).toLowerCase();
  return file === 'manifest.mf' || file.startsWith('sig-') || /\.(?:sf|rsa|dsa|ec)$/.test(file);
}

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

/** The alignment that the data of an entry must keep; 1 when it may stand anywhere. */
function alignmentOf(entry: ZipEntry, extra: Uint8Array): number {
  if (entry.method !== METHOD_STORED) return 1;
  const usual = entry.name.endsWith('.so') ? LIBRARY_ALIGNMENT : DATA_ALIGNMENT;
  return Math.max(declaredAlignment(extra) ?? usual, 1);
}

/** The pieces of one entry when it starts at `offset` of the output. */
async function planEntry(
  source: ByteSource,
  entry: ZipEntry,
  offset: number,
): Promise<readonly CopyPiece[]> {
  const { header, nameBytes, extra, dataOffset } = await readLocalHeader(source, entry);
  const inputOffset = entry.localHeaderOffset;
  const dataEnd = dataOffset + entry.compressedSize;
  const end = dataEnd + (await descriptorSize(source, entry, dataEnd));
  const alignment = alignmentOf(entry, extra);
  const isAligned = dataOffset % alignment === 0;
  if (!isAligned || inputOffset % alignment === offset % alignment) {
    return [{ kind: 'input', offset: inputOffset, size: end - inputOffset }];
  }
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
    { kind: 'input', offset: dataOffset, size: end - dataOffset },
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

const encodeRecord = (entry: ZipEntry, localHeaderOffset: number): readonly Uint8Array[] => [
  CentralFileHeader.encode({
    ...entry,
    signature: CENTRAL_FILE_HEADER_SIGNATURE,
    nameLength: entry.nameBytes.length,
    extraLength: entry.extra.length,
    commentLength: entry.comment.length,
    localHeaderOffset,
  }),
  entry.nameBytes,
  entry.extra,
  entry.comment,
];

/**
 * Plans the copy of an APK's entries and its new central directory.
 *
 * @param zip Of an archive that `checkStrictZip` has accepted.
 */
export async function planCopy(source: ByteSource, zip: ZipDirectory): Promise<CopyPlan> {
  const kept = zip.entries.filter(({ name }) => !isLeftOut(name));
  const pieces: CopyPiece[] = [];
  const offsets = new Map<ZipEntry, number>();
  let size = 0;
  for (const entry of [...kept].sort((a, b) => a.localHeaderOffset - b.localHeaderOffset)) {
    offsets.set(entry, size);
    for (const piece of await planEntry(source, entry, size)) {
      addPiece(pieces, piece);
      size += pieceSize(piece);
    }
  }
  const centralDirectory = Buffer.concat(
    kept.flatMap((entry) => encodeRecord(entry, offsets.get(entry) ?? 0)),
  );
  return {
    pieces,
    size,
    centralDirectory,
    endOfCentralDirectory: (centralDirectoryOffset) =>
      EndOfCentralDirectory.encode({
        ...zip.end,
        entriesOnDisk: kept.length,
        entryCount: kept.length,
        centralDirectorySize: centralDirectory.length,
        centralDirectoryOffset,
      }),
  };
}
