/**
 * Makes the `.idsig` of APK Signature Scheme v4, whose tree is over the whole signed APK.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v4
 */

import { UsageError } from '../../core/errors.ts';
import type { ContentDigestAlgorithm } from '../../formats/apk/algorithms.ts';
import {
  encodeIdsigHeader,
  encodeV4SignedData,
  IDSIG_HASH_SHA256,
  IDSIG_LOG2_BLOCK_SIZE,
  type HashingInfo,
  type SigningInfo,
} from '../../formats/apk/idsig.ts';
import { APK_SIGNATURE_SCHEME_V31_BLOCK_ID } from '../../formats/apk/signing-block.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { HashTree } from '../../verity/hash-tree.ts';
import type { ContentDigests } from './entries-pass.ts';
import { signWith } from './sign-key.ts';
import type { BlockSigner, SignaturePlan } from './sign-plan.ts';

/** Who signs v4: for all releases, and for those that read v3.1. */
export interface IdsigSigners {
  readonly signer: BlockSigner;
  readonly rotated: BlockSigner | undefined;
}

/** What v4 takes the APK's digest to be, where there are several: the last of these. */
const DIGEST_PREFERENCE: readonly ContentDigestAlgorithm[] = [
  'chunked-sha256',
  'verity-sha256',
  'chunked-sha512',
];

const refuse = (message: string): UsageError =>
  new UsageError('usage', `Cannot make idsig: ${message}`, {
    hint: 'Sign without v4, which readers older than Android 11 do not know anyway',
  });

/**
 * Says who signs v4: the signer of v3, or of v2 without it.
 *
 * @throws {UsageError} `usage` when there is not one of them, or it has more than one certificate.
 */
export function planIdsig({ v2, v3, v31 }: SignaturePlan): IdsigSigners {
  const [signer, ...others] = v3.length > 0 ? v3 : v2;
  const [rotated, ...later] = v31;
  if (signer === undefined) {
    throw refuse('APK Signature Scheme v4 needs v2 or v3');
  }
  if (others.length > 0 || later.length > 0) {
    throw refuse('v4 takes one signer, and one more for v3.1; there are more');
  }
  for (const { key } of [signer, ...v31]) {
    if (key.certificates.length !== 1) {
      throw refuse(`v4 takes one certificate of a signer, there are ${key.certificates.length}`);
    }
  }
  return { signer, rotated };
}

/** The digest by which v4 knows the APK: of those that v3 (or v2) signs. */
function apkDigest({ algorithms }: BlockSigner, digests: ContentDigests): Uint8Array {
  const signed = new Set(algorithms.map(({ contentDigest }) => contentDigest));
  const best = DIGEST_PREFERENCE.findLast((each) => signed.has(each));
  const digest = best === undefined ? undefined : digests.get(best);
  if (digest === undefined) throw new RangeError('No digest of the APK was computed');
  return digest;
}

async function signingInfo(
  { key, algorithms: [algorithm] }: BlockSigner,
  digest: Uint8Array,
  hashing: HashingInfo,
  size: number,
): Promise<SigningInfo> {
  const info = {
    apkDigest: digest,
    certificate: key.certificate,
    additionalData: new Uint8Array(0),
    publicKey: key.publicKey,
    signatureAlgorithm: algorithm.id,
  };
  const data = encodeV4SignedData(size, hashing, info);
  return { ...info, signature: await signWith(key, algorithm, data, 'apk-v4') };
}

export interface WrittenIdsig {
  /** In bytes. */
  readonly size: number;
  readonly rootHash: Uint8Array;
}

/**
 * Signs the tree, and writes both.
 *
 * @throws {UsageError} `key` when a signature is not its key's.
 */
export async function writeIdsig(
  sink: ImageSink,
  { signer, rotated }: IdsigSigners,
  apk: { readonly size: number; readonly digests: ContentDigests; readonly tree: HashTree },
): Promise<WrittenIdsig> {
  const { rootDigest, tree } = apk.tree;
  const hashing: HashingInfo = {
    hashAlgorithm: IDSIG_HASH_SHA256,
    log2BlockSize: IDSIG_LOG2_BLOCK_SIZE,
    // The kernel's fs-verity hashes a salt in another way than incremental-fs: there is none.
    salt: new Uint8Array(0),
    rawRootHash: rootDigest,
  };
  const digest = apkDigest(signer, apk.digests);
  const info = (of: BlockSigner): Promise<SigningInfo> =>
    signingInfo(of, digest, hashing, apk.size);
  const [signing, signingV31] = await Promise.all([info(signer), rotated && info(rotated)]);
  const header = encodeIdsigHeader(
    {
      hashing,
      signing,
      signingBlocks: signingV31
        ? [{ blockId: APK_SIGNATURE_SCHEME_V31_BLOCK_ID, ...signingV31 }]
        : [],
    },
    tree.length,
  );
  await sink.write(0, header);
  await sink.write(header.length, tree);
  const size = header.length + tree.length;
  await sink.truncate(size);
  return { size, rootHash: rootDigest };
}
