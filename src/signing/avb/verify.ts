/**
 * Checks of AVB's hashes and signatures. Shares the codecs with `sign.ts` and nothing else.
 *
 * Codes of the errors are those of AOSP's `SlotVerifyError`: `Io`, `InvalidMetadata`,
 * `UnsupportedVersion`, `Verification`, `PublicKeyRejected`, `RollbackIndex`.
 */

import { constants, createHash, verify, type KeyObject } from 'node:crypto';
import { digestSize, equalBytes, toHex } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import { avbAlgorithm } from '../../formats/avb/algorithm.ts';
import type { HashDescriptor } from '../../formats/avb/descriptor.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import { mldsaKeyOfAvb, publicKeyOfAvb } from './public-key.ts';

export type AvbErrorCode =
  | 'Io'
  | 'InvalidMetadata'
  | 'UnsupportedVersion'
  | 'Verification'
  | 'PublicKeyRejected'
  | 'RollbackIndex'
  | 'InvalidDescriptors'
  | 'UnknownVbmetaProperty';

/** What to hold a vbmeta against. */
export interface VbmetaTrust {
  /** AVB's encoding of the only key that is accepted. */
  readonly trustedKey: Uint8Array;
  /** The lowest rollback index that is accepted; default 0. */
  readonly minimumRollbackIndex?: bigint;
}

function decode(data: Uint8Array, link: string): Vbmeta {
  try {
    return decodeVbmeta(data);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const code: AvbErrorCode =
      cause.code === 'bad-version' ? 'UnsupportedVersion' : 'InvalidMetadata';
    throw new VerificationError(link, code, `Cannot verify ${link}: ${cause.message}`, { cause });
  }
}

/**
 * Proves that a vbmeta was signed by the trusted key and is not older than the rollback index.
 *
 * @param data Begins with the vbmeta; may be padded.
 * @param link The link of the chain of trust that an error names.
 * @throws {VerificationError} when any of it does not hold; an unsigned vbmeta never does.
 */
export function verifyVbmeta(data: Uint8Array, trust: VbmetaTrust, link = 'vbmeta'): Vbmeta {
  const vbmeta = decode(data, link);
  verifySignature(vbmeta, link);
  if (!equalBytes(vbmeta.publicKey, trust.trustedKey)) {
    throw new VerificationError(
      link,
      'PublicKeyRejected',
      `Cannot trust ${link}: it is signed by another key than the trusted one`,
      { expected: keyDigest(trust.trustedKey), actual: keyDigest(vbmeta.publicKey) },
    );
  }
  const minimum = trust.minimumRollbackIndex ?? 0n;
  if (vbmeta.rollbackIndex < minimum) {
    throw new VerificationError(
      link,
      'RollbackIndex',
      `Cannot trust ${link}: its rollback index is ${vbmeta.rollbackIndex}, ${minimum} or more is needed`,
      { expected: `>= ${minimum}`, actual: `${vbmeta.rollbackIndex}` },
    );
  }
  return vbmeta;
}

/**
 * Proves that a vbmeta was signed by the key it holds: not yet a reason to trust it.
 *
 * @throws {VerificationError} `Verification` when it is not, or not signed at all.
 * @throws {EnvironmentError} when it is signed with ML-DSA and this Node has none.
 */
export function verifySignature(vbmeta: Vbmeta, link: string): void {
  const fail = (why: string, detail = {}): never => {
    throw new VerificationError(link, 'Verification', `Cannot verify ${link}: ${why}`, detail);
  };
  const { hash, scheme } = avbAlgorithm(vbmeta.algorithm);
  if (scheme === 'none') return fail('it is not signed');
  const signed = Buffer.concat([vbmeta.header, vbmeta.auxiliaryBlock]);
  if (hash === undefined) {
    if (verify(null, signed, embeddedKey(vbmeta, link), vbmeta.signature)) return undefined;
    return fail('its signature was not made by its key');
  }
  const digest = createHash(hash).update(signed).digest();
  if (!equalBytes(digest, vbmeta.hash)) {
    return fail('its hash is not that of its content', {
      expected: toHex(vbmeta.hash),
      actual: toHex(digest),
    });
  }
  const key = embeddedKey(vbmeta, link);
  const padding = constants.RSA_PKCS1_PADDING;
  if (verify(hash, signed, { key, padding }, vbmeta.signature)) return undefined;
  return fail('its signature was not made by its key');
}

