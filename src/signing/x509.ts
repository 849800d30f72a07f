/**
 * X.509 certificates: PEM, digests, and self-signed ones that depend on their key and subject only.
 *
 * Certificates of others are read by node:crypto.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280
 */

import { createHash, X509Certificate, type KeyObject } from 'node:crypto';
import { equalBytes, sha256 } from '../core/digest.ts';
import { FormatError, UsageError } from '../core/errors.ts';
import { assertDer } from '../formats/der/check.ts';
import { signChecked, type SignatureOptions, type Signer } from './signer.ts';
import type { CertificateAlgorithm } from './x509-encode.ts';
import type { SubjectAttribute } from './x509-subject.ts';

export interface SelfSignedOptions {
  /** In the order in which they are written. */
  readonly subject: readonly SubjectAttribute[];
  readonly notBefore?: Date | undefined;
  readonly notAfter?: Date | undefined;
  /** What the certificate says of its use; default none, which is what Android's certificates say. */
  readonly extensions?: 'none' | 'code-signing';
}

/** Fixed, so that a certificate can be made again from its key. Guests have no trustworthy clock. */
export const DEFAULT_NOT_BEFORE: Date = new Date(Date.UTC(2020, 0, 1));
export const DEFAULT_NOT_AFTER: Date = new Date(Date.UTC(2050, 0, 1));

/** Positive and at most 20 bytes, as RFC 5280 section 4.1.2.2 asks. */
const SERIAL_SIZE = 16;

/** Of the public key: two certificates of one key and subject are the same certificate. */
function serialNumber(publicKey: Uint8Array): Uint8Array {
  const serial = sha256(publicKey).slice(0, SERIAL_SIZE);
  // Neither negative nor with a leading zero byte.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

interface CertificateSignature {
  readonly algorithm: CertificateAlgorithm;
  readonly options: SignatureOptions;
}

/** How a key signs certificates: curves with the hash of their size. */
function certificateSignature(publicKey: KeyObject): CertificateSignature {
  const purpose = 'certificate';
  const ecdsa = (hash: 'sha256' | 'sha384' | 'sha512'): CertificateSignature => ({
    algorithm: `${hash}-ecdsa`,
    options: { hash, scheme: 'ecdsa', purpose },
  });
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  if (type === 'rsa') {
    return {
      algorithm: 'sha256-rsa',
      options: { hash: 'sha256', scheme: 'rsa-pkcs1', purpose },
    };
  }
  if (type === 'ed25519') {
    return { algorithm: 'ed25519', options: { hash: 'sha512', scheme: 'ed25519', purpose } };
  }
  if (type === 'ec') {
    if (details?.namedCurve === 'prime256v1') return ecdsa('sha256');
    if (details?.namedCurve === 'secp384r1') return ecdsa('sha384');
    if (details?.namedCurve === 'secp521r1') return ecdsa('sha512');
  }
  throw new UsageError(
    'key',
    `Cannot make a certificate for a key of type ${type} ${details?.namedCurve ?? ''}`.trimEnd(),
    { hint: 'RSA, P-256, P-384, P-521 and Ed25519 are possible' },
  );
}

/**
 * Makes a self-signed certificate. The same key and options give the same bytes, but with an ECDSA key
 * in a token or behind a helper, whose signatures differ from one time to the next.
 *
 * @returns DER.
 * @throws {UsageError} `key` when no such certificate can be made for the type of the key, or the
 *   signer's signature is not its key's.
 * @throws {RangeError} when the subject is empty, or the validity ends before it begins.
 */
export async function createSelfSignedCertificate(
  signer: Signer,
  options: SelfSignedOptions,
): Promise<Uint8Array> {
  const { subject, notBefore = DEFAULT_NOT_BEFORE, notAfter = DEFAULT_NOT_AFTER } = options;
  const { algorithm, options: signature } = certificateSignature(signer.publicKey);
  if (subject.length === 0) throw new RangeError('Cannot make a certificate without a subject');
  if (notAfter < notBefore) {
    throw new RangeError('Cannot make a certificate that ends before it begins');
  }
  const publicKey = new Uint8Array(signer.publicKey.export({ type: 'spki', format: 'der' }));
  // Loaded on demand: most only read certificates.
  const { encodeCertificate, encodeTbsCertificate } = await import('./x509-encode.ts');
  const tbs = encodeTbsCertificate({
    serialNumber: serialNumber(publicKey),
    algorithm,
    subject,
    notBefore,
    notAfter,
    publicKey,
    extensions: options.extensions ?? 'none',
  });
  return encodeCertificate(tbs, algorithm, await signChecked(signer, tbs, signature));
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
  // Inside it takes BER: several texts of one certificate, and so several digests of it.
  try {
    assertDer(der);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    const reason = cause.message.replace('Cannot read DER: ', '');
    throw new FormatError(
      'x509',
      'bad-value',
      `Cannot read certificate: it is not DER: ${reason}`,
      { cause },
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
