/** RSA keys of node:crypto and AVB's encoding of them. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { decodeRsaPublicKey, encodeRsaPublicKey } from '../../formats/avb/public-key.ts';

/**
 * AVB's encoding of a public key.
 *
 * @throws {RangeError} when it is not RSA-2048, RSA-4096 or RSA-8192 with exponent 65537.
 */
export function avbPublicKey(key: KeyObject): Uint8Array {
  const jwk = key.export({ format: 'jwk' });
  if (jwk.kty !== 'RSA' || jwk.n === undefined || jwk.e === undefined) {
    throw new RangeError(`Cannot use ${key.asymmetricKeyType} key for AVB: it must be RSA`);
  }
  const exponent = Buffer.from(jwk.e, 'base64url').toString('hex');
  return encodeRsaPublicKey(
    new Uint8Array(Buffer.from(jwk.n, 'base64url')),
    BigInt(`0x${exponent}`),
  );
}

/**
 * The key that AVB's encoding holds.
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
