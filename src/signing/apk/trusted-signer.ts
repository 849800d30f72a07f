/** Signers of APKs that a user trusts, in whatever form they are named. */

import { createPublicKey, X509Certificate } from 'node:crypto';
import { fromHex, toHex } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { readPublicFile } from '../keys/bounded-file.ts';
import { certificateDigest } from '../x509.ts';
import { exportSpki } from './public-key.ts';

/** A certificate by its digest, or any certificate of a public key. */
export type TrustedSigner =
  | {
      readonly kind: 'certificate';
      readonly algorithm: 'sha256' | 'sha512';
      readonly digest: Uint8Array;
    }
  /** SubjectPublicKeyInfo DER. */
  | { readonly kind: 'public-key'; readonly spki: Uint8Array };

/** Several certificates fit in. */
const MAX_FILE = 1 << 18;

const DIGEST = /^(?:(sha256|sha512):)?((?:[0-9a-f]{2}:?)+[0-9a-f]{2})$/i;
const DIGEST_SIZES = { 32: 'sha256', 64: 'sha512' } as const;

/**
 * A digest as tools print it: hexadecimal, with or without colons, and its algorithm in front.
 *
 * @returns undefined when the text is none.
 */
function readDigest(text: string): TrustedSigner | undefined {
  const match = DIGEST.exec(text);
  if (match === null) return undefined;
  const digest = fromHex((match[2] ?? '').replaceAll(':', ''));
  const algorithm = DIGEST_SIZES[digest.length as keyof typeof DIGEST_SIZES];
  const named = match[1]?.toLowerCase();
  // A short word of such letters may be a file's name.
  if (algorithm === undefined && named === undefined) return undefined;
  if (algorithm === undefined || (named !== undefined && named !== algorithm)) {
    throw new UsageError('usage', `Cannot trust ${text}: it is ${digest.length} bytes`, {
      hint: 'A SHA-256 has 32 bytes, a SHA-512 has 64',
    });
  }
  return { kind: 'certificate', algorithm, digest };
}

/** The bytes inside a PEM block, or the bytes themselves. */
const unwrap = (bytes: Uint8Array): Uint8Array => {
  const text = Buffer.from(bytes).toString('latin1');
  if (!text.startsWith('-----BEGIN ')) return bytes;
  return Buffer.from(text.replaceAll(/-----[^-]*-----/g, ''), 'base64');
};

const fromCertificate = (bytes: Uint8Array): TrustedSigner | undefined => {
  const der = unwrap(bytes);
  try {
    void new X509Certificate(der);
  } catch {
    return undefined;
  }
  return { kind: 'certificate', algorithm: 'sha256', digest: certificateDigest(der, 'sha256') };
};

const fromPublicKey = (bytes: Uint8Array): TrustedSigner | undefined => {
  const buffer = Buffer.from(bytes);
  for (const input of [buffer, { key: buffer, format: 'der', type: 'spki' } as const]) {
    try {
      return { kind: 'public-key', spki: exportSpki(createPublicKey(input)) };
    } catch {
      // The next form.
    }
  }
  return undefined;
};

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g;

/**
 * Reads what `--trust` names: the SHA-256 or SHA-512 of a certificate, or a file with certificates or
 * public keys, PEM or DER.
 *
 * @throws {UsageError} `usage` or `key` when it is none of these.
 */
export async function readTrustedSigners(text: string): Promise<readonly TrustedSigner[]> {
  const digest = readDigest(text);
  if (digest !== undefined) return [digest];
  const bytes = await readPublicFile(text, {
    what: 'trusted certificate or key',
    maxSize: MAX_FILE,
    missing: 'Name a file, or the SHA-256 or SHA-512 of a certificate',
  });
  if (bytes.includes('PRIVATE KEY-----')) {
    bytes.fill(0);
    throw new UsageError('key', `Cannot trust ${text}: it is a private key`, {
      hint: 'Trust needs the public half only: openssl pkey -in KEY -pubout -out KEY.pub',
    });
  }
  const blocks = bytes.toString('latin1').match(PEM_BLOCK) ?? [];
  const parts = blocks.length > 0 ? blocks.map((block) => Buffer.from(block)) : [bytes];
  return parts.map((part) => {
    const read = fromCertificate(part) ?? fromPublicKey(part);
    if (read !== undefined) return read;
    throw new UsageError('key', `Cannot trust ${text}: it holds no certificate or public key`, {
      hint: 'APKs are signed by X.509 certificates: give one, its public key, or its digest',
    });
  });
}

/** Whether a certificate that was verified is one of those. */
export function isTrustedSigner(
  certificate: Uint8Array,
  trusted: readonly TrustedSigner[],
): boolean {
  const spki = (): string => {
    try {
      return toHex(exportSpki(new X509Certificate(certificate).publicKey));
    } catch {
      return '';
    }
  };
  return trusted.some((each) =>
    each.kind === 'certificate'
      ? Buffer.from(certificateDigest(certificate, each.algorithm)).equals(each.digest)
      : toHex(each.spki) === spki(),
  );
}
