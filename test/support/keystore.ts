/**
 * What a guest derives for its payload, by node:crypto and from the documentation alone: the second
 * opinion on guest/manager's keystore and instance secrets.
 */

import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';

const PAYLOAD_SALT = Buffer.from(
  '8b0ff0d3b1692b95842c9e3c99567a2255f80823815ff516203ebebab7a84392',
  'hex',
);
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

export interface KeyName {
  readonly alias: string;
  readonly algorithm: number;
  readonly version: number;
}

const hkdf = (
  hash: string,
  key: Uint8Array,
  salt: Uint8Array | string,
  info: Uint8Array | string,
  n: number,
): Buffer => Buffer.from(hkdfSync(hash, key, salt, info, n));

export function instanceSecret(cdiSeal: Uint8Array): Buffer {
  return createHash('sha256').update(cdiSeal).update(Buffer.alloc(32)).digest();
}

export function payloadSecret(cdiSeal: Uint8Array, identifier: string, size: number): Buffer {
  return hkdf('sha256', instanceSecret(cdiSeal), PAYLOAD_SALT, identifier, size);
}

export function keySeed(
  cdiSeal: Uint8Array,
  authorityHash: Uint8Array,
  { alias, algorithm, version }: KeyName,
  size: number,
): Buffer {
  const number = Buffer.alloc(5);
  number.writeUInt8(algorithm);
  number.writeUInt32BE(version, 1);
  const info = Buffer.concat([authorityHash, number, Buffer.from(alias)]);
  return hkdf('sha512', instanceSecret(cdiSeal), 'microbuild-ks-v1', info, size);
}

/** The key pair of an Ed25519 (1) or P-256 (2) key. */
export function keyPair(
  cdiSeal: Uint8Array,
  authorityHash: Uint8Array,
  name: KeyName,
): { readonly privateKey: KeyObject; readonly publicKey: Buffer } {
  const seed = keySeed(cdiSeal, authorityHash, name, name.algorithm === 1 ? 32 : 128);
  const der =
    name.algorithm === 1
      ? Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
      : Buffer.concat([
          Buffer.from('30310201010420', 'hex'),
          scalarOf(seed),
          Buffer.from('a00a06082a8648ce3d030107', 'hex'),
        ]);
  const type = name.algorithm === 1 ? 'pkcs8' : 'sec1';
  const privateKey = createPrivateKey({ key: der, format: 'der', type });
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, publicKey };
}

function scalarOf(seed: Buffer): Buffer {
  for (let at = 0; at < seed.length; at += 32) {
    const candidate = seed.subarray(at, at + 32);
    const value = BigInt(`0x${candidate.toString('hex')}`);
    if (value > 0n && value < P256_ORDER) return candidate;
  }
  throw new Error('no candidate is a private key');
}

export function mac(
  cdiSeal: Uint8Array,
  authorityHash: Uint8Array,
  name: KeyName,
  message: string,
): Buffer {
  return createHmac('sha256', keySeed(cdiSeal, authorityHash, name, 32))
    .update(message)
    .digest();
}

/** Opens what `seal` made. @throws when it is not of this key and data. */
export function openSealed(
  cdiSeal: Uint8Array,
  authorityHash: Uint8Array,
  name: KeyName,
  sealed: Uint8Array,
  aad: string,
): Buffer {
  const seed = keySeed(cdiSeal, authorityHash, name, 64);
  const salt = sealed.subarray(1, 25);
  const material = hkdf('sha256', seed.subarray(32), salt, 'microbuild-ks-seal-v1', 44);
  const cipher = createDecipheriv('aes-256-gcm', material.subarray(0, 32), material.subarray(32));
  cipher.setAAD(Buffer.from(aad)).setAuthTag(sealed.subarray(-16));
  return Buffer.concat([cipher.update(sealed.subarray(25, -16)), cipher.final()]);
}

/** The salt that `seal` gives to a message with these fresh bytes. */
export function sealSalt(
  cdiSeal: Uint8Array,
  authorityHash: Uint8Array,
  name: KeyName,
  fresh: Uint8Array,
  plaintext: string,
  aad: string,
): Buffer {
  const seed = keySeed(cdiSeal, authorityHash, name, 64);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(Buffer.byteLength(aad)));
  const hmac = createHmac('sha256', seed.subarray(0, 32)).update(fresh).update(size);
  return hmac.update(aad).update(plaintext).digest().subarray(0, 24);
}
