/**
 * Verifies APK Signature Scheme v3 by the rules of the verifier inside Android's VMs: v3 only, one
 * signer for the SDK version, the strongest signature that is understood, no rotation.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#verification
 */

import { equalBytes, toHex } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import {
  findSignatureAlgorithm,
  formatSignatureAlgorithm,
  type SignatureAlgorithm,
} from '../../formats/apk/algorithms.ts';
import { computeContentDigests } from '../../formats/apk/content-digest.ts';
import {
  decodeSignedData,
  decodeSigners,
  type AlgorithmDigest,
  type AlgorithmSignature,
  type SignedData,
  type SignerBlock,
} from '../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  readSigningBlock,
  type ApkSections,
} from '../../formats/apk/signing-block.ts';
import { checkStrictApk } from '../../formats/apk/strict.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { certificateDigest, readCertificateKey } from '../x509.ts';
import { exportSpki, isSignatureValid, readPublicKey } from './public-key.ts';

/** The release whose rules count where nobody says otherwise: Android 15. */
export const DEFAULT_SDK = 35;

export interface VerifyApkOptions {
  /** The SDK version of the device that would run the APK. */
  readonly sdk?: number;
}

export interface VerifiedApk {
  /** X.509 DER; the first one's key has signed. */
  readonly signerCertificates: readonly Uint8Array[];
  /** Of the first certificate: what trust is placed in. */
  readonly certificateDigests: { readonly sha256: Uint8Array; readonly sha512: Uint8Array };
  /** SubjectPublicKeyInfo DER. */
  readonly publicKey: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm;
  /** What the signature is over; recomputed from the APK. */
  readonly contentDigest: Uint8Array;
  /** All digests that the signer has signed, `contentDigest` among them. */
  readonly signedDigests: readonly AlgorithmDigest[];
  /** Of the APK without zeros that fill a partition, in bytes. */
  readonly size: number;
}

const LINK = 'payload-signature';

const fail = (
  code: string,
  message: string,
  detail: { expected?: string; actual?: string; cause?: unknown } = {},
): VerificationError => new VerificationError(LINK, code, message, detail);

/**
 * Runs a check whose `FormatError` means that this link of the chain of trust is broken.
 *
 * @throws {VerificationError} with the format error's code and text.
 */
export async function asLink<T>(link: string, check: () => Promise<T> | T): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new VerificationError(link, error.code, error.message, { cause: error });
  }
}

/** The algorithm of a signature, when the verifier understands it. */
function supported(id: number): SignatureAlgorithm | undefined {
  const algorithm = findSignatureAlgorithm(id);
  if (algorithm === undefined || algorithm.scheme === 'dsa') return undefined;
  // A verity digest would have to be of the whole APK in another form; signers that write one always
  // write a chunked one beside it.
  return algorithm.contentDigest === 'verity-sha256' ? undefined : algorithm;
}

function strongestSignature(signatures: readonly AlgorithmSignature[]): {
  readonly algorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
} {
  let best: { algorithm: SignatureAlgorithm; signature: Uint8Array } | undefined;
  for (const { algorithm: id, signature } of signatures) {
    const algorithm = supported(id);
    if (algorithm === undefined) continue;
    if (best === undefined || (algorithm.hash === 'sha512' && best.algorithm.hash === 'sha256')) {
      best = { algorithm, signature };
    }
  }
  if (best === undefined) {
    throw fail('unsupported', 'No supported APK signatures found; DSA is not supported', {
      actual: signatures.map(({ algorithm }) => formatSignatureAlgorithm(algorithm)).join(', '),
    });
  }
  return best;
}

async function readSigner(
  source: ByteSource,
  sections: ApkSections,
  sdk: number,
): Promise<SignerBlock> {
  const pairs = (await readSigningBlock(source, sections)).filter(
    ({ id }) => id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  );
  const [pair, ...others] = pairs;
  if (pair === undefined) {
    throw fail('no-v3-block', 'Fallback to v2 when v3 block not found is not yet implemented.');
  }
  // Readers differ on which of two blocks counts, so one of them is an attempt to deceive.
  if (others.length > 0) throw fail('duplicate', 'The APK Signing Block holds several v3 blocks');
  const signers = decodeSigners(pair.value, 'v3', pair.offset).filter(
    (signer) => signer.sdk !== undefined && signer.sdk.min <= sdk && sdk <= signer.sdk.max,
  );
  const [signer] = signers;
  if (signer === undefined || signers.length !== 1) {
    throw fail(
      'signer-count',
      `APK Signature Scheme V3 only supports one signer: ${signers.length} signers found.`,
    );
  }
  return signer;
}

