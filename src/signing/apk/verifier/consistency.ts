/** That the schemes of one APK tell of the same signers: each device believes another one of them. */

import { equalBytes } from '../../../core/digest.ts';
import type { ContentDigestAlgorithm } from '../../../formats/apk/algorithms.ts';
import { findSignatureAlgorithm } from '../../../formats/apk/algorithms.ts';
import type { LineageNode } from '../../../formats/apk/lineage.ts';
import type { IssueLog } from './issue.ts';
import type { SchemeSigner } from './signers.ts';
import { lineageIndex } from './v3.ts';
import type { V4Signer } from './v4.ts';

/** A signer of a JAR signature, as far as other schemes are compared with it. */
export interface PastSigner {
  readonly log: IssueLog;
  /** X.509 DER, of the signer itself. */
  readonly certificate: Uint8Array;
}

/** The signers of the schemes that were verified; empty for the others. */
export interface VerifiedSigners {
  readonly v1: readonly PastSigner[];
  readonly v2: readonly SchemeSigner[];
  readonly v3: readonly SchemeSigner[];
  readonly v31: readonly SchemeSigner[];
  readonly v4: readonly V4Signer[];
}

const NONE = new Uint8Array(0);

/** The certificate that stands for a signer. */
export const ownCertificate = ({ certificates }: SchemeSigner): Uint8Array =>
  certificates[0]?.bytes ?? NONE;

const asPast = (signer: SchemeSigner): PastSigner => ({
  log: signer.log,
  certificate: ownCertificate(signer),
});

/** v1 and v2 must be by the same signers, whichever order they are in. */
function compareV1AndV2({ v1, v2 }: VerifiedSigners): void {
  if (v1.length === 0 || v2.length === 0) return;
  const second = v2.map(asPast);
  const isAmong = (signers: readonly PastSigner[]) => (of: PastSigner) =>
    signers.some(({ certificate }) => equalBytes(certificate, of.certificate));
  const isInV2 = isAmong(second);
  const isInV1 = isAmong(v1);
  v1.find((signer) => !isInV2(signer))?.log.error('V2_SIG_MISSING');
  second.find((signer) => !isInV1(signer))?.log.error('JAR_SIG_MISSING');
}

/** v3 must be by the one signer of the older schemes, or lead back to it. */
function compareV3AndOlder(
  { v1, v2, v3 }: VerifiedSigners,
  lineage: readonly LineageNode[],
  log: IssueLog,
): void {
  const past = v1.length > 0 ? v1 : v2.map(asPast);
  const [oldest] = past;
  const [first] = v3;
  if (oldest === undefined || first === undefined) return;
  if (past.length !== 1) log.error('V3_SIG_MULTIPLE_PAST_SIGNERS');
  if (lineage.length === 0) {
    if (v3.length !== 1) log.error('V3_SIG_MULTIPLE_SIGNERS');
    if (!equalBytes(ownCertificate(first), oldest.certificate)) {
      log.error('V3_SIG_PAST_SIGNERS_MISMATCH');
    }
  } else if (lineageIndex(lineage, oldest.certificate) !== 0) {
    log.error('V3_SIG_PAST_SIGNERS_MISMATCH');
  }
}

/** The digest that v4 is about: the strongest that a signer has. */
function digestForV4({ digests }: SchemeSigner): Uint8Array | undefined {
  const known = new Map<ContentDigestAlgorithm, Uint8Array>();
  for (const { algorithm, digest } of digests) {
    const name = findSignatureAlgorithm(algorithm)?.contentDigest;
    if (name !== undefined) known.set(name, digest);
  }
  return known.get('chunked-sha512') ?? known.get('verity-sha256') ?? known.get('chunked-sha256');
}

function compareV4With(
  signer: V4Signer | undefined,
  others: readonly SchemeSigner[],
  digest: Uint8Array,
  log: IssueLog,
): void {
  const [other] = others;
  if (others.length !== 1) log.error('V4_SIG_MULTIPLE_SIGNERS');
  if (other === undefined) return;
  if (!equalBytes(signer?.certificate?.bytes ?? NONE, ownCertificate(other))) {
    log.error('V4_SIG_V2_V3_SIGNERS_MISMATCH');
  }
  if (!equalBytes(digest, digestForV4(other) ?? NONE)) log.error('V4_SIG_V2_V3_DIGESTS_MISMATCH');
}

/** v4 must be by the signer of v3, v3.1's beside it, or else of v2, and about the same digest. */
function compareV4AndOthers({ v2, v3, v31, v4 }: VerifiedSigners, log: IssueLog): void {
  const [first, second] = v4;
  if (first === undefined) return;
  if (v3.length === 0 && v2.length === 0) {
    // Nothing says whose APK it is: v4 only speeds up what v2 or v3 prove.
    log.error('V4_SIG_V2_V3_SIGNERS_MISMATCH');
    return;
  }
  const main = v3.length > 0 ? v3 : v2;
  if (v4.length !== (v3.length > 0 && v31.length > 0 ? 2 : 1)) log.error('V4_SIG_MULTIPLE_SIGNERS');
  compareV4With(first, main, first.apkDigest, log);
  if (main === v3 && v31.length > 0) {
    compareV4With(second, v31, second?.apkDigest ?? first.apkDigest, log);
  }
}

/**
 * Compares the signers of all schemes.
 *
 * @param lineage Of v3.1, or else of v3; empty when there is none.
 */
export function compareSigners(
  signers: VerifiedSigners,
  lineage: readonly LineageNode[],
  log: IssueLog,
): void {
  compareV1AndV2(signers);
  compareV3AndOlder(signers, lineage, log);
  compareV4AndOthers(signers, log);
}
