/** A certificate as people and programs read it. */

import { createHash, X509Certificate } from 'node:crypto';
import { toHex } from '../../../core/digest.ts';
import { encodeCertificatePem } from '../../../signing/x509.ts';

export interface CertificateReport {
  /** Of the DER bytes: what `--trust` takes. */
  readonly sha256: string;
  readonly sha512: string;
  readonly sha1: string;
  /** Of the SubjectPublicKeyInfo. */
  readonly publicKeySha256: string | undefined;
  /** `RSA 2048`, `EC P-256`. */
  readonly key: string;
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal. */
  readonly serialNumber: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly pem?: string;
}

const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

function describeKey(certificate: X509Certificate): string {
  try {
    const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails } = certificate.publicKey;
    const { modulusLength, namedCurve } = asymmetricKeyDetails ?? {};
    if (namedCurve !== undefined) return `EC ${CURVES[namedCurve] ?? namedCurve}`;
    return `${type.toUpperCase()}${modulusLength === undefined ? '' : ` ${modulusLength}`}`;
  } catch {
    return 'unknown';
  }
}

function publicKeySha256(certificate: X509Certificate): string | undefined {
  try {
    const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
    return createHash('sha256').update(spki).digest('hex');
  } catch {
    return undefined;
  }
}

const digest = (algorithm: string, bytes: Uint8Array): string =>
  toHex(createHash(algorithm).update(bytes).digest());

/** A distinguished name in one line, most special part first. */
const oneLine = (name: string | undefined): string =>
  (name ?? '').split('\n').filter(Boolean).toReversed().join(', ');

/** Some that Android reads are not DER, and not all of those are for this library. */
function read(bytes: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(bytes);
  } catch {
    return undefined;
  }
}

/** @param bytes X.509, as a signature holds it; dates and names are not verified by anybody. */
export function reportCertificate(bytes: Uint8Array, withPem = false): CertificateReport {
  const certificate = read(bytes);
  return {
    sha256: digest('sha256', bytes),
    sha512: digest('sha512', bytes),
    sha1: digest('sha1', bytes),
    publicKeySha256: certificate && publicKeySha256(certificate),
    key: certificate ? describeKey(certificate) : 'unknown',
    subject: certificate ? oneLine(certificate.subject) : 'unreadable',
    issuer: certificate ? oneLine(certificate.issuer) : 'unreadable',
    serialNumber: certificate?.serialNumber.toLowerCase() ?? '',
    notBefore: certificate?.validFrom ?? '',
    notAfter: certificate?.validTo ?? '',
    ...(withPem && { pem: encodeCertificatePem(bytes) }),
  };
}

/** All of it, one line each. */
export function certificateLines(report: CertificateReport): readonly string[] {
  return [
    `subject     ${report.subject}`,
    `issuer      ${report.issuer}`,
    `serial      ${report.serialNumber}`,
    `valid       ${report.notBefore} to ${report.notAfter}`,
    `key         ${report.key}${report.publicKeySha256 === undefined ? '' : `, sha256 ${report.publicKeySha256}`}`,
    `sha256      ${report.sha256}`,
    `sha512      ${report.sha512}`,
    `sha1        ${report.sha1}`,
  ];
}
