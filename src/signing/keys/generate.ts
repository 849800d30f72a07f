/** New keys, written so that nobody else can read them and nothing is overwritten. */

import { generateKeyPair, type KeyObject } from 'node:crypto';
import { link, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { UsageError } from '../../core/errors.ts';
import { inTheMaking } from '../../io/in-the-making.ts';
import { makeFolder } from '../../io/make-folder.ts';
import { encryptPrivateKey } from './encrypt-private-key.ts';

const generate = promisify(generateKeyPair);

export type RsaKeySize = 2048 | 3072 | 4096 | 8192;

/** Kinds of keys, by the names that the command line has for them. */
export const KEY_KINDS = [
  'rsa2048',
  'rsa3072',
  'rsa4096',
  'rsa8192',
  'p256',
  'p384',
  'ed25519',
] as const;

export type KeyKind = (typeof KEY_KINDS)[number];

/** Makes an RSA key with exponent 65537. */
export async function generateRsaKey(bits: RsaKeySize): Promise<KeyObject> {
  const { privateKey } = await generate('rsa', { modulusLength: bits, publicExponent: 65537 });
  return privateKey;
}

/** Makes a key of a kind. RSA-8192 takes a minute or so. */
export async function generateKey(kind: KeyKind): Promise<KeyObject> {
  switch (kind) {
    case 'rsa2048':
      return generateRsaKey(2048);
    case 'rsa3072':
      return generateRsaKey(3072);
    case 'rsa4096':
      return generateRsaKey(4096);
    case 'rsa8192':
      return generateRsaKey(8192);
    case 'p256':
      return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
    case 'p384':
      return (await generate('ec', { namedCurve: 'P-384' })).privateKey;
    case 'ed25519':
      return (await generate('ed25519')).privateKey;
  }
}

/**
 * Writes a file that was not there. It appears whole or not at all.
 *
 * @param mode Whatever the umask is.
 * @returns false when the path existed already: it is left as it was.
 */
export async function writeNewFile(
  path: string,
  data: string | Uint8Array,
  mode: number,
): Promise<boolean> {
  await makeFolder(dirname(path), 0o700);
  const temporary = await inTheMaking(path);
  try {
    const handle = await open(temporary.path, 'wx', 0o600);
    try {
      await handle.chmod(mode);
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Unlike rename, link fails when the name is taken: of two writers one wins, whole.
    await link(temporary.path, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await temporary.discard();
  }
}

/**
 * Writes a private key as PKCS#8 PEM, mode 0600 whatever the umask is. The file appears whole or not at
 * all.
 *
 * @param passphrase Encrypts it, if given. UTF-8.
 * @returns false when the path existed already: it is left as it was.
 */
export async function writePrivateKey(
  path: string,
  key: KeyObject,
  passphrase?: Buffer,
): Promise<boolean> {
  const pem =
    passphrase === undefined
      ? key.export({ type: 'pkcs8', format: 'pem' })
      : await encryptPrivateKey(key, passphrase);
  return writeNewFile(path, pem, 0o600);
}

/**
 * Makes a key and writes it to a new file.
 *
 * @throws {UsageError} `output` when the file exists.
 */
export async function generateKeyFile(path: string, bits: RsaKeySize): Promise<KeyObject> {
  const key = await generateRsaKey(bits);
  if (!(await writePrivateKey(path, key))) throw keyExists(path);
  return key;
}

export const keyExists = (path: string): UsageError =>
  new UsageError('output', `Cannot write key ${path}: the file exists`, {
    hint: 'A key is never overwritten: choose another name or move the old one away',
  });
