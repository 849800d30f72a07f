/**
 * Signatures of dm-verity root hashes, as the kernel verifies them when a device is set up
 * (`root_hash_sig_key_desc`, `veritysetup open --root-hash-signature`): PKCS #7 over the hexadecimal
 * text of the root hash, in lower case and without a line end.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 */

import { digestSize, toHex } from '../core/digest.ts';
import { signDetached } from './cms/sign-detached.ts';
import { verifyDetached } from './cms/verify-detached.ts';
import type { Signer } from './signer.ts';

/** Hashes that a signature is made over. */
export type RootHashSignatureHash = 'sha256' | 'sha384' | 'sha512';

export interface SignRootHashOptions {
  /** RSA or EC. */
  readonly signer: Signer;
  /** X.509 DER, of the signer's key: the kernel's keyring holds it. */
  readonly certificate: Uint8Array;
  /** Default `sha256`, whatever the hash of the tree is. */
  readonly hash?: RootHashSignatureHash | undefined;
}

const SIZES: ReadonlySet<number> = new Set(Object.values(digestSize));

function signedText(rootHash: Uint8Array): Uint8Array {
  if (!SIZES.has(rootHash.length)) {
    throw new RangeError(`Cannot sign a root hash of ${rootHash.length} bytes`);
  }
  return new TextEncoder().encode(toHex(rootHash));
}

/**
 * Signs a root hash. The same as `openssl smime -sign -nocerts -noattr -binary -outform der`.
 *
 * @returns PKCS #7, DER.
 * @throws {UsageError} `key` when the certificate is not the signer's, or its key is neither RSA nor EC.
 */
export async function signRootHash(
  rootHash: Uint8Array,
  { signer, certificate, hash = 'sha256' }: SignRootHashOptions,
): Promise<Uint8Array> {
  return signDetached(signedText(rootHash), {
    signer,
    certificates: [certificate],
    hash,
    form: 'openssl',
    includeCertificates: false,
    purpose: 'root-hash',
  });
}

/**
 * Verifies the signature of a root hash.
 *
 * @param trusted X.509 DER: those who may sign.
 * @returns The certificate that signed.
 * @throws {FormatError} `der` when the signature is not strictly PKCS #7.
 * @throws {VerificationError} `root-hash` when it is not a trusted one of this root hash.
 */
export const verifyRootHash = (
  rootHash: Uint8Array,
  signature: Uint8Array,
  trusted: readonly Uint8Array[],
): Uint8Array => verifyDetached(signedText(rootHash), signature, { trusted, link: 'root-hash' });
