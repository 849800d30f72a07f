/**
 * Encryption with a pass phrase as PKCS#12 stores use it: PBES2, and the older ways of PKCS#12 itself.
 *
 * @see https://www.rfc-editor.org/rfc/rfc8018 (PBES2), rfc7292 appendix B and C, rfc7914 (scrypt)
 */

import { createDecipheriv, createHash, pbkdf2, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import { FormatError } from '../../core/errors.ts';
import type { Element } from '../../formats/der/element.ts';
import { BER, childrenOf, hasTag, numberOf, octetsOf, oidOf } from './ber.ts';

const derivePbkdf2 = promisify(pbkdf2);
const deriveScrypt = promisify(scrypt) as (
  secret: Buffer,
  salt: Buffer,
  size: number,
  options: object,
) => Promise<Buffer>;

/** A pass phrase in the forms in which it is hashed. The caller overwrites both. */
export interface Passphrase {
  /** For PBES2. */
  readonly utf8: Buffer;
  /** For PKCS#12: UTF-16, big-endian, with two zero bytes behind it. */
  readonly bmp: Buffer;
}

/** Some seconds; a store that wants more wants to stop us. */
const MAX_ITERATIONS = 10_000_000;
/** Of the derivation that is ours, which takes more time for each and blocks meanwhile. */
const MAX_PKCS12_ITERATIONS = 1_000_000;
const MAX_SCRYPT_MEMORY = 1 << 28;

const OID = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  scrypt: '1.3.6.1.4.1.11591.4.11',
} as const;

/** HMACs of PBKDF2, by the hash. */
const PRFS: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};

/** Ciphers of PBES2. */
const CIPHERS: Readonly<Record<string, { name: string; keySize: number; ivSize: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keySize: 16, ivSize: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keySize: 24, ivSize: 16 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keySize: 32, ivSize: 16 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keySize: 24, ivSize: 8 },
};

/** PKCS#12's own, all with SHA-1. */
const PKCS12_CIPHERS: Readonly<Record<string, { name: 'des-ede3' | 'rc2'; keySize: number }>> = {
  '1.2.840.113549.1.12.1.3': { name: 'des-ede3', keySize: 24 },
  '1.2.840.113549.1.12.1.4': { name: 'des-ede3', keySize: 16 },
  '1.2.840.113549.1.12.1.5': { name: 'rc2', keySize: 16 },
  '1.2.840.113549.1.12.1.6': { name: 'rc2', keySize: 5 },
};

const unsupported = (what: string): never => {
  throw new FormatError('pkcs12', 'unsupported', `Cannot decrypt PKCS#12: ${what}`, {
    hint: 'Convert the store: openssl pkcs12 -in OLD -out KEY.pem, then openssl pkcs12 -export',
  });
};

/** A count of iterations. @throws {FormatError} `pkcs12` when it would take too long. */
export function iterationsOf(value: Element | undefined, most: number = MAX_ITERATIONS): number {
  const iterations = numberOf(value, 'iterations');
  if (iterations >= 1 && iterations <= most) return iterations;
  throw new FormatError(
    'pkcs12',
    'out-of-range',
    `Cannot open PKCS#12: ${iterations} iterations, 1 to ${most} are taken`,
    { field: 'iterations' },
  );
}

/** Block sizes in bytes of the hashes that PKCS#12 derives with. */
const HASH_BLOCK: Readonly<Record<string, number>> = {
  sha1: 64,
  sha224: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
};

/**
 * Key derivation of PKCS#12.
 *
 * @param id 1 for a key, 2 for an initial vector, 3 for a MAC.
 */
export function derivePkcs12(
  hash: string,
  id: 1 | 2 | 3,
  { salt, iterations }: { readonly salt: Buffer; readonly iterations: number },
  bmp: Buffer,
  size: number,
): Buffer {
  const block = HASH_BLOCK[hash] ?? unsupported(`hash ${hash}`);
  const filled = (bytes: Buffer): Buffer =>
    Buffer.alloc(bytes.length === 0 ? 0 : Math.ceil(bytes.length / block) * block, bytes);
  const diversifier = Buffer.alloc(block, id);
  const state = Buffer.concat([filled(salt), filled(bmp)]);
  const out: Buffer[] = [];
  for (let made = 0; made < size; made += out.at(-1)?.length ?? size) {
    let digest = createHash(hash).update(diversifier).update(state).digest();
    for (let round = 1; round < iterations; round += 1) {
      digest = createHash(hash).update(digest).digest();
    }
    out.push(digest);
    addToBlocks(state, Buffer.alloc(block, digest));
  }
  state.fill(0);
  return Buffer.concat(out).subarray(0, size);
}

/** Adds `b + 1` to each block of the state, as numbers that overflow. */
function addToBlocks(state: Buffer, b: Buffer): void {
  for (let start = 0; start < state.length; start += b.length) {
    let carry = 1;
    for (let at = b.length - 1; at >= 0; at -= 1) {
      carry += (state[start + at] ?? 0) + (b[at] ?? 0);
      state[start + at] = carry & 0xff;
      carry >>= 8;
    }
  }
}

