/** Keys of node:crypto and AVB's encoding of them. */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { EnvironmentError } from '../../core/errors.ts';
import {
  decodeMldsaPublicKey,
  decodeRsaPublicKey,
  encodeMldsaPublicKey,
  encodeRsaPublicKey,
} from '../../formats/avb/public-key.ts';

/** `SubjectPublicKeyInfo` of an ML-DSA key up to its raw bytes (RFC 9881). `level` ends the OID. */
function mldsaSpkiHead(level: 18 | 19, rawSize: number): Uint8Array {
  const bits = rawSize + 1;
  const all = 13 + 4 + bits;
  const oid = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, level];
  const algorithm = [0x30, oid.length + 2, 0x06, oid.length, ...oid];
  const bitString = [0x03, 0x82, bits >> 8, bits & 0xff, 0x00];
  return Uint8Array.from([0x30, 0x82, all >> 8, all & 0xff, ...algorithm, ...bitString]);
}

/** Whether a key is one of ML-DSA, in the words of the Node versions that have it. */
export const isMldsa = (key: KeyObject): boolean =>
  (key.asymmetricKeyType as string | undefined)?.startsWith('ml-dsa-') === true;

/**
 * @throws {EnvironmentError} when this Node has no ML-DSA: it came with 24.7 and OpenSSL 3.5.
 */
export function requireMldsa(): void {
  try {
    // The types of Node 20 do not know the name.
    (generateKeyPairSync as (type: string) => unknown)('ml-dsa-44');
  } catch (cause) {
    throw new EnvironmentError(
      'ML-DSA',
      `Cannot use ML-DSA: Node ${process.versions.node} does not have it`,
      { cause, hint: 'Use Node 24.7 or later, or an RSA algorithm' },
    );
  }
}

/**
 * AVB's encoding of a public key.
 *
 * @throws {RangeError} when it is not RSA-2048, RSA-4096 or RSA-8192 with exponent 65537, ML-DSA-65 or
 *   ML-DSA-87.
 */
export function avbPublicKey(key: KeyObject): Uint8Array {
  if (isMldsa(key)) {
    const publicKey = key.type === 'private' ? createPublicKey(key) : key;
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    const headSize = mldsaSpkiHead(18, 0).length;
    return encodeMldsaPublicKey(new Uint8Array(spki.subarray(headSize)));
  }
  const jwk = key.export({ format: 'jwk' });
  if (jwk.kty !== 'RSA' || jwk.n === undefined || jwk.e === undefined) {
    throw new RangeError(
      `Cannot use ${key.asymmetricKeyType} key for AVB: it must be RSA or ML-DSA`,
    );
  }
  const exponent = Buffer.from(jwk.e, 'base64url').toString('hex');
  return encodeRsaPublicKey(
    new Uint8Array(Buffer.from(jwk.n, 'base64url')),
    BigInt(`0x${exponent}`),
  );
}

/**
 * The RSA key that AVB's encoding holds.
 *
 * @throws {FormatError} when the bytes are not such an encoding.
 */
export function publicKeyOfAvb(blob: Uint8Array): KeyObject {
  const { modulus } = decodeRsaPublicKey(blob);
  return createPublicKey({
    format: 'jwk',
    key: { kty: 'RSA', n: Buffer.from(modulus).toString('base64url'), e: 'AQAB' },
  });
}

/** The raw key of FIPS 204 in DER, which node:crypto and OpenSSL read. */
export function mldsaSpki(blob: Uint8Array): Uint8Array {
  const { algorithm, raw } = decodeMldsaPublicKey(blob);
  const head = mldsaSpkiHead(algorithm.name === 'MLDSA65' ? 18 : 19, raw.length);
  const spki = new Uint8Array(head.length + raw.length);
  spki.set(head);
  spki.set(raw, head.length);
  return spki;
}

/**
 * The ML-DSA key that AVB's encoding holds.
 *
 * @throws {FormatError} when the bytes are not such an encoding.
 * @throws {EnvironmentError} when this Node has no ML-DSA.
 */
export function mldsaKeyOfAvb(blob: Uint8Array): KeyObject {
  const spki = mldsaSpki(blob);
  requireMldsa();
  return createPublicKey({ format: 'der', type: 'spki', key: Buffer.from(spki) });
}
