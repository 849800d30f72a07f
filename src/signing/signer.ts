/**
 * What signs. Everything that needs a private key takes a `Signer` and never sees the key, so that a
 * key in a file, a hardware token and a signing service are the same to it.
 */

import { constants, createPublicKey, sign, type KeyObject } from 'node:crypto';

/** Hashes a signature may be made over. */
export type SignatureHash = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/**
 * How the hash becomes a signature.
 *
 * - `rsa-pkcs1`: RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). Deterministic.
 * - `rsa-pss`: RSASSA-PSS, MGF1 with the same hash, salt as long as the hash.
 * - `ecdsa`: DER `SEQUENCE { r, s }`.
 * - `dsa`: DER `SEQUENCE { r, s }`.
 */
export type SignatureScheme = 'rsa-pkcs1' | 'rsa-pss' | 'ecdsa' | 'dsa';

export interface SignatureOptions {
  readonly hash: SignatureHash;
  readonly scheme: SignatureScheme;
}

export interface Signer {
  readonly publicKey: KeyObject;
  /**
   * Hashes and signs `data` (all of it, not a digest).
   *
   * Rejects with a TypeError when the scheme does not fit the type of the key.
   */
  sign(data: Uint8Array, options: SignatureOptions): Promise<Uint8Array>;
}

/** The type of key that each scheme needs, in the words of node:crypto. */
const KEY_TYPE: Readonly<Record<SignatureScheme, string>> = {
  'rsa-pkcs1': 'rsa',
  'rsa-pss': 'rsa',
  ecdsa: 'ec',
  dsa: 'dsa',
};

/** Signs with a private key in this process's memory. */
export function keySigner(privateKey: KeyObject): Signer {
  if (privateKey.type !== 'private') {
    throw new TypeError(`Cannot sign with a ${privateKey.type} key: a private key is needed`);
  }
  return {
    publicKey: createPublicKey(privateKey),
    async sign(data, { hash, scheme }) {
      const type = privateKey.asymmetricKeyType;
      if (type !== KEY_TYPE[scheme]) {
        throw new TypeError(`Cannot make a ${scheme} signature with a key of type ${type}`);
      }
      const key = {
        key: privateKey,
        ...(scheme === 'rsa-pkcs1' && { padding: constants.RSA_PKCS1_PADDING }),
        ...(scheme === 'rsa-pss' && {
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
        }),
      };
      // The form with a callback computes on another thread: an RSA-8192 signature takes 100 ms.
      return await new Promise<Uint8Array>((resolve, reject) => {
        sign(hash, data, key, (error, signature) => {
          if (error === null) resolve(new Uint8Array(signature));
          else reject(error);
        });
      });
    },
  };
}
