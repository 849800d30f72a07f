/** The AVB key that a user trusts, from whatever form it is kept in. */

import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { UsageError } from '../../core/errors.ts';
import { avbPublicKey, publicKeyOfAvb } from '../avb/public-key.ts';
import { readPublicFile } from './bounded-file.ts';

/** A key or certificate is a few kilobytes. */
const MAX_KEY_FILE = 1 << 16;

/**
 * Reads a trusted key: AVB's own encoding (`avbtool extract_public_key`), a PEM or DER public key, or
 * a certificate. A private key is not asked for and not taken.
 *
 * @returns AVB's encoding, which verification compares byte by byte.
 * @throws {UsageError} `key` when the file is none of these.
 */
export async function readTrustedAvbKey(path: string): Promise<Uint8Array> {
  const bytes = await readPublicFile(path, { what: 'trusted key', maxSize: MAX_KEY_FILE });
  if (bytes.includes('PRIVATE KEY-----')) {
    bytes.fill(0);
    throw new UsageError('key', `Cannot trust ${path}: it is a private key`, {
      hint: 'Trust needs the public half only: openssl pkey -in KEY -pubout -out KEY.pub',
    });
  }
  for (const read of [fromAvb, fromPublicKey, fromCertificate]) {
    const key = read(bytes);
    if (key !== undefined) return encoded(key, path);
  }
  throw new UsageError(
    'key',
    `Cannot trust ${path}: it is no AVB public key, PEM or DER public key, or certificate`,
  );
}

function encoded(key: KeyObject, path: string): Uint8Array {
  try {
    return avbPublicKey(key);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new UsageError('key', `Cannot trust ${path}: ${cause.message}`, { cause });
  }
}

const attempt = (work: () => KeyObject): KeyObject | undefined => {
  try {
    return work();
  } catch {
    return undefined;
  }
};

const fromAvb = (bytes: Uint8Array): KeyObject | undefined => attempt(() => publicKeyOfAvb(bytes));

const fromPublicKey = (bytes: Uint8Array): KeyObject | undefined =>
  attempt(() => createPublicKey(Buffer.from(bytes))) ??
  attempt(() => createPublicKey({ key: Buffer.from(bytes), format: 'der', type: 'spki' }));

const fromCertificate = (bytes: Uint8Array): KeyObject | undefined =>
  attempt(() => new X509Certificate(bytes).publicKey);