/** A key by PBKDF2 or scrypt, whose parameters are in an `AlgorithmIdentifier`. */
export async function deriveKey(
  algorithm: Element | undefined,
  utf8: Buffer,
  size: number | undefined,
): Promise<Buffer> {
  const [kind, parameters] = childrenOf(algorithm, BER.sequence, 'key derivation');
  const oid = oidOf(kind, 'key derivation');
  const fields = childrenOf(parameters, BER.sequence, 'key derivation parameters');
  if (oid === OID.scrypt) {
    const [salt, N, r, p, length] = fields;
    const options = {
      N: numberOf(N, 'N'),
      r: numberOf(r, 'r'),
      p: numberOf(p, 'p'),
      maxmem: MAX_SCRYPT_MEMORY,
    };
    // The time is that of all lanes, one after the other.
    if (128 * options.N * options.r * options.p > MAX_SCRYPT_MEMORY)
      unsupported('scrypt wants too much');
    const wanted = length === undefined ? size : keySize(length, size);
    return deriveScrypt(
      utf8,
      octetsOf(salt, 'salt'),
      wanted ?? unsupported('no key size'),
      options,
    );
  }
  if (oid !== OID.pbkdf2) return unsupported(`key derivation ${oid}`);
  const [salt, iterations, ...options] = fields;
  const length = options.find((each) => hasTag(each, BER.integer));
  const prf = options.find((each) => hasTag(each, BER.sequence));
  const prfOid =
    prf === undefined
      ? '1.2.840.113549.2.7'
      : oidOf(childrenOf(prf, BER.sequence, 'prf')[0], 'prf');
  const hash = PRFS[prfOid] ?? unsupported(`PBKDF2 with ${prfOid}`);
  const wanted = length === undefined ? size : keySize(length, size);
  return derivePbkdf2(
    utf8,
    octetsOf(salt, 'salt'),
    iterationsOf(iterations),
    wanted ?? unsupported('no key size'),
    hash,
  );
}

/** What the parameters say must fit the cipher; without one, any key of a HMAC will do. */
function keySize(length: Element, size: number | undefined): number {
  const said = numberOf(length, 'key length');
  if (said < 1 || said > 1024 || (size !== undefined && said !== size)) {
    return unsupported(`a key of ${said} bytes`);
  }
  return said;
}

/**
 * Decrypts what an `AlgorithmIdentifier` describes.
 *
 * @returns undefined when the pass phrase is wrong, as far as the padding tells.
 * @throws {FormatError} `pkcs12` or `ber` when the algorithm is unknown or its parameters are broken.
 */
export async function decryptPbe(
  algorithm: Element | undefined,
  data: Buffer,
  passphrase: Passphrase,
): Promise<Buffer | undefined> {
  const [kind, parameters] = childrenOf(algorithm, BER.sequence, 'encryption');
  const oid = oidOf(kind, 'encryption');
  const old = PKCS12_CIPHERS[oid];
  if (old !== undefined) {
    const [salt, iterations] = childrenOf(parameters, BER.sequence, 'encryption parameters');
    const from = {
      salt: octetsOf(salt, 'salt'),
      iterations: iterationsOf(iterations, MAX_PKCS12_ITERATIONS),
    };
    const key = derivePkcs12('sha1', 1, from, passphrase.bmp, old.keySize);
    const iv = derivePkcs12('sha1', 2, from, passphrase.bmp, 8);
    if (old.name === 'rc2') return decryptRc2(key, iv, data);
    // Two keys are three of which the last is the first.
    const three = Buffer.concat([key, key]).subarray(0, 24);
    return decryptCbc('des-ede3-cbc', three, iv, data);
  }
  if (oid !== OID.pbes2) return unsupported(`it is encrypted with ${oid}`);
  const [derivation, encryption] = childrenOf(parameters, BER.sequence, 'PBES2 parameters');
  const [cipherOid, vector] = childrenOf(encryption, BER.sequence, 'cipher');
  const name = oidOf(cipherOid, 'cipher');
  const cipher = CIPHERS[name] ?? unsupported(`cipher ${name}`);
  const iv = octetsOf(vector, 'initial vector');
  if (iv.length !== cipher.ivSize) unsupported(`an initial vector of ${iv.length} bytes`);
  const key = await deriveKey(derivation, passphrase.utf8, cipher.keySize);
  return decryptCbc(cipher.name, key, iv, data);
}

function decryptCbc(name: string, key: Buffer, iv: Buffer, data: Buffer): Buffer | undefined {
  const decipher = createDecipheriv(name, key, iv);
  try {
    return Buffer.concat([decipher.update(data), decipher.final()]);
  } catch {
    // The padding is wrong, and so was the key.
    return undefined;
  } finally {
    key.fill(0);
  }
}

/** OpenSSL 3 has RC2 in a part that Node leaves out; keytool and OpenSSL used it for certificates. */
async function decryptRc2(key: Buffer, iv: Buffer, data: Buffer): Promise<Buffer | undefined> {
  // Loaded for this only: it takes longer than all the rest.
  const { default: forge } = await import('node-forge');
  const decipher = forge.rc2.createDecryptionCipher(
    forge.util.createBuffer(key.toString('latin1')),
    key.length * 8,
  );
  decipher.start(forge.util.createBuffer(iv.toString('latin1')));
  decipher.update(forge.util.createBuffer(data.toString('latin1')));
  const isPadded = decipher.finish();
  key.fill(0);
  return isPadded ? Buffer.from(decipher.output.getBytes(), 'latin1') : undefined;
}
