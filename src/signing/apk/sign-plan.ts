/**
 * Who signs an APK with which scheme, and for which releases: apksig's rules for several signers and for
 * rotated keys.
 *
 * v1 and v2 are signed by all signers, or by the oldest one where v3 is signed too. v3 is signed by one
 * signer per range of releases; those for Android 13 and later stand in v3.1, so that older releases,
 * which do not know ranges, find one signer in v3.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3-1
 */

import { UsageError } from '../../core/errors.ts';
import type { SignatureAlgorithm } from '../../formats/apk/algorithms.ts';
import type { SdkRange } from '../../formats/apk/signer-block.ts';
import {
  findCertificate,
  mergeLineages,
  startLineage,
  truncateLineage,
  type Lineage,
} from './lineage-change.ts';
import { signatureAlgorithms, type SigningKey } from './sign-key.ts';

export interface SignatureRequest {
  /** At least one. */
  readonly signers: readonly SigningKey[];
  readonly schemes: SchemeChoice;
  /** The oldest release that the APK is for. */
  readonly minSdk: number;
  /** How the newest signer without a range of its own came to sign. */
  readonly lineage: Lineage | undefined;
  /** The first release that takes the rotated key. */
  readonly rotationMinSdk: number;
  /** Whether that is a release in development, which still has the number of the one before. */
  readonly rotationTargetsDevRelease: boolean;
  /** Whether to sign digests of Merkle trees too. */
  readonly verity: boolean;
}

/** Left out, apksig's defaults: all, but v3 only where there is one signer per release. */
export interface SchemeChoice {
  readonly v1?: boolean | undefined;
  readonly v2?: boolean | undefined;
  readonly v3?: boolean | undefined;
}

type Algorithms = readonly [SignatureAlgorithm, ...SignatureAlgorithm[]];

export interface BlockSigner {
  readonly key: SigningKey;
  readonly algorithms: Algorithms;
}

export interface RangedSigner extends BlockSigner {
  readonly sdk: SdkRange;
  readonly lineage: Lineage | undefined;
  readonly targetsDevRelease: boolean;
}

/** Who signs. Schemes without signers are not signed. */
export interface SignaturePlan {
  readonly v1: readonly SigningKey[];
  readonly v2: readonly BlockSigner[];
  readonly v3: readonly RangedSigner[];
  readonly v31: readonly RangedSigner[];
}

/** Android 9, the first with v3. */
const SDK_V3 = 28;
/** Android 13, the first with v3.1. */
const SDK_V31 = 33;
/** The release that was in development when v3.1 was: it is written as the one before, with a mark. */
const SDK_DEV_RELEASE = 34;
/** Android 7, the first with our signature algorithms: where ranges start that nobody has set. */
const SDK_ALGORITHMS = 24;
const MAX_SDK = 0x7fffffff;
/** apksig's and Android's limit for v1 and v2. */
const MAX_SIGNERS = 10;

export const DEFAULT_ROTATION_MIN_SDK = SDK_V31;

const refuse = (message: string, hint?: string): UsageError =>
  new UsageError('usage', `Cannot sign APK: ${message}`, hint === undefined ? {} : { hint });

/** Ranges before v3.1 are all that v3 has: they start with it. */
const rangeStart = (sdk: number): number => (sdk < SDK_V31 ? SDK_V3 : sdk);

interface Target {
  readonly key: SigningKey;
  readonly minSdk: number;
  readonly lineage: Lineage | undefined;
  readonly targetsDevRelease: boolean;
}

function target(key: SigningKey, minSdk: number, lineage: Lineage | undefined): Target {
  if (minSdk < SDK_V3) {
    throw refuse(
      `a signer for SDK ${minSdk} and later was asked for`,
      `Ranges of releases start at SDK ${SDK_V3}, the first with APK Signature Scheme v3`,
    );
  }
  if (lineage !== undefined && findCertificate(lineage, key.certificate) === -1) {
    throw refuse("a signer's certificate is not in its lineage");
  }
  return { key, minSdk: rangeStart(minSdk), lineage, targetsDevRelease: false };
}

