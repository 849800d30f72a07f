/**
 * Built-in signatures of fs-verity: PKCS #7 over `struct fsverity_formatted_digest`, made with the hash
 * of the file's own tree, as `fsverity sign` makes them.
 *
 * @see https://docs.kernel.org/filesystems/fsverity.html#built-in-signature-verification
 */

import { formattedDigest, type FsVerityAlgorithm } from '../verity/fs-verity.ts';
import { signDetached } from './cms/sign-detached.ts';
import { verifyDetached } from './cms/verify-detached.ts';
import type { Signer } from './signer.ts';

/** The file digest: what the kernel measures. */
export interface FsVerityFileDigest {
  readonly algorithm: FsVerityAlgorithm;
  readonly digest: Uint8Array;
}

export interface SignFsVerityOptions {
  /** RSA or EC. */
  readonly signer: Signer;
  /** X.509 DER, of the signer's key: the kernel's `.fs-verity` keyring holds it. */
  readonly certificate: Uint8Array;
}

/**
 * Signs a file digest.
 *
 * @returns PKCS #7, DER.
 * @throws {UsageError} `key` when the certificate is not the signer's, or its key is neither RSA nor EC.
 */
export const signFsVerity = (
  { algorithm, digest }: FsVerityFileDigest,
  { signer, certificate }: SignFsVerityOptions,
): Promise<Uint8Array> =>
  signDetached(formattedDigest(algorithm, digest), {
    signer,
    certificates: [certificate],
    hash: algorithm,
    form: 'openssl',
    includeCertificates: false,
    purpose: 'fs-verity',
  });

/**
 * Verifies the built-in signature of a file.
 *
 * @param trusted X.509 DER: those who may sign.
 * @returns The certificate that signed.
 * @throws {FormatError} `der` when the signature is not strictly PKCS #7.
 * @throws {VerificationError} `fs-verity` when it is not a trusted one of this digest.
 */
export const verifyFsVerity = (
  { algorithm, digest }: FsVerityFileDigest,
  signature: Uint8Array,
  trusted: readonly Uint8Array[],
): Uint8Array =>
  verifyDetached(formattedDigest(algorithm, digest), signature, { trusted, link: 'fs-verity' });
