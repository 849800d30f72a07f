/** What the source stamp of an APK is about, and where in the APK it is told of. */

import { sha256 } from '../../../core/digest.ts';
import { findSignatureAlgorithm } from '../../../formats/apk/algorithms.ts';
import type { SdkRange } from '../../../formats/apk/signer-block.ts';
import {
  SOURCE_STAMP_V2_BLOCK_ID,
  STAMP_CERTIFICATE_ENTRY,
  type StampDigestName,
  type StampDigests,
  type StampedScheme,
} from '../../../formats/apk/source-stamp.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import type { ApkView } from './apk-view.ts';
import { readEntryData } from './entry-data.ts';
import type { IssueLog } from './issue.ts';
import type { ParsedScheme } from './scheme.ts';
import { verifyStamp, type StampResult } from './stamp.ts';

/** A digest; more is none. */
const MAX_STAMP_ENTRY = 1 << 16;
/** 65535 entries with long names take a third of it. */
const MAX_MANIFEST = 64 << 20;
const JAR_MANIFEST = 'META-INF/MANIFEST.MF';

const SDK_STAMPS = 30;

/**
 * The digest of the stamp's certificate that the APK holds; undefined when it has none.
 *
 * @throws {FormatError} when the entry cannot be read.
 */
export async function readStampEntry(
  apk: ApkView,
  entries: readonly ZipEntry[],
): Promise<Uint8Array | undefined> {
  const entry = entries.find(({ name }) => name === STAMP_CERTIFICATE_ENTRY);
  return entry && (await readEntryData(apk, entry, MAX_STAMP_ENTRY));
}

/** What a scheme's signers signed. */
function digestsOf({ signers }: ParsedScheme): StampDigests {
  const digests = new Map<StampDigestName, Uint8Array>();
  for (const { algorithm, digest } of signers.flatMap((signer) => signer.digests)) {
    const name = findSignatureAlgorithm(algorithm)?.contentDigest;
    if (name !== undefined) digests.set(name, digest);
  }
  return digests;
}

/** For a JAR signature that stands for the APK: the digest of the manifest, if there is one. */
async function digestsOfV1(apk: ApkView, entries: readonly ZipEntry[]): Promise<StampDigests> {
  const entry = entries.find(({ name }) => name === JAR_MANIFEST);
  if (entry === undefined) return new Map();
  return new Map([['manifest', sha256(await readEntryData(apk, entry, MAX_MANIFEST))]]);
}

/** The schemes that were looked at, all of which a stamp must be about. */
export interface StampedSchemes {
  readonly v1: boolean;
  readonly v2: ParsedScheme | undefined;
  readonly v3: ParsedScheme | undefined;
}

/** @throws {FormatError} when the manifest of a JAR signature cannot be read. */
export async function stampedDigests(
  apk: ApkView,
  entries: readonly ZipEntry[],
  { v1, v2, v3 }: StampedSchemes,
): Promise<ReadonlyMap<StampedScheme, StampDigests>> {
  const digests = new Map<StampedScheme, StampDigests>();
  if (v1) digests.set(1, await digestsOfV1(apk, entries));
  if (v2) digests.set(2, digestsOf(v2));
  if (v3) digests.set(3, digestsOf(v3));
  return digests;
}

/**
 * Verifies the stamp of an APK whose own signatures hold.
 *
 * @returns undefined when it has none; that one was taken away is a warning.
 * @throws {FormatError} when an entry cannot be read.
 */
export async function verifyStampOfApk(
  apk: ApkView,
  entries: readonly ZipEntry[],
  schemes: StampedSchemes,
  sdk: SdkRange,
  log: IssueLog,
): Promise<StampResult | undefined> {
  const certificateDigest = await readStampEntry(apk, entries);
  if (certificateDigest === undefined) return undefined;
  const pair = apk.block?.pair(SOURCE_STAMP_V2_BLOCK_ID);
  if (pair === undefined) {
    log.warning('SOURCE_STAMP_SIG_MISSING');
    return undefined;
  }
  const digests = await stampedDigests(apk, entries, schemes);
  const range = { min: Math.max(sdk.min, SDK_STAMPS), max: sdk.max };
  const own = log.of({ scheme: 'stamp', index: 0 });
  return verifyStamp(pair, certificateDigest, digests, range, own);
}
