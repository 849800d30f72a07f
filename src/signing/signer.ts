/**
 * What signs. Everything that needs a private key takes a `Signer` and never sees the key, so that a
 * key in a file, a hardware token and a signing service are the same to it.
 */

import { constants, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { UsageError } from '../core/errors.ts';
import { hasKnownCurve, signEcdsa } from './deterministic-ecdsa.ts';

/** Hashes a signature may be made over. */
export type SignatureHash = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/**
 * How the hash becomes a signature.
 *
 * - `rsa-pkcs1`: RSASSA-PKCS1-v1_5 (RFC 8017, 8.2). Deterministic.
 * - `rsa-pss`: RSASSA-PSS, MGF1 with the same hash, salt as long as the hash.
 * - `ecdsa`: DER `SEQUENCE { r, s }`. Deterministic (RFC 6979) with keys in this process's memory.
 * - `dsa`: DER `SEQUENCE { r, s }`.
 * - `ed25519`: 64 bytes (RFC 8032). Deterministic. The hash is `sha512`, which is part of the scheme.
 */
export type SignatureScheme = 'rsa-pkcs1' | 'rsa-pss' | 'ecdsa' | 'dsa' | 'ed25519';

/** What a signature is made for. Told in requests and in the audit log; never part of what is signed. */
export type SignaturePurpose =
  | 'jar'
  | 'apk-v2'
  | 'apk-v3'
  | 'apk-v3.1'
  | 'apk-v4'
  | 'source-stamp'
  | 'lineage'
  | 'vbmeta'
  | 'root-hash'
  | 'fs-verity'
  | 'dsse'
  | 'certificate';

export interface SignatureOptions {
  readonly hash: SignatureHash;
  readonly scheme: SignatureScheme;
  readonly purpose?: SignaturePurpose;
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
  ed25519: 'ed25519',
};

/** A key with the padding that a scheme asks for, as node:crypto takes it. */
const keyInput = (key: KeyObject, scheme: SignatureScheme) => ({
  key,
  ...(scheme === 'rsa-pkcs1' && { padding: constants.RSA_PKCS1_PADDING }),
  ...(scheme === 'rsa-pss' && {
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
  }),
});

/** What node:crypto is told of the hash; Ed25519 brings its own. */
const hashName = ({ hash, scheme }: SignatureOptions): SignatureHash | undefined =>
  scheme === 'ed25519' ? undefined : hash;

/** Signs with a private key in this process's memory. */
export function keySigner(privateKey: KeyObject): Signer {
  if (privateKey.type !== 'private') {
    throw new TypeError(`Cannot sign with a ${privateKey.type} key: a private key is needed`);
  }
  return {
    publicKey: createPublicKey(privateKey),
    async sign(data, options) {
      const { scheme } = options;
      const type = privateKey.asymmetricKeyType;
      if (type !== KEY_TYPE[scheme]) {
        throw new TypeError(`Cannot make a ${scheme} signature with a key of type ${type}`);
      }
      if (scheme === 'ecdsa' && hasKnownCurve(privateKey)) {
        return signEcdsa(privateKey, options.hash, data);
      }
      const key = keyInput(privateKey, scheme);
      // The form with a callback computes on another thread: an RSA-8192 signature takes 100 ms.
      return await new Promise<Uint8Array>((resolve, reject) => {
        sign(hashName(options), data, key, (error, signature) => {
          if (error === null) resolve(new Uint8Array(signature));
          else reject(error);
        });
      });
    },
  };
}

/** Whether a signature over `data` is the public key's. */
export function isSignatureOf(
  publicKey: KeyObject,
  data: Uint8Array,
  options: SignatureOptions,
  signature: Uint8Array,
): boolean {
  if (publicKey.asymmetricKeyType !== KEY_TYPE[options.scheme]) return false;
  try {
    return verify(hashName(options), data, keyInput(publicKey, options.scheme), signature);
  } catch {
    // OpenSSL throws for bytes that are no signature at all.
    return false;
  }
}

/**
 * Signs, and checks what came back before anybody uses it: a token, a helper or a fault may answer with
 * another key's signature, or with none.
 *
 * @throws {UsageError} `key` when the signature is not the signer's.
 */
export async function signChecked(
  signer: Signer,
  data: Uint8Array,
  options: SignatureOptions,
): Promise<Uint8Array> {
  const signature = await signer.sign(data, options);
  if (!isSignatureOf(signer.publicKey, data, options, signature)) {
    throw new UsageError(
      'key',
      `Cannot sign: the answer of ${signature.length} bytes is no signature of the public key`,
      { hint: 'The key that signs is not the one whose public key or certificate is given' },
    );
  }
  return signature;
}
