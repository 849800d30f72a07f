/** Makes the pairs of the signing block: the values of v2, v3 and v3.1. */

import type { SignatureAlgorithm } from '../../formats/apk/algorithms.ts';
import { u32 } from '../../formats/apk/length-prefixed.ts';
import { encodeLineage, PROOF_OF_ROTATION_ATTRIBUTE_ID } from '../../formats/apk/lineage.ts';
import {
  encodeSignedData,
  encodeSigners,
  ROTATION_MIN_SDK_ATTRIBUTE_ID,
  ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID,
  STRIPPING_PROTECTION_ATTRIBUTE_ID,
  type SignerAttribute,
  type SignerBlock,
} from '../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  type BlockPair,
} from '../../formats/apk/signing-block.ts';
import type { SignaturePurpose } from '../signer.ts';
import type { ContentDigests } from './entries-pass.ts';
import { signWith } from './sign-key.ts';
import type { BlockSigner, RangedSigner, SignaturePlan } from './sign-plan.ts';

/** In v2: v3 is signed too, so that it cannot be removed unnoticed. */
const V3_IS_SIGNED: SignerAttribute = { id: STRIPPING_PROTECTION_ATTRIBUTE_ID, value: u32(3) };

function digestFor({ contentDigest }: SignatureAlgorithm, digests: ContentDigests): Uint8Array {
  const digest = digests.get(contentDigest);
  if (digest === undefined) throw new RangeError(`The ${contentDigest} digest was not computed`);
  return digest;
}

async function signerBlock(
  { key, algorithms, sdk }: BlockSigner & Pick<SignerBlock, 'sdk'>,
  attributes: readonly SignerAttribute[],
  digests: ContentDigests,
  purpose: SignaturePurpose,
): Promise<SignerBlock> {
  const signedData = encodeSignedData({
    digests: algorithms.map((each) => ({ algorithm: each.id, digest: digestFor(each, digests) })),
    certificates: key.certificates,
    sdk,
    attributes,
  });
  const signatures = await Promise.all(
    algorithms.map(async (algorithm) => ({
      algorithm: algorithm.id,
      signature: await signWith(key, algorithm, signedData, purpose),
    })),
  );
  return { signedData, sdk, signatures, publicKey: key.publicKey };
}

const rangedBlock = (
  signer: RangedSigner,
  attribute: SignerAttribute | undefined,
  digests: ContentDigests,
  purpose: SignaturePurpose,
): Promise<SignerBlock> =>
  signerBlock(
    signer,
    [
      ...(signer.lineage
        ? [{ id: PROOF_OF_ROTATION_ATTRIBUTE_ID, value: encodeLineage(signer.lineage) }]
        : []),
      ...(attribute ? [attribute] : []),
    ],
    digests,
    purpose,
  );

/**
 * Signs with v2, v3.1 and v3 as far as they have signers, all at once: no signature depends on another.
 *
 * @returns the pairs in apksig's order.
 * @throws {UsageError} `key` when a signature is not its key's.
 */
export async function signBlocks(
  { v2, v3, v31 }: SignaturePlan,
  digests: ContentDigests,
  preservedV2: readonly SignerBlock[] = [],
): Promise<readonly BlockPair[]> {
  const rotation = Math.min(...v31.map(({ sdk }) => sdk.min));
  const [signersV2, signersV31, signersV3] = await Promise.all([
    Promise.all(
      v2.map((signer) =>
        signerBlock(
          { ...signer, sdk: undefined },
          v3.length > 0 ? [V3_IS_SIGNED] : [],
          digests,
          'apk-v2',
        ),
      ),
    ),
    Promise.all(
      v31.map((signer) =>
        rangedBlock(
          signer,
          signer.targetsDevRelease
            ? { id: ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID, value: new Uint8Array(0) }
            : undefined,
          digests,
          'apk-v3.1',
        ),
      ),
    ),
    Promise.all(
      v3.map((signer) =>
        rangedBlock(
          signer,
          v31.length > 0 ? { id: ROTATION_MIN_SDK_ATTRIBUTE_ID, value: u32(rotation) } : undefined,
          digests,
          'apk-v3',
        ),
      ),
    ),
  ]);
  return [
    { id: APK_SIGNATURE_SCHEME_V2_BLOCK_ID, signers: [...preservedV2, ...signersV2] },
    { id: APK_SIGNATURE_SCHEME_V31_BLOCK_ID, signers: signersV31 },
    { id: APK_SIGNATURE_SCHEME_V3_BLOCK_ID, signers: signersV3 },
  ]
    .filter(({ signers }) => signers.length > 0)
    .map(({ id, signers }) => ({ id, value: encodeSigners(signers) }));
}
