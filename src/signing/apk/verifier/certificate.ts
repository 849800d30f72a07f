/**
 * Certificates as Android reads them: more forms than DER, always known by the bytes that were signed.
 * Strict verification asks for DER besides.
 */

import { X509Certificate, type KeyObject } from 'node:crypto';
import { FormatError } from '../../../core/errors.ts';
import { certificateKey, decodeCertificate, hasKnownKey } from '../../cms/certificate.ts';
import { exportSpki } from '../public-key.ts';

export interface ReadCertificate {
  /** As they stand in the signature: what digests and comparisons are of. */
  readonly bytes: Uint8Array;
  readonly x509: X509Certificate;
}

/**
 * Takes the certificate apart as Java does: OpenSSL would take one with times that are none, or a key
 * that nobody can use.
 */
function checkParts(x509: X509Certificate): string | undefined {
  try {
    // Without what follows the certificate, which is passed over.
    const certificate = decodeCertificate(x509.raw, 'ber');
    if (hasKnownKey(certificate)) certificateKey(certificate);
    return undefined;
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}

/** Bytes that are certificates, or the reason why they are none. */
export function readAnyCertificate(
  bytes: Uint8Array,
): ReadCertificate | { readonly problem: string } {
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(bytes);
  } catch {
    return { problem: 'it is not X.509' };
  }
  const problem = checkParts(x509);
  return problem === undefined ? { bytes, x509 } : { problem };
}

/** The certificate's SubjectPublicKeyInfo in DER; empty when its key is of an unknown kind. */
export function certificateSpki({ x509 }: ReadCertificate): Uint8Array {
  try {
    return exportSpki(x509.publicKey);
  } catch {
    return new Uint8Array(0);
  }
}

/**
 * The key of a certificate.
 *
 * @throws {FormatError} when it is none, or its key is of an unknown kind.
 */
export function readAnyCertificateKey(bytes: Uint8Array): KeyObject {
  const read = readAnyCertificate(bytes);
  if ('problem' in read) {
    throw new FormatError('x509', 'bad-value', `Cannot read certificate: ${read.problem}`);
  }
  try {
    return read.x509.publicKey;
  } catch (cause) {
    throw new FormatError('x509', 'unsupported', 'Cannot read the public key of a certificate', {
      cause,
    });
  }
}
