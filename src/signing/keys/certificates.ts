/** Certificates of keys, and public keys, from files. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { FormatError, UsageError } from '../../core/errors.ts';
import { decodeCertificatePem, readCertificate, readCertificateKey } from '../x509.ts';
import { readPublicFile } from './bounded-file.ts';

/** A chain of several certificates of RSA-8192 keys fits. */
const MAX_CERTIFICATE_FILE = 1 << 18;

/**
 * Reads a certificate (PEM or DER), or a chain (PEM).
 *
 * @returns X.509 DER in the order of the file, at least one.
 * @throws {UsageError} `key` when the file cannot be read or holds something else.
 */
export async function readCertificateFile(path: string): Promise<readonly Uint8Array[]> {
  const bytes = await readPublicFile(path, {
    what: 'certificate',
    maxSize: MAX_CERTIFICATE_FILE,
  });
  try {
    // DER starts with a SEQUENCE, PEM with text.
    if (bytes[0] !== 0x30) return decodeCertificatePem(bytes.toString('latin1'));
    const der = new Uint8Array(bytes);
    readCertificate(der);
    return [der];
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new UsageError('key', `Cannot use certificate ${path}: ${reasonOf(cause)}`, {
      cause,
      hint: 'An X.509 certificate is needed, in PEM or DER',
    });
  }
}

const reasonOf = (error: FormatError): string =>
  error.message.replace('Cannot read certificate: ', '');

/** The leaf must be the key's own: what it signs would be nobody's. */
export function requireOwnCertificate(
  certificates: readonly Uint8Array[],
  publicKey: KeyObject,
  from: string,
  key: string,
): void {
  const keys = certificates.map((der) => keyOf(der, from));
  const [own] = keys;
  if (own === undefined || own.equals(publicKey)) return;
  const belongs = keys.some((each) => each.equals(publicKey));
  throw new UsageError('key', `Cannot use certificate ${from}: it is not of key ${key}`, {
    hint: belongs
      ? "The key's own certificate must stand first in the file, those above it after it"
      : 'Name the certificate that was made for this key',
  });
}

function keyOf(der: Uint8Array, from: string): KeyObject {
  try {
    return readCertificateKey(der);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new UsageError('key', `Cannot use certificate ${from}: ${reasonOf(cause)}`, { cause });
  }
}

/** What a file tells of a key without its private half. */
export interface PublicParts {
  readonly publicKey: KeyObject;
  /** X.509 DER, the key's own first; empty where the file holds a key only. */
  readonly certificates: readonly Uint8Array[];
}

/**
 * The public key of a file: a public key in PEM, DER (SubjectPublicKeyInfo) or AVB's encoding, or
 * certificates.
 *
 * @returns undefined when the file holds something else, such as a private key.
 * @throws {UsageError} `key` when it cannot be read.
 */
export async function findPublicParts(path: string): Promise<PublicParts | undefined> {
  const bytes = await readPublicFile(path, {
    what: 'public key',
    maxSize: MAX_CERTIFICATE_FILE,
  });
  if (bytes.includes('PRIVATE KEY-----')) {
    bytes.fill(0);
    return undefined;
  }
  const fromCertificates = (certificates: readonly Uint8Array[]): PublicParts => ({
    publicKey: readCertificateKey(certificates[0] ?? new Uint8Array(0)),
    certificates,
  });
  const fromKey = (publicKey: KeyObject): PublicParts => ({ publicKey, certificates: [] });
  type Reader = () => PublicParts | Promise<PublicParts>;
  const readers: readonly Reader[] =
    bytes[0] === 0x30
      ? [
          () => fromKey(createPublicKey({ key: bytes, format: 'der', type: 'spki' })),
          () => fromCertificates([new Uint8Array(bytes)]),
        ]
      : [
          () => fromCertificates(decodeCertificatePem(bytes.toString('latin1'))),
          () => fromKey(createPublicKey(bytes)),
          async () => {
            const { publicKeyOfAvb } = await import('../avb/public-key.ts');
            return fromKey(publicKeyOfAvb(bytes));
          },
        ];
  for (const read of readers) {
    try {
      return await read();
    } catch {
      // The next one may fit.
    }
  }
  return undefined;
}

/**
 * The public key of a file, as `findPublicParts` finds it.
 *
 * @throws {UsageError} `key` when the file holds something else, a private key included.
 */
export async function readPublicKeyFile(path: string): Promise<KeyObject> {
  const found = await findPublicParts(path);
  if (found !== undefined) return found.publicKey;
  throw new UsageError('key', `Cannot use public key ${path}: it is none`, {
    hint: 'A public key or a certificate is needed; of a private key: openssl pkey -in KEY -pubout -out KEY.pub',
  });
}
