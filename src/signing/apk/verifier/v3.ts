/**
 * APK Signature Schemes v3 and v3.1: one signer for each range of releases, and the lineage that leads
 * to it. v3.1 holds the rotated signers that releases before Android 13 must not see.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#v3-verification
 * @see https://source.android.com/docs/security/features/apksigning/v3-1
 */

import { equalBytes } from '../../../core/digest.ts';
import { FormatError, VerificationError } from '../../../core/errors.ts';
import type { Cursor } from '../../../formats/apk/length-prefixed.ts';
import {
  lineageNodes,
  PROOF_OF_ROTATION_ATTRIBUTE_ID,
  type LineageNode,
} from '../../../formats/apk/lineage.ts';
import {
  ROTATION_MIN_SDK_ATTRIBUTE_ID,
  ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID,
  type SdkRange,
} from '../../../formats/apk/signer-block.ts';
import type { PlacedPair } from '../../../formats/apk/signing-block.ts';
import { verifyLineage } from '../lineage.ts';
import { readAnyCertificateKey } from './certificate.ts';
import type { IssueLog } from './issue.ts';
import { MAX_SIGNERS, parseSigners, type ParsedScheme } from './scheme.ts';
import type { SchemeSigner, SignerDraft, SignerRules } from './signers.ts';

/** The first releases that know the schemes. */
export const V3_SDK = 28;
export const V31_SDK = 33;

export interface V3Context {
  readonly scheme: 'v3' | 'v3.1';
  /** What is verified for. */
  readonly sdk: SdkRange;
  /** Of v3: from which release on a v3.1 signature rotates the key; undefined when there is none. */
  readonly rotationMinSdk: number | undefined;
  /**
   * Whether v3 and v3.1 are compared with each other; a source stamp alone is verified without.
   */
  readonly complete: boolean;
}

/** The place of a certificate in a lineage, or -1. */
export const lineageIndex = (nodes: readonly LineageNode[], certificate: Uint8Array): number =>
  nodes.findIndex((node) => equalBytes(node.certificate, certificate));

function readLineage({ log, certificates }: SignerDraft, value: Cursor): LineageNode[] {
  let nodes: readonly LineageNode[];
  try {
    nodes = verifyLineage(lineageNodes(value.rest()), readAnyCertificateKey);
  } catch (error) {
    if (error instanceof FormatError) {
      // apksig calls a version that it does not know a mismatch.
      if (error.code === 'bad-version') log.error('V3_SIG_POR_CERT_MISMATCH');
      else log.error('V3_SIG_MALFORMED_LINEAGE');
    } else if (error instanceof VerificationError) {
      if (error.code === 'unsupported') log.error('V3_SIG_MALFORMED_LINEAGE');
      else log.error('V3_SIG_POR_DID_NOT_VERIFY');
    } else throw error;
    return [];
  }
  const own = certificates[0]?.bytes ?? new Uint8Array(0);
  if (nodes.length === 0 || lineageIndex(nodes, own) !== nodes.length - 1) {
    log.error('V3_SIG_POR_CERT_MISMATCH');
  }
  return [...nodes];
}

function checkRotation(signer: SignerDraft, value: Cursor, context: V3Context): void {
  // Releases before Android 13 know nothing of it.
  if (context.sdk.max < V31_SDK || !context.complete) return;
  const attribute = value.u32('minimum SDK version of the rotation') | 0;
  const block = context.rotationMinSdk;
  if (block === undefined) signer.log.error('V31_BLOCK_MISSING', { rotationMinSdk: attribute });
  else if (attribute !== block) {
    signer.log.error('V31_ROTATION_MIN_SDK_MISMATCH', { attribute, block });
  }
}

function readAttribute(signer: SignerDraft, id: number, value: Cursor, context: V3Context): void {
  switch (id) {
    case PROOF_OF_ROTATION_ATTRIBUTE_ID:
      // Each costs many signature checks, and one says all.
      if (signer.attributeIds.indexOf(id) !== signer.attributeIds.length - 1) {
        signer.log.error('V3_SIG_MALFORMED_LINEAGE');
      } else signer.lineage = readLineage(signer, value);
      break;
    case ROTATION_MIN_SDK_ATTRIBUTE_ID:
      checkRotation(signer, value, context);
      break;
    case ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID:
      if (context.scheme === 'v3') {
        signer.log.warning('V31_ROTATION_TARGETS_DEV_RELEASE_ATTR_ON_V3_SIGNER');
      }
      break;
    default:
      signer.log.warning('V3_SIG_UNKNOWN_ADDITIONAL_ATTRIBUTE', { id: `0x${id.toString(16)}` });
  }
}

