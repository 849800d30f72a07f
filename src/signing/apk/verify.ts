/**
 * Verifies APK Signature Scheme v3 by the rules of the verifier inside Android's VMs: v3 only, one
 * signer for the SDK version, the strongest signature that is understood, no rotation.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#verification
 */

import { equalBytes, toHex } from '../../core/digest.ts';
import { FormatError, VerificationError, type VerificationCode } from '../../core/errors.ts';
import {
  findSignatureAlgorithm,
  formatSignatureAlgorithm,
  type SignatureAlgorithm,
} from '../../formats/apk/algorithms.ts';
import type { ContentHash } from '../../formats/apk/content-digest.ts';
import {
  decodeSignedData,
  decodeSigners,
  type AlgorithmDigest,
  type AlgorithmSignature,
  type SignedData,
  type SignerBlock,
  type SignerLayout,
} from '../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  findApkSections,
  readSigningBlock,
  type ApkSections,
  type PlacedPair,
} from '../../formats/apk/signing-block.ts';
import { checkStrictApk } from '../../formats/apk/strict.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { computeHashTree, type HashTree } from '../../verity/hash-tree.ts';
import { certificateDigest, readCertificateKey } from '../x509.ts';
import { digestContent, type ApkHasher } from './content-digests.ts';
import { MERKLE_BLOCK_SIZE } from './merkle-tree.ts';
import { exportSpki, isSignatureValid, readPublicKey } from './public-key.ts';

/** The release whose rules count where nobody says otherwise: Android 15. */
const DEFAULT_SDK = 35;

export interface VerifyApkOptions {
  /** The SDK version of the device that would run the APK. */
  readonly sdk?: number;
  /** Default: node:crypto on this thread. */
  readonly hasher?: ApkHasher | undefined;
  /** Whether the result has the v4 tree, computed from the same reading of the bytes where that can be. */
  readonly tree?: boolean | undefined;
  /** Gets a copy of the APK on the way, also of one that is refused then. */
  readonly copy?: ImageSink | undefined;
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
  /** Of v4, over all of these bytes; where it was asked for. */
  readonly tree?: HashTree;
}

const LINK = 'payload-signature';

const fail = (
  code: VerificationCode,
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

/** An APK under verification: each content digest is computed once. */
interface Subject {
  readonly sections: ApkSections;
  readonly pairs: readonly PlacedPair[];
  contentDigest(hash: ContentHash): Promise<Uint8Array>;
  /** Of v4, once a content digest was computed. */
  tree(): Promise<HashTree>;
}

async function openSubject(source: ByteSource, options: VerifyApkOptions): Promise<Subject> {
  const { hasher } = options;
  const sections = await findApkSections(source);
  const pairs = await readSigningBlock(source, sections);
  const known = new Map<ContentHash, Uint8Array>();
  // Blocks of the tree that reach beyond the entries cannot be hashed together with them natively.
  const isAligned = sections.entriesEnd % MERKLE_BLOCK_SIZE === 0;
  const isOnePass = options.tree === true && (isAligned || hasher?.hashSection === undefined);
  let tree: HashTree | undefined;
  return {
    sections,
    pairs,
    async tree() {
      const { size } = sections;
      return (tree ??= await computeHashTree(sliceSource(source, 0, size), {
        algorithm: 'sha256',
        blockSize: MERKLE_BLOCK_SIZE,
        ...(hasher && { hasher }),
      }));
    },
    async contentDigest(hash) {
      const computed = known.get(hash);
      if (computed !== undefined) return computed;
      const algorithm = hash === 'sha256' ? 'chunked-sha256' : 'chunked-sha512';
      const isFirst = known.size === 0;
      const done = await digestContent(source, sections, {
        digests: [algorithm],
        tree: isFirst && isOnePass,
        hasher,
        ...(isFirst && { copy: options.copy }),
      });
      tree ??= done.tree;
      const digest = done.digests.get(algorithm) ?? new Uint8Array(0);
      known.set(hash, digest);
      return digest;
    },
  };
}

function findV3Signer(pairs: readonly PlacedPair[], sdk: number): SignerBlock {
  const [pair, ...others] = pairs.filter(({ id }) => id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID);
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
  subject: Subject,
  signer: SignerBlock,
  layout: SignerLayout,
): Promise<VerifiedApk> {
  const { algorithm, signature } = strongestSignature(signer.signatures);
  const key = readPublicKey(signer.publicKey);
  if (key === undefined || !isSignatureValid(algorithm, key, signer.signedData, signature)) {
    throw fail('bad-signature', 'Signature is invalid.', { actual: algorithm.name });
  }
  const data = decodeSignedData(signer.signedData, layout);
  checkSignedData(signer, data);
  const expected = data.digests.find((digest) => digest.algorithm === algorithm.id)?.digest;
  const computed = await subject.contentDigest(algorithm.hash);
  if (expected === undefined || !equalBytes(expected, computed)) {
    const actual = toHex(computed);
    const wanted = toHex(expected ?? new Uint8Array(0));
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
    size: subject.sections.size,
  };
}

async function verifyV3(
  subject: Subject,
  { sdk = DEFAULT_SDK, tree = false }: VerifyApkOptions,
): Promise<VerifiedApk> {
  const verified = await verifySigner(subject, findV3Signer(subject.pairs, sdk), 'v3');
  return tree ? { ...verified, tree: await subject.tree() } : verified;
}

/**
 * Verifies the v3 signature of an APK. It says who signed these bytes; whether they mean the same to
 * every reader is `verifyPayload`'s question.
 *
 * @throws {VerificationError} link `payload-signature`.
 */
export function verifyApkV3(
  source: ByteSource,
  options: VerifyApkOptions = {},
): Promise<VerifiedApk> {
  return asLink(LINK, async () => verifyV3(await openSubject(source, options), options));
}

/** The schemes beside v3 whose blocks a payload may carry. */
const OTHER_SCHEMES: ReadonlyMap<number, SignerLayout> = new Map([
  [APK_SIGNATURE_SCHEME_V2_BLOCK_ID, 'v2'],
  [APK_SIGNATURE_SCHEME_V31_BLOCK_ID, 'v3'],
]);

/**
 * Verifies an APK as a payload: its v3 signature, the strict ZIP profile, and its signing block. There,
 * v2 and v3.1 must be valid too: they decide nothing, but no signature of v3 covers their bytes. A
 * source stamp is passed over.
 *
 * @throws {VerificationError} link `payload-signature` or `payload-zip`.
 */
export async function verifyPayload(
  source: ByteSource,
  options: VerifyApkOptions = {},
): Promise<VerifiedApk> {
  const verified = await asLink(LINK, async () => {
    const subject = await openSubject(source, options);
    const result = await verifyV3(subject, options);
    for (const { id, value, offset } of subject.pairs) {
      const layout = OTHER_SCHEMES.get(id);
      if (layout === undefined) continue;
      const signers = decodeSigners(value, layout, offset);
      if (signers.length === 0) throw fail('signer-count', 'A signature block has no signers');
      for (const signer of signers) await verifySigner(subject, signer, layout);
    }
    return result;
  });
  await asLink('payload-zip', () => checkStrictApk(source));
  return verified;
}
