/** The AVB key that a user trusts, from whatever form it is kept in. */

import { createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { open } from 'node:fs/promises';
import { UsageError } from '../../core/errors.ts';
import { avbPublicKey, publicKeyOfAvb } from '../avb/public-key.ts';

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
  const bytes = await readBounded(path);
  if (Buffer.from(bytes).includes('PRIVATE KEY-----')) {
    throw new UsageError('key', `Cannot trust ${path}: it is a private key`, {
      hint: 'Trust needs the public half only: openssl pkey -in KEY -pubout -out KEY.pub',
    });
  }
  for (const read of [fromAvb, fromPublicKey, fromCertificate]) {
    const key = read(bytes);
    if (key !== undefined) return avbPublicKey(key);
  }
  throw new UsageError(
    'key',
    `Cannot trust ${path}: it is no AVB public key, PEM or DER public key, or certificate`,
  );
}

async function readBounded(path: string): Promise<Uint8Array> {
  let handle;
  try {
    handle = await open(path, 'r');
    const { size } = await handle.stat();
    if (size > MAX_KEY_FILE) throw new UsageError('key', `Cannot trust ${path}: it is no key file`);
    return new Uint8Array(await handle.readFile());
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new UsageError('key', `Cannot read key ${path}: ${code}`, { cause });
  } finally {
    await handle?.close();
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
