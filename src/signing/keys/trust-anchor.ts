/**
 * What a user trusts, in whatever form it is named: the digest of a key or certificate, an AVB key, a public key, or
 * certificates.
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { digestOf, equalBytes, fromHex } from '../../core/digest.ts';
import { FormatError, UsageError } from '../../core/errors.ts';
import { decodeMldsaPublicKey } from '../../formats/avb/public-key.ts';
import { exportSpki, readPublicKey } from '../apk/public-key.ts';
import { avbPublicKey, publicKeyOfAvb } from '../avb/public-key.ts';
import { readCertificateKey } from '../x509.ts';
import { readPublicFile } from './bounded-file.ts';

export interface TrustAnchor {
  /** As it was given. */
  readonly name: string;
  /** Of AVB's encoding of a key, its SubjectPublicKeyInfo, or a certificate. */
  readonly digest?: { readonly algorithm: 'sha256' | 'sha512'; readonly value: Uint8Array };
  /** AVB's encoding. */
  readonly avbKeys: readonly Uint8Array[];
  readonly keys: readonly KeyObject[];
  /** X.509 DER. */
  readonly certificates: readonly Uint8Array[];
}

/** A chain of several certificates of RSA-8192 keys fits. */
const MAX_FILE = 1 << 18;

const DIGEST = /^(?:(sha256|sha512):)?((?:[0-9a-f]{2}:?)*[0-9a-f]{2})$/i;
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]*-----END \1-----/g;

/**
 * @param text A digest as tools print it, or a file: AVB's encoding, PEM or DER.
 * @throws {UsageError} `key` when it is none of these.
 */
export async function readTrustAnchor(text: string): Promise<TrustAnchor> {
  const digest = digestIn(text);
  if (digest !== undefined) return { ...nothing, name: text, digest };
  const bytes = await readPublicFile(text, {
    what: 'trusted key',
    maxSize: MAX_FILE,
    missing: 'Name a file, or sha256: and the digest of a key or certificate',
  });
  if (bytes.includes('PRIVATE KEY-----')) {
    bytes.fill(0);
    throw new UsageError('key', `Cannot trust ${text}: it is a private key`, {
      hint: 'Trust needs the public half only: openssl pkey -in KEY -pubout -out KEY.pub',
    });
  }
  const blocks = [...bytes.toString('latin1').matchAll(PEM_BLOCK)];
  const parts =
    blocks.length === 0
      ? [anchorOfBytes(new Uint8Array(bytes))]
      : blocks.map(([block, label]) => anchorOfPem(block, label ?? ''));
  const found = parts.filter((part) => part !== undefined);
  if (found.length !== parts.length) {
    throw new UsageError(
      'key',
      `Cannot trust ${text}: it is no AVB public key, public key or certificate, in PEM or DER`,
    );
  }
  return {
    name: text,
    avbKeys: found.flatMap(({ avbKeys }) => avbKeys),
    keys: found.flatMap(({ keys }) => keys),
    certificates: found.flatMap(({ certificates }) => certificates),
  };
}

type Parts = Omit<TrustAnchor, 'name' | 'digest'>;

const nothing: Parts = { avbKeys: [], keys: [], certificates: [] };

/** A digest in hexadecimal digits, with or without colons; undefined for what is a file’s name. */
function digestIn(text: string): TrustAnchor['digest'] {
  const [, named, digits] = DIGEST.exec(text) ?? [];
  if (digits === undefined) {
    if (!/^sha(?:256|512):/i.test(text)) return undefined;
    throw new UsageError('key', `Cannot trust ${text}: it is no digest`);
  }
  const value = fromHex(digits.replaceAll(':', '').toLowerCase());
  const algorithm = ({ 32: 'sha256', 64: 'sha512' } as const)[value.length];
  if (algorithm === undefined && named === undefined) return undefined;
  if (algorithm === undefined || (named !== undefined && named.toLowerCase() !== algorithm)) {
    const called = named === undefined ? '' : ` ${named.toLowerCase()}`;
    throw new UsageError('key', `Cannot trust ${text}: it is no${called} digest`, {
      hint: 'SHA-256 has 64 hexadecimal digits, SHA-512 has 128',
    });
  }
  return { algorithm, value };
}

const ofKey = (key: KeyObject): Parts => {
  try {
    return { ...nothing, keys: [key], avbKeys: [avbPublicKey(key)] };
  } catch (error) {
    // Of a kind that AVB does not sign with.
    if (error instanceof RangeError) return { ...nothing, keys: [key] };
    throw error;
  }
};

const ofCertificate = (der: Uint8Array): Parts => ({
  ...ofKey(readCertificateKey(der)),
  certificates: [der],
});

function anchorOfPem(block: string, label: string): Parts | undefined {
  try {
    if (label === 'CERTIFICATE') {
      const body = block.replaceAll(/-----[^-]*-----/g, '');
      return ofCertificate(new Uint8Array(Buffer.from(body, 'base64')));
    }
    return label.endsWith('PUBLIC KEY') ? ofKey(createPublicKey(block)) : undefined;
  } catch {
    return undefined;
  }
}

function anchorOfBytes(bytes: Uint8Array): Parts | undefined {
  const key = readPublicKey(bytes);
  if (key !== undefined) return ofKey(key);
  for (const read of [ofCertificate, ofAvbRsa, ofAvbMldsa]) {
    try {
      return read(bytes);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return undefined;
}

const ofAvbRsa = (blob: Uint8Array): Parts => ({
  ...nothing,
  avbKeys: [blob],
  keys: [publicKeyOfAvb(blob)],
});

function ofAvbMldsa(blob: Uint8Array): Parts {
  decodeMldsaPublicKey(blob);
  return { ...nothing, avbKeys: [blob] };
}

const hasDigest = ({ digest }: TrustAnchor, bytes: Uint8Array): boolean =>
  digest !== undefined && equalBytes(digestOf(digest.algorithm, bytes), digest.value);

/** @param blob AVB’s encoding of the key that signed. An empty one is nobody’s. */
export function trustsAvbKey(anchor: TrustAnchor, blob: Uint8Array): boolean {
  if (blob.length === 0) return false;
  if (anchor.avbKeys.some((each) => equalBytes(each, blob)) || hasDigest(anchor, blob)) return true;
  if (anchor.digest === undefined) return false;
  try {
    return hasDigest(anchor, exportSpki(publicKeyOfAvb(blob)));
  } catch (error) {
    if (error instanceof FormatError) return false; // no RSA key
    throw error;
  }
}

/** @param der The certificate that signed. One that cannot be read is known by its digest at most. */
export function trustsCertificate(anchor: TrustAnchor, der: Uint8Array): boolean {
  if (anchor.certificates.some((each) => equalBytes(each, der)) || hasDigest(anchor, der)) {
    return true;
  }
  let spki: Uint8Array;
  try {
    spki = exportSpki(readCertificateKey(der));
  } catch (error) {
    if (error instanceof FormatError) return false;
    throw error;
  }
  return anchor.keys.some((each) => equalBytes(exportSpki(each), spki)) || hasDigest(anchor, spki);
}
