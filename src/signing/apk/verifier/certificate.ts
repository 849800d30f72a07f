/**
 * Certificates as Android reads them: more forms than DER, always known by the bytes that were signed.
 * Strict verification asks for DER besides.
 */

import { X509Certificate } from 'node:crypto';
import { exportSpki } from '../public-key.ts';

export interface ReadCertificate {
  /** As they stand in the signature: what digests and comparisons are of. */
  readonly bytes: Uint8Array;
  readonly x509: X509Certificate;
}

/** Bytes that are certificates, or the reason why they are none. */
export function readAnyCertificate(
  bytes: Uint8Array,
): ReadCertificate | { readonly problem: string } {
  try {
    return { bytes, x509: new X509Certificate(bytes) };
  } catch {
    return { problem: 'it is not X.509' };
  }
}

/** The certificate's SubjectPublicKeyInfo in DER; empty when its key is of an unknown kind. */
export function certificateSpki({ x509 }: ReadCertificate): Uint8Array {
  try {
    return exportSpki(x509.publicKey);
  } catch {
    return new Uint8Array(0);
  }
}