const keyDigest = (blob: Uint8Array): string =>
  blob.length === 0 ? 'none' : `sha256:${createHash('sha256').update(blob).digest('hex')}`;

function embeddedKey(vbmeta: Vbmeta, link: string): KeyObject {
  const { name, scheme, publicKeySize } = avbAlgorithm(vbmeta.algorithm);
  try {
    if (vbmeta.publicKey.length !== publicKeySize) {
      throw new FormatError('avb', 'bad-value', `Its key is not one of ${name}`);
    }
    return scheme === 'ml-dsa' ? mldsaKeyOfAvb(vbmeta.publicKey) : publicKeyOfAvb(vbmeta.publicKey);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new VerificationError(link, 'Verification', `Cannot verify ${link}: ${cause.message}`, {
      cause,
    });
  }
}

/** The digest that pins a whole vbmeta (bootconfig's `androidboot.vbmeta.digest`); padding does not count. */
export function computeVbmetaDigest(
  data: Uint8Array,
  hash: 'sha256' | 'sha512' = 'sha256',
): Uint8Array {
  const { size } = decodeVbmeta(data);
  return new Uint8Array(createHash(hash).update(data.subarray(0, size)).digest());
}

/**
 * Computes the digest of an image as its hash descriptor says and compares.
 *
 * @param image Its first `imageSize` bytes are hashed; whether more may follow is the caller's rule.
 * @param options `sha1` takes that hash too, which libavb refuses: for looking at old images.
 * @returns the digest.
 * @throws {VerificationError} `Verification` when the image is another one, `InvalidMetadata` when the
 *   descriptor asks for what libavb does not do.
 */
export async function verifyHashDescriptor(
  image: ByteSource,
  descriptor: HashDescriptor,
  link: string,
  options: { readonly sha1?: boolean; readonly signal?: AbortSignal | undefined } = {},
): Promise<Uint8Array> {
  const { hashAlgorithm, salt, imageSize, digest } = descriptor;
  const isOldHash = hashAlgorithm === 'sha1' && options.sha1 === true;
  if (hashAlgorithm !== 'sha256' && hashAlgorithm !== 'sha512' && !isOldHash) {
    throw new VerificationError(
      link,
      'InvalidMetadata',
      `Cannot verify ${link}: its hash algorithm is "${hashAlgorithm}", sha256 or sha512 is needed`,
    );
  }
  if (imageSize > image.size) {
    throw new VerificationError(
      link,
      'Verification',
      `Cannot verify ${link}: it has ${image.size} bytes, its descriptor covers ${imageSize}`,
      { expected: `${imageSize}`, actual: `${image.size}` },
    );
  }
  const hash = createHash(hashAlgorithm).update(salt);
  if (digest.length !== digestSize[hashAlgorithm]) {
    throw new VerificationError(
      link,
      'InvalidMetadata',
      `Cannot verify ${link}: its descriptor holds a digest of ${digest.length} bytes`,
    );
  }
  for await (const chunk of streamOf(image, 0, imageSize)) {
    options.signal?.throwIfAborted();
    hash.update(chunk);
  }
  const actual = new Uint8Array(hash.digest());
  if (!equalBytes(actual, digest)) {
    throw new VerificationError(
      link,
      'Verification',
      `Cannot verify ${link}: its ${hashAlgorithm} digest is not that of its descriptor`,
      { expected: toHex(digest), actual: toHex(actual) },
    );
  }
  return actual;
}