/** The signed data must say the same as the parts of the signer that no signature covers. */
function checkSignedData(signer: SignerBlock, data: SignedData): void {
  if (data.sdk?.min !== signer.sdk?.min || data.sdk?.max !== signer.sdk?.max) {
    throw fail(
      'sdk-mismatch',
      'SDK versions mismatch between signed and unsigned in v3 signer block.',
    );
  }
  const signed = data.digests.map(({ algorithm }) => algorithm);
  const claimed = signer.signatures.map(({ algorithm }) => algorithm);
  if (signed.length !== claimed.length || signed.some((id, index) => id !== claimed[index])) {
    throw fail(
      'algorithm-mismatch',
      "Signature algorithms don't match between digests and signatures records",
      {
        expected: claimed.map(formatSignatureAlgorithm).join(', '),
        actual: signed.map(formatSignatureAlgorithm).join(', '),
      },
    );
  }
}

function checkCertificate(signer: SignerBlock, data: SignedData): Uint8Array {
  const [certificate] = data.certificates;
  if (certificate === undefined) throw fail('no-certificate', 'No certificates listed');
  if (!equalBytes(exportSpki(readCertificateKey(certificate)), signer.publicKey)) {
    throw fail(
      'public-key-mismatch',
      'Public key mismatch between certificate and signature record',
    );
  }
  return certificate;
}

async function verifySigner(
  source: ByteSource,
  sections: ApkSections,
  signer: SignerBlock,
): Promise<VerifiedApk> {
  const { algorithm, signature } = strongestSignature(signer.signatures);
  const key = readPublicKey(signer.publicKey);
  if (key === undefined || !isSignatureValid(algorithm, key, signer.signedData, signature)) {
    throw fail('bad-signature', 'Signature is invalid.', { actual: algorithm.name });
  }
  const data = decodeSignedData(signer.signedData, 'v3');
  checkSignedData(signer, data);
  const expected = data.digests.find((digest) => digest.algorithm === algorithm.id)?.digest;
  const [computed] = await computeContentDigests(source, sections, [algorithm.hash]);
  if (expected === undefined || computed === undefined || !equalBytes(expected, computed)) {
    const [actual, wanted] = [
      toHex(computed ?? new Uint8Array(0)),
      toHex(expected ?? new Uint8Array(0)),
    ];
    throw fail('digest-mismatch', `Digest mismatch: computed=${actual} vs expected=${wanted}`, {
      expected: wanted,
      actual,
    });
  }
  const certificate = checkCertificate(signer, data);
  return {
    signerCertificates: data.certificates,
    certificateDigests: {
      sha256: certificateDigest(certificate, 'sha256'),
      sha512: certificateDigest(certificate, 'sha512'),
    },
    publicKey: signer.publicKey,
    signatureAlgorithm: algorithm,
    contentDigest: computed,
    signedDigests: data.digests,
    size: sections.size,
  };
}

/**
 * Verifies the v3 signature of an APK. It says who signed these bytes; whether they mean the same to
 * every reader is `verifyPayload`'s question.
 *
 * @throws {VerificationError} link `payload-signature`.
 */
export function verifyApkV3(
  source: ByteSource,
  { sdk = DEFAULT_SDK }: VerifyApkOptions = {},
): Promise<VerifiedApk> {
  return asLink(LINK, async () => {
    const sections = await findApkSections(source);
    return verifySigner(source, sections, await readSigner(source, sections, sdk));
  });
}

/**
 * Verifies an APK as a payload: its v3 signature, the strict ZIP profile, and that its signing block
 * holds nothing that no signature covers.
 *
 * @throws {VerificationError} link `payload-signature` or `payload-zip`.
 */
export async function verifyPayload(
  source: ByteSource,
  options: VerifyApkOptions = {},
): Promise<VerifiedApk> {
  const verified = await verifyApkV3(source, options);
  await asLink('payload-zip', () => checkStrictApk(source));
  return verified;
}
