/** Compares two APKs, or what their signatures are over, and the signatures themselves. */

import { equalBytes } from '../../core/digest.ts';
import type { ApkPiece, ApkPieces, EntryData } from './apk-pieces.ts';
import type { Comparison, ContentDifference } from './difference.ts';

/** What is compared of an entry; the digest where it is known. */
type ComparedEntry = Omit<EntryData, 'sha256'> & { readonly sha256?: string };

/** Differences in the data of entries, by name. */
export function compareEntries(
  a: readonly ComparedEntry[],
  b: readonly ComparedEntry[],
): ContentDifference[] {
  const others = new Map(b.map((entry) => [entry.name, entry]));
  const known = new Set(a.map(({ name }) => name));
  const differences = a.flatMap((entry): ContentDifference[] => {
    const other = others.get(entry.name);
    const what = other === undefined ? 'it is missing' : difference(entry, other);
    return what === undefined ? [] : [{ path: entry.name, what }];
  });
  const added = b.filter(({ name }) => !known.has(name));
  return [...differences, ...added.map(({ name }) => ({ path: name, what: 'it was added' }))];
}

function difference(a: ComparedEntry, b: ComparedEntry): string | undefined {
  if (a.crc32 !== b.crc32 || a.size !== b.size) return 'its content differs';
  if (a.method !== b.method) return 'the same content is compressed in one, stored in the other';
  if (a.compressedSize !== b.compressedSize) return 'the same content is compressed differently';
  if (a.sha256 !== undefined && b.sha256 !== undefined && a.sha256 !== b.sha256) {
    return 'its bytes differ';
  }
  return undefined;
}

const entriesOf = ({ pieces }: ApkPieces): EntryData[] =>
  pieces.flatMap((piece) => (piece.kind === 'entry' ? [piece.entry] : []));

type SignaturePiece = Exclude<ApkPiece, { readonly kind: 'entry' }>;

const isSignature = (piece: ApkPiece): piece is SignaturePiece =>
  piece.kind === 'signature-file' || piece.kind === 'signing-block';

const nameOf = (piece: SignaturePiece): string =>
  piece.kind === 'signature-file' ? piece.name : 'APK Signing Block';

/** Compares two signed APKs. */
export function compareApks(a: ApkPieces, b: ApkPieces): Comparison {
  const [left, right] = [a, b].map(
    ({ pieces }) =>
      new Map(pieces.filter(isSignature).map((piece) => [nameOf(piece), piece.bytes])),
  ) as [Map<string, Uint8Array>, Map<string, Uint8Array>];
  const names = [...new Set([...left.keys(), ...right.keys()])];
  const signatureDifferences = names.flatMap((path): ContentDifference[] => {
    const [one, other] = [left.get(path), right.get(path)];
    if (one === undefined) return [{ path, what: 'it was added' }];
    if (other === undefined) return [{ path, what: 'it is missing' }];
    return equalBytes(one, other) ? [] : [{ path, what: 'its bytes differ' }];
  });
  return { differences: compareEntries(entriesOf(a), entriesOf(b)), signatureDifferences };
}
