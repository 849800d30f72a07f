/** One signature of an APK signing scheme, and what exactly is wrong with it. */

import { constants, createPublicKey, publicDecrypt, type KeyObject } from 'node:crypto';
import { FormatError } from '../../../core/errors.ts';
import type { SignatureAlgorithm } from '../../../formats/apk/algorithms.ts';
import { childrenOf, isTag, readElement, TAG } from '../../../formats/der/element.ts';
import { oidOf } from '../../../formats/der/values.ts';
import { fitsKey, isSignatureValid } from '../public-key.ts';

export type SignatureFinding =
  | { readonly kind: 'valid' }
  | { readonly kind: 'bad-key'; readonly reason: string }
  /** Not even a signature as the algorithm makes them. */
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'mismatch' };

const HASH_OIDS: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
  '2.16.840.1.101.3.4.2.4': 'sha224',
};

/** Runs a DER reader over hostile bytes; undefined when they are not what it reads. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** The hash that an RSA PKCS#1 signature names, when the key opens it at all. */
function namedHash(key: KeyObject, signature: Uint8Array): string | undefined {
  let info: Uint8Array;
  try {
    info = publicDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, signature);
  } catch {
    return undefined;
  }
  return attempt(() => {
    const [algorithm] = childrenOf(readElement(info));
    const [oid] = algorithm === undefined ? [] : childrenOf(algorithm);
    return oid === undefined ? undefined : HASH_OIDS[oidOf(oid, 'hash')];
  });
}

const isPairOfIntegers = (signature: Uint8Array): boolean =>
  attempt(() => {
    const sequence = readElement(signature);
    const parts = isTag(sequence, TAG.SEQUENCE) ? childrenOf(sequence) : [];
    return parts.length === 2 && parts.every((part) => isTag(part, TAG.INTEGER));
  }) ?? false;

/** Why a signature that does not verify is none of this algorithm. */
function malformation(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  signature: Uint8Array,
): string | undefined {
  if (algorithm.scheme === 'ecdsa' || algorithm.scheme === 'dsa') {
    return isPairOfIntegers(signature) ? undefined : 'it is not a DER sequence of two integers';
  }
  const size = Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  if (signature.length !== size) {
    return `it is ${signature.length} bytes, those of its key are ${size}`;
  }
  if (algorithm.scheme === 'rsa-pss') return undefined;
  const hash = namedHash(key, signature);
  return hash === undefined || hash === algorithm.hash
    ? undefined
    : `it is over ${hash}, not ${algorithm.hash}`;
}

/** Judges a signature over `data`, by a key in SubjectPublicKeyInfo. */
export function judgeSignature(
  algorithm: SignatureAlgorithm,
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): SignatureFinding {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return { kind: 'bad-key', reason: 'it is no SubjectPublicKeyInfo' };
  }
  if (!fitsKey(algorithm, key)) {
    return { kind: 'bad-key', reason: `it is not a key for ${algorithm.name}` };
  }
  if (isSignatureValid(algorithm, key, data, signature)) return { kind: 'valid' };
  const reason = malformation(algorithm, key, signature);
  return reason === undefined ? { kind: 'mismatch' } : { kind: 'malformed', reason };
}
