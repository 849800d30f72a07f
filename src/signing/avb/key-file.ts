/** The public half of a key, from any file that holds one: avbtool takes private keys for it, too. */

import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import { readPublicFile } from '../keys/bounded-file.ts';
import { avbPublicKey, mldsaKeyOfAvb, publicKeyOfAvb } from './public-key.ts';

/** A key or certificate is a few kilobytes. */
const MAX_KEY_FILE = 1 << 16;

/** In the order in which they are tried. */
const READERS: readonly ((bytes: Buffer) => KeyObject)[] = [
  publicKeyOfAvb,
  // PEM of a private or public key, or of a certificate.
  createPublicKey,
  (bytes) => createPublicKey({ key: bytes, format: 'der', type: 'spki' }),
  (bytes) => new X509Certificate(bytes).publicKey,
  mldsaKeyOfAvb,
];

/**
 * Reads AVB's own encoding, a PEM or DER key, private or public, or a certificate.
 *
 * @throws {UsageError} `key` when the file holds none of these, or a key that AVB has not.
 */
export async function readAvbKey(
  path: string,
): Promise<{ readonly key: KeyObject; readonly blob: Uint8Array }> {
  const bytes = await readPublicFile(path, { what: 'key', maxSize: MAX_KEY_FILE });
  for (const read of READERS) {
    let key: KeyObject;
    try {
      key = read(bytes);
    } catch {
      continue;
    }
    try {
      return { key, blob: avbPublicKey(key) };
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new UsageError('key', `Cannot use key ${path}: ${cause.message}`, { cause });
    }
  }
  throw new UsageError(
    'key',
    `Cannot use key ${path}: it is no AVB public key, PEM or DER key, or certificate`,
  );
}
