/**
 * Source stamps: who distributes an APK, signed beside and apart from who made it.
 *
 * FORMAT of the pair's value, each part behind its u32 length unless marked:
 * stamp
 *   certificate: X.509 DER
 *   sequence of signed schemes: u32 scheme (bare), sequence of signatures
 *   attributes: sequence of (u32 id (bare), value)
 *   sequence of signatures over the attributes
 * signature: u32 algorithm (bare), signature
 *
 * The signatures are over the digests of one signature scheme (`encodeStampDigests`). The SHA-256 of the
 * certificate is an entry of the APK too, so that a stamp cannot be stripped unnoticed.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#apk-signing-block
 */

import { cursor, prefixed, readSequence, u32, type Cursor } from './length-prefixed.ts';
import type { AlgorithmSignature } from './signer-block.ts';

/** The first version, of the digests of one scheme only. Nobody writes it, and Android passes over it. */
export const SOURCE_STAMP_V1_BLOCK_ID = 0x2b09189e;
export const SOURCE_STAMP_V2_BLOCK_ID = 0x6dff800d;

/** The entry that holds the SHA-256 of the stamp's certificate, 32 bytes. */
export const STAMP_CERTIFICATE_ENTRY = 'stamp-cert-sha256';

export const STAMP_ROTATION_ATTRIBUTE_ID = 0x9d6303f7;
/** Seconds since 1970, i64; bytes behind it have no meaning. */
export const STAMP_TIME_ATTRIBUTE_ID = 0xe43c5946;

/** What stamps call the digests of signature schemes; `manifest` is of META-INF/MANIFEST.MF. */
export const STAMP_DIGEST_IDS = {
  'chunked-sha256': 1,
  'chunked-sha512': 2,
  'verity-sha256': 3,
  manifest: 4,
} as const;
export type StampDigestName = keyof typeof STAMP_DIGEST_IDS;

/** What one signature scheme signed. */
export type StampDigests = ReadonlyMap<StampDigestName, Uint8Array>;

/** 1 for JAR signatures, 2, 3; v3.1 is not stamped, since v3 stands beside it. */
export type StampedScheme = 1 | 2 | 3;

export interface SchemeSignatures {
  readonly scheme: number;
  readonly signatures: readonly AlgorithmSignature[];
}

export interface StampAttribute {
  readonly id: number;
  readonly value: Uint8Array;
}

export interface SourceStamp {
  /** X.509 DER. */
  readonly certificate: Uint8Array;
  readonly schemes: readonly SchemeSignatures[];
  /** Early stamps have none. */
  readonly attributes?: {
    /** `encodeStampAttributes`: what the signatures are over. */
    readonly encoded: Uint8Array;
    readonly signatures: readonly AlgorithmSignature[];
  };
}

/** Far more than there are schemes, algorithms and attributes. */
const MAX_ELEMENTS = 64;

const encodeSignatures = (signatures: readonly AlgorithmSignature[]): Uint8Array =>
  prefixed(
    ...signatures.map(({ algorithm, signature }) => prefixed(u32(algorithm), prefixed(signature))),
  );

/** What a stamp's signatures over a signature scheme are over: the scheme's digests by their ids. */
export function encodeStampDigests(digests: StampDigests): Uint8Array {
  const sorted = [...digests]
    .map(([name, digest]) => ({ id: STAMP_DIGEST_IDS[name], digest }))
    .sort((a, b) => a.id - b.id);
  return Uint8Array.from(
    Buffer.concat(sorted.map(({ id, digest }) => prefixed(u32(id), prefixed(digest)))),
  );
}

/** Encodes attributes in the order of their ids. */
export const encodeStampAttributes = (attributes: readonly StampAttribute[]): Uint8Array =>
  prefixed(
    ...[...attributes].sort((a, b) => a.id - b.id).map(({ id, value }) => prefixed(u32(id), value)),
  );

/** Encodes the value of the pair. */
export const encodeSourceStamp = (stamp: SourceStamp): Uint8Array =>
  prefixed(
    prefixed(stamp.certificate),
    prefixed(
      ...stamp.schemes.map(({ scheme, signatures }) =>
        prefixed(u32(scheme), encodeSignatures(signatures)),
      ),
    ),
    ...(stamp.attributes === undefined
      ? []
      : [prefixed(stamp.attributes.encoded), encodeSignatures(stamp.attributes.signatures)]),
  );

const readSignatures = (from: Cursor): readonly AlgorithmSignature[] =>
  readSequence(from.nested('signatures'), 'signature', MAX_ELEMENTS, (element) => ({
    algorithm: element.u32('signature algorithm'),
    signature: element.prefixed('signature'),
  }));

/**
 * Decodes the value of a pair. What follows the parts has no meaning and is not covered by a signature.
 *
 * @param offset Where the value stands in the file, for errors.
 * @throws {FormatError} when a length leaves its parent.
 */
export function decodeSourceStamp(value: Uint8Array, offset = 0): SourceStamp {
  const stamp = cursor(value, offset).nested('source stamp');
  const certificate = stamp.prefixed('certificate');
  const schemes = readSequence(
    stamp.nested('signed schemes'),
    'signed scheme',
    MAX_ELEMENTS,
    (element) => ({
      scheme: element.u32('signature scheme'),
      signatures: readSignatures(element),
    }),
  );
  if (stamp.left === 0) return { certificate, schemes };
  const encoded = stamp.prefixed('attributes');
  return { certificate, schemes, attributes: { encoded, signatures: readSignatures(stamp) } };
}
