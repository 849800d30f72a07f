/**
 * Signatures of others that an APK keeps when it is signed once more. They must still be valid afterwards:
 * what they have signed must not change.
 */

import { equalBytes } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import {
  findSignatureAlgorithm,
  type ContentDigestAlgorithm,
} from '../../formats/apk/algorithms.ts';
import {
  decodeSignedData,
  decodeSigners,
  type SignerBlock,
  type SignerLayout,
} from '../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
  VERITY_PADDING_BLOCK_ID,
  type BlockPair,
  type PlacedPair,
} from '../../formats/apk/signing-block.ts';
import {
  SOURCE_STAMP_V1_BLOCK_ID,
  SOURCE_STAMP_V2_BLOCK_ID,
} from '../../formats/apk/source-stamp.ts';
import type { ContentDigests } from './entries-pass.ts';
import type { SigningKey } from './sign-key.ts';
import type { SignaturePlan } from './sign-plan.ts';

/** What is kept of a signing block. */
export interface KeptSignatures {
  /** Signers of v2, before those who sign now. */
  readonly v2: readonly SignerBlock[];
  /** Whole pairs, before those that are made now. */
  readonly pairs: readonly BlockPair[];
}

export const NOTHING_KEPT: KeptSignatures = { v2: [], pairs: [] };

/** Made anew, or void when anything is signed anew. */
const NEVER_KEPT: ReadonlySet<number> = new Set([
  VERITY_PADDING_BLOCK_ID,
  SOURCE_STAMP_V1_BLOCK_ID,
  SOURCE_STAMP_V2_BLOCK_ID,
]);

const refuse = (message: string, hint: string): UsageError =>
  new UsageError('input', `Cannot append a signature: ${message}`, { hint });

function isOneOf(signer: SignerBlock, layout: SignerLayout, keys: readonly SigningKey[]): boolean {
  const { certificates } = decodeSignedData(signer.signedData, layout);
  return keys.some((key) =>
    key.certificates.every((own) => certificates.some((each) => equalBytes(each, own))),
  );
}

/** v3 has one signer per release: he signs again, or nobody does. */
function checkV3(pair: PlacedPair, plan: SignaturePlan): void {
  const keys = [...plan.v3, ...plan.v31].map(({ key }) => key);
  const signers = decodeSigners(pair.value, 'v3', pair.offset);
  if (keys.length > 0 && signers.every((signer) => isOneOf(signer, 'v3', keys))) return;
  throw refuse(
    'the APK is signed with v3, by others',
    'v3 takes one signer: sign anew, without --append-signature',
  );
}

/**
 * Says which signatures are kept.
 *
 * @param pairs Of the signing block of the input.
 * @throws {UsageError} `input` when they and those that are to be made exclude each other.
 * @throws {FormatError} when a signer cannot be read.
 */
export function keepSignatures(pairs: readonly PlacedPair[], plan: SignaturePlan): KeptSignatures {
  const keptPairs: BlockPair[] = [];
  const v2: SignerBlock[] = [];
  for (const pair of pairs) {
    if (pair.id === APK_SIGNATURE_SCHEME_V2_BLOCK_ID && plan.v2.length > 0) {
      const keys = plan.v2.map(({ key }) => key);
      const others = decodeSigners(pair.value, 'v2', pair.offset).filter(
        (signer) => !isOneOf(signer, 'v2', keys),
      );
      v2.push(...others);
    } else if (
      pair.id === APK_SIGNATURE_SCHEME_V3_BLOCK_ID ||
      pair.id === APK_SIGNATURE_SCHEME_V31_BLOCK_ID
    ) {
      checkV3(pair, plan);
    } else if (!NEVER_KEPT.has(pair.id)) {
      keptPairs.push({ id: pair.id, value: pair.value });
    }
  }
  const keepsV2 =
    v2.length > 0 || keptPairs.some(({ id }) => id === APK_SIGNATURE_SCHEME_V2_BLOCK_ID);
  if (keepsV2 && plan.v3.length > 0) {
    throw refuse(
      'v3 takes one signer, and others have signed v2',
      'Append a signature of v2: --v3 false',
    );
  }
  return { v2, pairs: keptPairs };
}

/** The signers of v2 whose signatures must still be valid. */
const keptSigners = ({ v2, pairs }: KeptSignatures): readonly SignerBlock[] => [
  ...v2,
  ...pairs
    .filter(({ id }) => id === APK_SIGNATURE_SCHEME_V2_BLOCK_ID)
    .flatMap(({ value }) => decodeSigners(value, 'v2')),
];

function signedDigests(kept: KeptSignatures): readonly [ContentDigestAlgorithm, Uint8Array][] {
  return keptSigners(kept).flatMap(({ signedData }) =>
    decodeSignedData(signedData, 'v2').digests.flatMap(
      ({ algorithm, digest }): [ContentDigestAlgorithm, Uint8Array][] => {
        const known = findSignatureAlgorithm(algorithm);
        return known === undefined ? [] : [[known.contentDigest, digest]];
      },
    ),
  );
}

/** The digests by which `checkKept` judges. */
export const keptDigests = (kept: KeptSignatures): readonly ContentDigestAlgorithm[] =>
  signedDigests(kept).map(([algorithm]) => algorithm);

/**
 * Compares what others have signed with what the APK will be.
 *
 * @throws {UsageError} `input` when it is not the same.
 */
export function checkKept(kept: KeptSignatures, digests: ContentDigests): void {
  for (const [algorithm, signed] of signedDigests(kept)) {
    const actual = digests.get(algorithm);
    if (actual !== undefined && equalBytes(actual, signed)) continue;
    throw refuse(
      'signatures that are to be kept would not be valid any more',
      'Leave all entries as they are: --v1 false --alignment-preserved --keep-entry-comments',
    );
  }
}

/**
 * Compares the manifest that other JAR signatures are over with the new one.
 *
 * @throws {UsageError} `input` when it is not the same, and there are such signatures.
 */
export function checkKeptManifest(
  names: readonly string[],
  before: Uint8Array | undefined,
  now: Uint8Array,
): void {
  if (!names.some((name) => /^META-INF\/[^/]*\.SF$/i.test(name))) return;
  if (before !== undefined && equalBytes(before, now)) return;
  throw refuse(
    'JAR signatures that are to be kept would not be valid any more',
    'Leave v1 as it is: --v1 false',
  );
}
