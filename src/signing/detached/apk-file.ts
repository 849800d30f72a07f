/**
 * The file of a signature that was taken out of an APK: JSON, so that people can read what is in it.
 *
 * ```json
 * { "format": "microbuild-apk-signature", "schemaVersion": 1, "size": 12859, "sha256": "…",
 *   "pieces": [ { "bytes": "BASE64" }, { "entry": { "name": "classes.dex", … } },
 *               { "signatureFile": "META-INF/CERT.RSA", "bytes": "BASE64" },
 *               { "signingBlock": "BASE64" } ] }
 * ```
 */

import {
  base64,
  count,
  hex,
  list,
  oneOf,
  readStrictJson,
  record,
  text,
  wrongField,
  type JsonReader,
} from '../strict-json.ts';
import type { ApkPiece, ApkPieces, EntryData } from './apk-pieces.ts';

const FORMAT = 'microbuild-apk-signature';

/** How the file begins: what tells it from other files. */
export const DETACHED_APK_START: string = `{\n  "format": "${FORMAT}"`;

/** Headers of 65535 entries in base64, with their digests. */
export const MAX_DETACHED_SIZE: number = 128 << 20;

const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');

function pieceToJson(piece: ApkPiece): Record<string, unknown> {
  switch (piece.kind) {
    case 'bytes':
      return { bytes: toBase64(piece.bytes) };
    case 'signature-file':
      return { signatureFile: piece.name, bytes: toBase64(piece.bytes) };
    case 'signing-block':
      return { signingBlock: toBase64(piece.bytes) };
    case 'entry':
      return { entry: piece.entry };
  }
}

/** The text of the file: equal signatures are equal bytes. */
export function formatDetachedApk({ size, sha256, pieces }: ApkPieces): string {
  const document = { format: FORMAT, schemaVersion: 1, size, sha256 };
  return `${JSON.stringify({ ...document, pieces: pieces.map(pieceToJson) }, undefined, 2)}\n`;
}

const u32: JsonReader<number> = (value, field) => {
  const number = count(value, field);
  return number <= 0xffff_ffff ? number : wrongField(field, 'a 32-bit number');
};

const entryReader = record<EntryData>({
  name: text,
  method: u32,
  crc32: u32,
  size: u32,
  compressedSize: u32,
  sha256: hex(32),
});

const bytesReader = record<{ bytes: Uint8Array }>({ bytes: base64 });
const fileReader = record<{ signatureFile: string; bytes: Uint8Array }>({
  signatureFile: text,
  bytes: base64,
});
const blockReader = record<{ signingBlock: Uint8Array }>({ signingBlock: base64 });
const dataReader = record<{ entry: EntryData }>({ entry: entryReader });

const has = (value: unknown, name: string): boolean =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name);

const readPiece: JsonReader<ApkPiece> = (value, field) => {
  if (has(value, 'entry')) return { kind: 'entry', entry: dataReader(value, field).entry };
  if (has(value, 'signingBlock')) {
    return { kind: 'signing-block', bytes: blockReader(value, field).signingBlock };
  }
  if (has(value, 'signatureFile')) {
    const { signatureFile, bytes } = fileReader(value, field);
    return { kind: 'signature-file', name: signatureFile, bytes };
  }
  return { kind: 'bytes', bytes: bytesReader(value, field).bytes };
};

const readDocument = record<ApkPieces & { format: string; schemaVersion: number }>({
  format: oneOf(FORMAT),
  schemaVersion: oneOf(1),
  size: count,
  sha256: hex(32),
  pieces: list(readPiece),
});

/** Checks what the pieces say together. */
const readConsistent: JsonReader<ApkPieces> = (value, field) => {
  const { size, sha256, pieces } = readDocument(value, field);
  const total = pieces.reduce(
    (sum, piece) =>
      sum + (piece.kind === 'entry' ? piece.entry.compressedSize : piece.bytes.length),
    0,
  );
  if (total !== size) wrongField('size', `that of its pieces, ${total}`);
  const names = pieces.flatMap((piece) => (piece.kind === 'entry' ? [piece.entry.name] : []));
  if (new Set(names).size !== names.length) wrongField('pieces', 'free of entries of one name');
  return { size, sha256, pieces };
};

/** @throws {FormatError} `apk-signature`, naming the field. */
export const parseDetachedApk = (json: string, file: string): ApkPieces =>
  readStrictJson(
    json,
    readConsistent,
    'apk-signature',
    file,
    'Take it out of the signed APK again: microbuild sign extract',
  );
