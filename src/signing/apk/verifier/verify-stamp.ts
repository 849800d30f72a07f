/**
 * Verifies the source stamp alone: that whoever stamped has stamped what the APK's signers signed. That
 * the content is what they signed is `verifyApk`'s question.
 */

import { toHex } from '../../../core/digest.ts';
import { FormatError } from '../../../core/errors.ts';
import type { SdkRange } from '../../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
} from '../../../formats/apk/signing-block.ts';
import { SOURCE_STAMP_V2_BLOCK_ID } from '../../../formats/apk/source-stamp.ts';
import type { ByteSource } from '../../../io/byte-source.ts';
import { openApk, readEntries, type ApkView } from './apk-view.ts';
import { knownSchemes } from './block-schemes.ts';
import { createIssueLog, type Issue, type IssueLog } from './issue.ts';
import { readManifest } from './manifest-entry.ts';
import type { ParsedScheme } from './scheme.ts';
import { readStampEntry, stampedDigests, type StampedSchemes } from './stamp-of-apk.ts';
import { verifyStamp, type StampResult } from './stamp.ts';
import { parseV2, V2_SDK } from './v2.ts';
import { parseV3, V3_SDK } from './v3.ts';

/** As apksig calls the outcomes. */
export type StampStatus =
  | 'STAMP_VERIFIED'
  /** There is a stamp, and it does not hold. */
  | 'STAMP_VERIFICATION_FAILED'
  /** It is by somebody else than was asked for. */
  | 'CERT_DIGEST_MISMATCH'
  | 'STAMP_MISSING'
  /** Half of a stamp is there. */
  | 'STAMP_NOT_VERIFIED'
  /** The APK cannot be read, or its own signatures do not hold. */
  | 'VERIFICATION_ERROR';

export interface VerifyStampOptions {
  /** As for `verifyApk`. */
  readonly minSdk?: number | undefined;
  readonly maxSdk?: number | undefined;
  /** SHA-256 of the certificate that must have stamped. */
  readonly certificateDigest?: Uint8Array | undefined;
}

export interface StampVerdict {
  readonly status: StampStatus;
  readonly stamp: StampResult | undefined;
  readonly issues: readonly Issue[];
}

const MAX_SDK = 0x7fffffff;

/** The signatures that the stamp must be about; their errors are in the log. */
function parseStamped(apk: ApkView, sdk: SdkRange, log: IssueLog): StampedSchemes {
  let v3: ParsedScheme | undefined;
  let v2: ParsedScheme | undefined;
  const found = new Set<number>();
  const pair3 = sdk.max >= V3_SDK ? apk.block?.pair(APK_SIGNATURE_SCHEME_V3_BLOCK_ID) : undefined;
  if (pair3 !== undefined) {
    const context = { scheme: 'v3', sdk, rotationMinSdk: undefined, complete: false } as const;
    v3 = parseV3(pair3, context, log.step());
    found.add(3);
  }
  const wantsV2 = sdk.max >= V2_SDK && (sdk.min < V3_SDK || v3 === undefined);
  const pair2 = wantsV2 ? apk.block?.pair(APK_SIGNATURE_SCHEME_V2_BLOCK_ID) : undefined;
  if (pair2 !== undefined) {
    const context = { sdk, knownSchemes: knownSchemes(sdk.max), foundSchemes: new Set(found) };
    v2 = parseV2(pair2, context, log.step());
    found.add(2);
  }
  return { v1: sdk.min < V2_SDK || found.size === 0, v2, v3 };
}

type Finding = Pick<StampVerdict, 'status'> & { readonly stamp?: StampResult };

/** @throws {FormatError} when the APK cannot be read. */
async function verify(
  source: ByteSource,
  options: VerifyStampOptions,
  log: IssueLog,
): Promise<Finding> {
  const { maxSdk = MAX_SDK, certificateDigest: wanted } = options;
  const apk = await openApk(source);
  const entries = await readEntries(apk);
  const minSdk = options.minSdk ?? (await readManifest(apk, entries)).minSdk();
  const sdk = { min: minSdk, max: maxSdk };
  const certificateDigest = await readStampEntry(apk, entries);
  const pair = apk.block?.pair(SOURCE_STAMP_V2_BLOCK_ID);
  if (certificateDigest === undefined) {
    if (pair === undefined) {
      log.error('SOURCE_STAMP_CERT_DIGEST_AND_SIG_BLOCK_MISSING');
      return { status: 'STAMP_MISSING' };
    }
    log.error('SOURCE_STAMP_SIGNATURE_BLOCK_WITHOUT_CERT_DIGEST');
    return { status: 'STAMP_NOT_VERIFIED' };
  }
  if (wanted !== undefined && !Buffer.from(wanted).equals(certificateDigest)) {
    log.error('SOURCE_STAMP_EXPECTED_DIGEST_MISMATCH', {
      actual: toHex(certificateDigest.subarray(0, 64)),
      expected: toHex(wanted),
    });
    return { status: 'CERT_DIGEST_MISMATCH' };
  }
  const schemes = parseStamped(apk, sdk, log);
  if (log.has('error')) return { status: 'VERIFICATION_ERROR' };
  if (pair === undefined) {
    log.error('SOURCE_STAMP_SIG_MISSING');
    return { status: 'STAMP_NOT_VERIFIED' };
  }
  const digests = await stampedDigests(apk, entries, schemes);
  const own = log.of({ scheme: 'stamp', index: 0 });
  const stamp = verifyStamp(pair, certificateDigest, digests, sdk, own);
  return { status: stamp.verified ? 'STAMP_VERIFIED' : 'STAMP_VERIFICATION_FAILED', stamp };
}

/**
 * @returns what was found; an APK that nobody can read is an error among the issues too.
 * @throws what the source throws when it cannot be read.
 */
export async function verifySourceStamp(
  source: ByteSource,
  options: VerifyStampOptions = {},
): Promise<StampVerdict> {
  const log = createIssueLog();
  let finding: Finding;
  try {
    finding = await verify(source, options, log);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.error('MALFORMED_APK', { reason: error.message });
    finding = { status: 'VERIFICATION_ERROR' };
  }
  return { status: finding.status, stamp: finding.stamp, issues: log.issues };
}
