/** Public keys and signatures as APK verification takes them: by node:crypto, with fixed parameters. */

import { constants, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import type { SignatureAlgorithm } from '../../formats/apk/algorithms.ts';

/** What each scheme's keys are called by node:crypto. */
const KEY_TYPES: Readonly<Record<SignatureAlgorithm['scheme'], string>> = {
  'rsa-pss': 'rsa',
  'rsa-pkcs1': 'rsa',
  ecdsa: 'ec',
  dsa: 'dsa',
};

const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** The largest key that Android's own tests sign with; larger ones only cost time. */
const MAX_MODULUS_BITS = 16384;

/** The key's SubjectPublicKeyInfo in DER, of which there is one. */
export const exportSpki = (key: KeyObject): Uint8Array =>
  Uint8Array.from(key.export({ type: 'spki', format: 'der' }));

/** Reads a public key; undefined when the bytes are not exactly its canonical DER. */
export function readPublicKey(spki: Uint8Array): KeyObject | undefined {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
  return equalBytes(exportSpki(key), spki) ? key : undefined;
}

/** Whether `algorithm` is one for this key. */
export function fitsKey(algorithm: SignatureAlgorithm, key: KeyObject): boolean {
  if (key.asymmetricKeyType !== KEY_TYPES[algorithm.scheme]) return false;
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  if (algorithm.scheme === 'ecdsa') return namedCurve !== undefined && CURVES.has(namedCurve);
  return modulusLength !== undefined && modulusLength <= MAX_MODULUS_BITS;
}

/** Whether the signature over `data` is the key's. */
export function isSignatureValid(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!fitsKey(algorithm, key)) return false;
  const pss = {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  };
  try {
    return verify(
      algorithm.hash,
      data,
      algorithm.scheme === 'rsa-pss' ? { key, ...pss } : key,
      signature,
    );
  } catch {
    // OpenSSL throws for signatures that are no signature at all.
    return false;
  }
}
