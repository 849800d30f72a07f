/**
 * X.509 certificates: PEM, digests, and self-signed ones that depend on their key and subject only.
 *
 * node-forge builds the structure; the signature is a `Signer`'s, and certificates of others are read
 * by node:crypto.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280
 */

import { createHash, verify, X509Certificate, type KeyObject } from 'node:crypto';
import type forge from 'node-forge';
import { equalBytes, sha256 } from '../core/digest.ts';
import { FormatError, UsageError } from '../core/errors.ts';
import type { Signer } from './signer.ts';

/** One value of a distinguished name, by its short name. */
interface SubjectAttribute {
  readonly name: 'CN' | 'O' | 'OU' | 'C' | 'ST' | 'L';
  readonly value: string;
}

export interface SelfSignedOptions {
  /** In the order in which they are written. */
  readonly subject: readonly SubjectAttribute[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** Fixed, so that a certificate can be made again from its key. Guests have no trustworthy clock. */
const DEFAULT_NOT_BEFORE: Date = new Date(Date.UTC(2020, 0, 1));
const DEFAULT_NOT_AFTER: Date = new Date(Date.UTC(2050, 0, 1));

/** Positive and at most 20 bytes, as RFC 5280 section 4.1.2.2 asks. */
const SERIAL_SIZE = 16;

/** Documented by node-forge and missing from its types (`@types/node-forge` 1.3). */
type PkiWithTbs = typeof forge.pki & {
  getTBSCertificate(certificate: forge.pki.Certificate): forge.asn1.Asn1;
};

const toBinary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const fromBinary = (binary: string): Uint8Array => Uint8Array.from(Buffer.from(binary, 'latin1'));

/** Of the public key: two certificates of one key and subject are the same certificate. */
function serialNumber(publicKey: Uint8Array): string {
  const serial = sha256(publicKey).slice(0, SERIAL_SIZE);
  // Neither negative nor with a leading zero byte.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return Buffer.from(serial).toString('hex');
}

/**
 * Makes a self-signed certificate, SHA-256 with RSA PKCS#1. The same key and options give the same
 * bytes.
 *
 * @returns DER.
 * @throws {UsageError} `key` when the key is not RSA, or the signer's signature is not its key's.
 * @throws {RangeError} when the subject is empty.
 */
export async function createSelfSignedCertificate(
  signer: Signer,
  options: SelfSignedOptions,
): Promise<Uint8Array> {
  const { subject, notBefore = DEFAULT_NOT_BEFORE, notAfter = DEFAULT_NOT_AFTER } = options;
  const { publicKey } = signer;
  if (publicKey.asymmetricKeyType !== 'rsa') {
    throw new UsageError(
      'key',
      `Cannot make a certificate for a key of type ${publicKey.asymmetricKeyType}: only RSA is supported`,
    );
  }
  if (subject.length === 0) throw new RangeError('Cannot make a certificate without a subject');
  // Only here: loading it takes longer than most commands that read a certificate.
  const { asn1, pki } = (await import('node-forge')).default;
  const certificate = pki.createCertificate();
  certificate.publicKey = pki.publicKeyFromPem(
    publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  );
  certificate.serialNumber = serialNumber(publicKey.export({ type: 'spki', format: 'der' }));
  certificate.validity.notBefore = notBefore;
  certificate.validity.notAfter = notAfter;
  const attributes = subject.map(({ name, value }) => ({
    shortName: name,
    value,
    valueTagClass: (name === 'C'
      ? asn1.Type.PRINTABLESTRING
      : asn1.Type.UTF8) as unknown as forge.asn1.Class,
  }));
  certificate.setSubject(attributes);
  certificate.setIssuer(attributes);
  const oid = pki.oids['sha256WithRSAEncryption'] ?? '';
  certificate.signatureOid = oid;
  certificate.siginfo.algorithmOid = oid;

  const tbs = (pki as PkiWithTbs).getTBSCertificate(certificate);
  const data = fromBinary(asn1.toDer(tbs).getBytes());
  const signature = await signer.sign(data, { hash: 'sha256', scheme: 'rsa-pkcs1' });
  if (!verify('sha256', data, publicKey, signature)) {
    throw new UsageError('key', 'Cannot make a certificate: the signature does not match the key');
  }
  certificate.signature = toBinary(signature);
  return fromBinary(asn1.toDer(pki.certificateToAsn1(certificate)).getBytes());
}

/** The digest by which a certificate is trusted. */
export function certificateDigest(der: Uint8Array, algorithm: 'sha256' | 'sha512'): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(der).digest());
}

/** Wraps DER as a PEM block of 64 columns. */
export function encodeCertificatePem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

/**
 * The certificates of a PEM text, as DER, in their order. Text between blocks is passed over.
 *
 * @throws {FormatError} when there is none, or one is not a certificate.
 */
export function decodeCertificatePem(text: string): readonly Uint8Array[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    throw new FormatError(
      'x509',
      'bad-magic',
      'Cannot read certificate: the text holds no PEM block',
    );
  }
  return blocks.map((block) => {
    const der = Uint8Array.from(Buffer.from(block.replaceAll(/-----[^-]*-----/g, ''), 'base64'));
    readCertificate(der);
    return der;
  });
}

/**
 * A certificate of any key type, as node:crypto reads it.
 *
 * @throws {FormatError} when the bytes are no certificate.
 */
export function readCertificate(der: Uint8Array): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch (cause) {
    throw new FormatError('x509', 'bad-value', 'Cannot read certificate: it is not X.509 DER', {
      cause,
    });
  }
  // node:crypto also takes PEM and passes over trailing bytes, whose digest nobody would expect.
  if (!equalBytes(certificate.raw, der)) {
    throw new FormatError(
      'x509',
      'trailing-data',
      'Cannot read certificate: it is not DER, or bytes follow it',
    );
  }
  return certificate;
}

/**
 * The public key of a certificate.
 *
 * @throws {FormatError} when the bytes are no certificate, or its key is of an unknown kind.
 */
export function readCertificateKey(der: Uint8Array): KeyObject {
  const certificate = readCertificate(der);
  try {
    return certificate.publicKey;
  } catch (cause) {
    throw new FormatError('x509', 'unsupported', 'Cannot read the public key of a certificate', {
      cause,
    });
  }
}
