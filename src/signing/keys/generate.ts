/** New RSA keys, written so that nobody else can read them and nothing is overwritten. */

import { generateKeyPair, randomBytes, type KeyObject } from 'node:crypto';
import { link, open, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { UsageError } from '../../core/errors.ts';
import { makeFolder } from '../../io/make-folder.ts';

const generate = promisify(generateKeyPair);

export type RsaKeySize = 2048 | 4096;

/** Makes an RSA key with exponent 65537. */
export async function generateRsaKey(bits: RsaKeySize): Promise<KeyObject> {
  const { privateKey } = await generate('rsa', { modulusLength: bits, publicExponent: 65537 });
  return privateKey;
}

/**
 * Writes a private key as PKCS#8 PEM, mode 0600 whatever the umask is. The file appears whole or not at
 * all.
 *
 * @returns false when the path existed already: it is left as it was.
 */
export async function writePrivateKey(path: string, key: KeyObject): Promise<boolean> {
  await makeFolder(dirname(path), 0o700);
  const temporary = join(dirname(path), `.${basename(path)}.new-${randomBytes(6).toString('hex')}`);
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.chmod(0o600);
      await handle.writeFile(key.export({ type: 'pkcs8', format: 'pem' }));
      await handle.sync();
    } finally {
      await handle.close();
    }
    // Unlike rename, link fails when the name is taken: of two writers one wins, whole.
    await link(temporary, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Makes a key and writes it to a new file.
 *
 * @throws {UsageError} `output` when the file exists.
 */
export async function generateKeyFile(path: string, bits: RsaKeySize): Promise<KeyObject> {
  const key = await generateRsaKey(bits);
  if (!(await writePrivateKey(path, key))) {
    throw new UsageError('output', `Cannot write key ${path}: the file exists`, {
      hint: 'A key is never overwritten: choose another name or move the old one away',
    });
  }
  return key;
}