/** The signers without a range, in the order of the lineage. */
function sortByLineage(keys: readonly SigningKey[], lineage: Lineage): readonly SigningKey[] {
  const place = (key: SigningKey): number => findCertificate(lineage, key.certificate);
  if (keys.some((key) => place(key) === -1)) {
    throw refuse(
      'a signer is not in the lineage',
      'Give the lineage that holds the certificates of all signers, or sign without one',
    );
  }
  return [...keys].sort((a, b) => place(a) - place(b));
}

interface Roles {
  /** Without a range, oldest first. */
  readonly untargeted: readonly SigningKey[];
  /** With a range, oldest range first. */
  readonly targeted: readonly Target[];
  /** The history that all ranges are parts of. */
  readonly lineage: Lineage | undefined;
}

function rotatedTarget(request: SignatureRequest, key: SigningKey, lineage: Lineage): Target {
  const rotated = target(key, rangeStart(request.rotationMinSdk), lineage);
  if (request.rotationTargetsDevRelease && rotated.minSdk < SDK_V31) {
    throw refuse(`rotation on a release in development starts at SDK ${SDK_V31}`);
  }
  return { ...rotated, targetsDevRelease: request.rotationTargetsDevRelease };
}

function mergedLineage(targets: readonly Target[]): Lineage | undefined {
  let merged: Lineage | undefined;
  for (const { key, lineage = startLineage(key.certificate, 0) } of targets) {
    merged = merged === undefined ? lineage : mergeLineages(merged, lineage);
  }
  return merged;
}

/** Tells signers for ranges from those for all releases; the rotated key becomes one of the former. */
function assignRoles(request: SignatureRequest): Roles {
  const byRange = [...request.signers].sort((a, b) => (a.minSdk ?? 0) - (b.minSdk ?? 0));
  let untargeted: readonly SigningKey[] = byRange.filter(({ minSdk }) => minSdk === undefined);
  let targeted: readonly Target[] = byRange.flatMap((key) =>
    key.minSdk === undefined ? [] : [target(key, key.minSdk, key.lineage)],
  );
  if (request.lineage !== undefined) {
    const [first] = targeted;
    if (first !== undefined && rangeStart(request.rotationMinSdk) >= first.minSdk) {
      throw refuse(
        `the rotation starts at SDK ${request.rotationMinSdk}, not before the first signer with a range of its own (SDK ${first.minSdk})`,
      );
    }
    untargeted = sortByLineage(untargeted, request.lineage);
    const newest = untargeted.at(-1);
    if (newest === undefined) throw refuse('no signer is there for the lineage');
    targeted = [rotatedTarget(request, newest, request.lineage), ...targeted];
    untargeted = untargeted.slice(0, -1);
  }
  const starts = targeted.map(({ minSdk }) => minSdk);
  const twice = starts.find((start, index) => starts.indexOf(start) !== index);
  if (twice !== undefined) throw refuse(`two signers start at SDK ${twice}`);
  return { untargeted, targeted, lineage: mergedLineage(targeted) };
}

/** The one who signs v1 and v2 where v3 is signed: before it, there is no rotation. */
function oldestSigner({ untargeted, targeted, lineage }: Roles, scheme: string): SigningKey {
  const oldest = untargeted[0] ?? targeted[0]?.key;
  if (oldest === undefined) throw refuse('there is no signer');
  if (lineage !== undefined && findCertificate(lineage, oldest.certificate) !== 0) {
    throw refuse(
      `${scheme} is to be signed, and the oldest key of the lineage is missing`,
      `Give the oldest key too, or turn ${scheme} off`,
    );
  }
  return oldest;
}

