/**
 * The derivations of the Open Profile for DICE with its default algorithms: SHA-512, HKDF-SHA-512,
 * Ed25519. A stage's secrets follow from the stage before it and from what was measured of it.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';

export const CDI_SIZE = 32;
export const HASH_SIZE = 64;
const HIDDEN_SIZE = 64;
const ID_SIZE = 20;

/** The salts are the specification's. */
const ASYM_SALT = Buffer.from(
  '63b6a04d2c077fc10f639f21da793844356cc2b0b441b3a77124035c03f8e1be6035d31f282821a7450a02222ab1b3cff1679b05ab1ca5d1affb789ccd2b0b3b',
  'hex',
);
const ID_SALT = Buffer.from(
  'dbdbaebc8020da9ff0dd5a24c83aa5a54286dfc263031e329b4da148430659fe62cdb5b7e1e00fc680306711eb444af77209359496fcff1db9520ba51c7b29ea',
  'hex',
);
/** RFC 8410: what stands before the 32 bytes of an Ed25519 key in DER. */
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex');

export type DiceMode = 'not-configured' | 'normal' | 'debug' | 'recovery';

export const MODE_NUMBER: Readonly<Record<DiceMode, number>> = {
  'not-configured': 0,
  normal: 1,
  debug: 2,
  recovery: 3,
};

/** The two secrets of a stage: one that changes with its code, one that only its owner changes. */
export interface Cdis {
  readonly attest: Uint8Array;
  readonly seal: Uint8Array;
}

/** What was measured of the next stage. Hashes have 64 bytes. */
export interface DiceInput {
  readonly codeHash: Uint8Array;
  /** A descriptor is hashed; a bare 64-byte value stands for itself. */
  readonly config: { readonly descriptor: Uint8Array } | { readonly inline: Uint8Array };
  readonly authorityHash: Uint8Array;
  readonly mode: DiceMode;
  /** Takes part in the secrets and in no certificate. */
  readonly hidden: Uint8Array;
}

export function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** The specification's KDF. */
export function diceKdf(key: Uint8Array, salt: Uint8Array, info: string, size: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha512', key, salt, info, size));
}

/** The 64 bytes that the derivation takes for the configuration. */
export function configValue(config: DiceInput['config']): Uint8Array {
  return 'inline' in config ? config.inline : sha512(config.descriptor);
}

/** @throws {RangeError} for a measurement of another size than DICE's. */
export function deriveCdis(current: Cdis, input: DiceInput): Cdis {
  const config = configValue(input.config);
  const sized: readonly (readonly [string, Uint8Array, number])[] = [
    ['attestation CDI', current.attest, CDI_SIZE],
    ['sealing CDI', current.seal, CDI_SIZE],
    ['code hash', input.codeHash, HASH_SIZE],
    ['configuration', config, HASH_SIZE],
    ['authority hash', input.authorityHash, HASH_SIZE],
    ['hidden input', input.hidden, HIDDEN_SIZE],
  ];
  for (const [name, value, size] of sized) {
    if (value.length !== size) {
      throw new RangeError(`DICE: the ${name} has ${value.length} bytes, not ${size}`);
    }
  }
  const mode = Uint8Array.of(MODE_NUMBER[input.mode]);
  const { authorityHash: authority, codeHash: code, hidden } = input;
  const attestSalt = sha512(code, config, authority, mode, hidden);
  const sealSalt = sha512(authority, mode, hidden);
  return {
    attest: diceKdf(current.attest, attestSalt, 'CDI_Attest', CDI_SIZE),
    seal: diceKdf(current.seal, sealSalt, 'CDI_Seal', CDI_SIZE),
  };
}

/** A stage's key pair, or the root's from the UDS, which is its CDI. */
export interface DiceKey {
  readonly privateKey: KeyObject;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

export function deriveKey(cdiAttest: Uint8Array): DiceKey {
  const seed = diceKdf(cdiAttest, ASYM_SALT, 'Key Pair', 32);
  const key = Buffer.concat([PKCS8_ED25519, seed]);
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  seed.fill(0);
  key.fill(0);
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, publicKey: new Uint8Array(spki.subarray(-32)) };
}

/** Names a key in certificates: 20 bytes, as lower-case hex. */
export function certificateId(publicKey: Uint8Array): string {
  const id = diceKdf(publicKey, ID_SALT, 'ID', ID_SIZE);
  id[0] = (id[0] ?? 0) & 0x7f;
  return Buffer.from(id).toString('hex');
}