/** Reads and verifies the signers; content and ranges are compared later. */
export function parseV3(pair: PlacedPair, context: V3Context, log: IssueLog): ParsedScheme {
  const { scheme, rotationMinSdk } = context;
  const rules: SignerRules = {
    prefix: 'V3',
    sdk: context.sdk,
    attribute: (signer, id, value) => readAttribute(signer, id, value, context),
  };
  const { signers, count } = parseSigners(scheme, pair, rules, log);
  if (count > MAX_SIGNERS) {
    const reason = `there are ${count}, ${MAX_SIGNERS} are allowed`;
    log.error('V3_SIG_MALFORMED_SIGNERS', { reason });
  }
  for (const { log: own, attributeIds } of signers) {
    // A signer with errors may not have been read to its end.
    if (rotationMinSdk === undefined || !context.complete || own.has('error')) continue;
    if (!attributeIds.includes(ROTATION_MIN_SDK_ATTRIBUTE_ID)) {
      own.warning('V31_ROTATION_MIN_SDK_ATTR_MISSING', { rotationMinSdk });
    }
  }
  return { scheme, log, signers };
}

/** Whether a signer is for a release in development, which has the version of the release before it. */
export const targetsDevRelease = ({ attributeIds }: SchemeSigner): boolean =>
  attributeIds.includes(ROTATION_ON_DEV_RELEASE_ATTRIBUTE_ID);

/**
 * Joins two lineages that are parts of one; undefined when they are not.
 */
function mergeLineages(
  a: readonly LineageNode[],
  b: readonly LineageNode[],
): readonly LineageNode[] | undefined {
  const [first] = a;
  const isLater = first !== undefined && lineageIndex(b, first.certificate) !== -1;
  const [older, younger] = isLater ? [b, a] : [a, b];
  const [start] = younger;
  const at = start === undefined ? -1 : lineageIndex(older, start.certificate);
  if (at === -1) return undefined;
  const shared = Math.min(older.length - at, younger.length);
  for (let index = 0; index < shared; index++) {
    const [one, other] = [older[at + index], younger[index]];
    if (!one || !other || !equalBytes(one.certificate, other.certificate)) return undefined;
  }
  return [...older.slice(0, at), ...younger, ...older.slice(at + younger.length)];
}

/**
 * Checks that the signers cover the releases that are verified for, without gap or overlap, and that
 * their lineages are one.
 *
 * @returns that lineage; empty when there is none.
 */
export function checkV3Ranges(parsed: ParsedScheme, context: V3Context): readonly LineageNode[] {
  const { log } = parsed;
  // Of two signers up to the same release, the later one counts.
  const byMax = new Map(parsed.signers.map((signer) => [signer.sdk?.max ?? 0, signer]));
  const sorted = [...byMax].sort(([a], [b]) => a - b).map(([, signer]) => signer);
  let first = 0;
  let last = 0;
  let lineage: readonly LineageNode[] | undefined = [];
  let longest = 0;
  for (const signer of sorted) {
    const { min, max } = signer.sdk ?? { min: 0, max: 0 };
    const follows = min === last + 1 || (min === last && targetsDevRelease(signer));
    if (first !== 0 && !follows) {
      log.error('V3_INCONSISTENT_SDK_VERSIONS');
      break;
    }
    if (first === 0) first = min;
    last = max;
    if (signer.lineage.length === 0) continue;
    if (signer.lineage.length < longest) {
      log.error('V3_INCONSISTENT_LINEAGES');
      break;
    }
    longest = signer.lineage.length;
    if (lineage?.length === 0) lineage = signer.lineage;
    else if (lineage !== undefined) lineage = mergeLineages(lineage, signer.lineage);
  }
  // v3.1 may start at any release, since v3 stands beside it; v3 may end where v3.1 starts.
  const needed =
    context.scheme === 'v3.1'
      ? { min: context.sdk.max, max: context.sdk.max }
      : {
          min: Math.max(context.sdk.min, V3_SDK),
          max: context.rotationMinSdk === undefined ? context.sdk.max : context.rotationMinSdk - 1,
        };
  if (first > needed.min || last < needed.max) {
    log.error('V3_MISSING_SDK_VERSIONS', { min: first, max: last });
  }
  if (lineage === undefined) log.error('V3_INCONSISTENT_LINEAGES');
  return lineage ?? [];
}