/** Ranges from the newest signer to the oldest that is needed, together all that v3 covers. */
function rangedSigners(roles: Roles, request: SignatureRequest): readonly RangedSigner[] {
  const first = Math.max(SDK_V3, request.minSdk);
  const [earliest] = roles.targeted;
  if (roles.untargeted.length === 0 && earliest !== undefined && earliest.minSdk > first) {
    throw refuse(
      `no signer is there for SDK ${first} to ${earliest.minSdk - 1}`,
      `Give the original signer too, or one for SDK ${first}`,
    );
  }
  const candidates: readonly Target[] = [
    ...roles.untargeted.map((key) => ({
      key,
      minSdk: SDK_ALGORITHMS,
      lineage: undefined,
      targetsDevRelease: false,
    })),
    ...roles.targeted,
  ];
  const ranged: RangedSigner[] = [];
  for (const { key, lineage, ...candidate } of candidates.toReversed()) {
    const newer = ranged.at(-1);
    const isDevRelease = candidate.minSdk === SDK_DEV_RELEASE;
    const targetsDevRelease = candidate.targetsDevRelease || isDevRelease;
    const min = isDevRelease ? SDK_V31 : candidate.minSdk;
    // A release in development has the number of the one before, which this signer signs for too.
    const max = newer === undefined ? MAX_SDK : newer.sdk.min - (newer.targetsDevRelease ? 0 : 1);
    ranged.push({
      key,
      algorithms: signatureAlgorithms(key.signer.publicKey, request.verity),
      sdk: { min, max },
      lineage: lineage && truncateLineage(lineage, key.certificate),
      targetsDevRelease,
    });
    if (targetsDevRelease ? min < first : min <= first) break;
  }
  return ranged;
}

/** Splits the ranges: the first one is v3's, those that v3.1 can tell are v3.1's. */
function splitRanges(ranged: readonly RangedSigner[]): Pick<SignaturePlan, 'v3' | 'v31'> {
  if (ranged.length < 2) return { v3: ranged, v31: [] };
  const start = Math.min(...ranged.map(({ sdk }) => sdk.min));
  const isRotated = ({ sdk, targetsDevRelease }: RangedSigner): boolean =>
    sdk.min >= SDK_V31 && (sdk.min > start || targetsDevRelease);
  return {
    v3: ranged.filter((signer) => !isRotated(signer)),
    v31: ranged.filter((signer) => isRotated(signer)),
  };
}

/**
 * Says who signs.
 *
 * @throws {UsageError} `usage` or `key` when the signers, the lineage and the schemes do not fit.
 */
export function planSignatures(request: SignatureRequest): SignaturePlan {
  const { signers, schemes, verity } = request;
  const isRanged =
    request.lineage !== undefined || signers.some(({ minSdk }) => minSdk !== undefined);
  const { v1 = true, v2 = true, v3 = signers.length === 1 || isRanged } = schemes;
  if (!v1 && !v2 && !v3) throw refuse('no signature scheme is asked for');
  const roles = assignRoles(request);
  const all = roles.untargeted;
  if (roles.lineage !== undefined && !v3 && all.length > 1) {
    throw refuse('with a lineage, only v3 can have several signers', 'Sign with v3 too');
  }
  if (v3 && roles.lineage === undefined && all.length > 1) {
    throw refuse(
      'v3 takes one signer, several are given',
      'Give the lineage that they form, or turn v3 off',
    );
  }
  const older = (scheme: string): readonly SigningKey[] => {
    if (v3) return [oldestSigner(roles, scheme)];
    if (all.length === 0) throw refuse('ranges of releases need v3');
    if (all.length > MAX_SIGNERS) {
      throw refuse(`${scheme} takes at most ${MAX_SIGNERS} signers, ${all.length} are given`);
    }
    return all;
  };
  const blockSigner = (key: SigningKey): BlockSigner => ({
    key,
    algorithms: signatureAlgorithms(key.signer.publicKey, verity),
  });
  return {
    v1: v1 ? older('v1') : [],
    v2: v2 ? older('v2').map(blockSigner) : [],
    ...(v3 ? splitRanges(rangedSigners(roles, request)) : { v3: [], v31: [] }),
  };
}
