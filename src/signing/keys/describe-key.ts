/** What a key is known by, for people and for programs: nothing of it is secret. */

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { sha256, toHex } from '../../core/digest.ts';
import { avbPublicKey } from '../avb/public-key.ts';
import { readCertificate } from '../x509.ts';
import { knownTestDigest, knownTestKey } from './known-test-keys.ts';

/** Digests in lower-case hexadecimal. */
export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  /** ISO 8601, UTC. */
  readonly notBefore: string;
  readonly notAfter: string;
  readonly sha256: string;
  readonly sha512: string;
}

export interface KeyFacts {
  /** As people call it: `RSA-4096`, `P-256`, `Ed25519`. */
  readonly kind: string;
  /** As node:crypto calls it: `rsa`, `ec`, `ed25519`. */
  readonly type: string;
  /** Of the modulus or the curve; null where there is but one size. */
  readonly bits: number | null;
  /** Of the SubjectPublicKeyInfo. */
  readonly publicKey: { readonly sha256: string; readonly sha512: string };
  /** Of AVB's encoding; null where AVB has no such key. */
  readonly avb: { readonly sha256: string; readonly sha1: string } | null;
  /** The key's own first. */
  readonly certificates: readonly CertificateFacts[];
  /** Where the private half is published; null when it is not known to be. */
  readonly published: string | null;
}

const CURVES: Readonly<Record<string, readonly [name: string, bits: number]>> = {
  prime256v1: ['P-256', 256],
  secp384r1: ['P-384', 384],
  secp521r1: ['P-521', 521],
};

const digest = (algorithm: string, bytes: Uint8Array): string =>
  createHash(algorithm).update(bytes).digest('hex');

function kindOf(key: KeyObject): Pick<KeyFacts, 'kind' | 'type' | 'bits'> {
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details } = key;
  const { modulusLength, namedCurve } = details ?? {};
  if (modulusLength !== undefined) {
    return { kind: `${type.toUpperCase()}-${modulusLength}`, type, bits: modulusLength };
  }
  if (namedCurve !== undefined) {
    const [name, bits] = CURVES[namedCurve] ?? [namedCurve, null];
    return { kind: name, type, bits };
  }
  return { kind: type === 'ed25519' ? 'Ed25519' : type, type, bits: null };
}

function avbFacts(key: KeyObject): KeyFacts['avb'] {
  try {
    const blob = avbPublicKey(key);
    return { sha256: toHex(sha256(blob)), sha1: digest('sha1', blob) };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Names are on one line, and a certificate's times are ISO 8601. */
const oneLine = (name: string | undefined): string =>
  (name ?? '')
    .split('\n')
    .join(', ')
    .replaceAll(/\p{Cc}/gu, '?');

function isoTime(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? oneLine(text) : date.toISOString().replace('.000Z', 'Z');
}

export function describeCertificate(der: Uint8Array): CertificateFacts {
  const certificate = readCertificate(der);
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    serialNumber: certificate.serialNumber.toLowerCase(),
    notBefore: isoTime(certificate.validFrom),
    notAfter: isoTime(certificate.validTo),
    sha256: digest('sha256', der),
    sha512: digest('sha512', der),
  };
}

/** @param certificates X.509 DER, the key's own first. */
export function describeKey(key: KeyObject, certificates: readonly Uint8Array[]): KeyFacts {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const byCertificate = certificates
    .map((der) => knownTestDigest(sha256(der)))
    .find((found) => found !== undefined);
  return {
    ...kindOf(publicKey),
    publicKey: { sha256: digest('sha256', spki), sha512: digest('sha512', spki) },
    avb: avbFacts(publicKey),
    certificates: certificates.map(describeCertificate),
    published: knownTestKey(publicKey) ?? byCertificate ?? null,
  };
}
