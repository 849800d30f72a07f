/**
 * Verifies an APK as Android does: whether every release in a range of SDK versions would install it,
 * by all of its signatures, and what is wrong with it otherwise.
 *
 * Verdicts are those of apksig in Android 14, but for what it lets pass:
 * - the content digests of v3.1 are compared, as devices do;
 * - of an idsig, the digest of each signer counts, as on devices, not only that of the first;
 * - an idsig that does not hold is an error of the APK, and it has the one form that devices read;
 * - a v3 or v3.1 block has at most ten signers, as one of v2 has;
 * - lineages hold no bytes that no signature covers, and a signer has one;
 * - certificates of signing blocks are also such that OpenSSL can read them;
 * - deflated data goes on to its end, also where all bytes that are declared came before;
 * - a signer has at most 64 certificates, and 1024 records of each other kind.
 * All schemes are judged although one of them is refused already, so that every error is told at once.
 *
 * @see https://source.android.com/docs/security/features/apksigning
 */

import { sha256, toHex } from '../../../core/digest.ts';
import { FormatError } from '../../../core/errors.ts';
import type { LineageNode } from '../../../formats/apk/lineage.ts';
import type { SdkRange } from '../../../formats/apk/signer-block.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V31_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
} from '../../../formats/apk/signing-block.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import { windowSource } from '../../../formats/zip/window-source.ts';
import type { ByteSource } from '../../../io/byte-source.ts';
import { trustsCertificate, type TrustAnchor } from '../../keys/trust-anchor.ts';
import type { ApkHasher } from '../content-digests.ts';
import { verifyJar, type VerifiedJar } from '../jar/verify.ts';
import { openApk, readEntries, type ApkView } from './apk-view.ts';
import { verifyBlockSchemes, type BlockSchemes } from './block-schemes.ts';
import { compareSigners, ownCertificate, type VerifiedSigners } from './consistency.ts';
import { createIssueLog, type Issue, type IssueLog, type SchemeName } from './issue.ts';
import { readManifest } from './manifest-entry.ts';
import type { ManifestFacts } from './manifest-facts.ts';
import type { SchemeSigner } from './signers.ts';
import type { StampResult } from './stamp.ts';
import { verifyStampOfApk } from './stamp-of-apk.ts';
import { checkStrictRules } from './strict.ts';
import { V2_SDK } from './v2.ts';
import type { V4Signer } from './v4.ts';

export interface VerifyApkOptions {
  /** The oldest release that must accept the APK. Default: the one its manifest asks for. */
  readonly minSdk?: number | undefined;
  /** The newest. Default: all that there will be. */
  readonly maxSdk?: number | undefined;
  /** The APK's signature of scheme v4. */
  readonly idsig?: ByteSource | undefined;
  /**
   * Also the rules of payloads: a ZIP archive that all readers read in the same way, and a signing
   * block of known signatures, each once. Default false.
   */
  readonly strict?: boolean | undefined;
  /** Who may have signed. Default: anybody, and the caller looks at who it was. */
  readonly trusted?: readonly TrustAnchor[] | undefined;
  /** Default: node:crypto on this thread. */
  readonly hasher?: ApkHasher | undefined;
}

/** By scheme. v3.1 counts beside v3, v4 and the stamp beside all. */
export interface SchemeVerdicts {
  readonly v1: boolean;
  readonly v2: boolean;
  readonly v3: boolean;
  readonly v31: boolean;
  readonly v4: boolean;
  readonly stamp: boolean;
}

export interface ApkVerdict {
  /** Whether there is no error. */
  readonly verified: boolean;
  /** What was verified for. */
  readonly sdk: SdkRange;
  /** Which schemes hold. */
  readonly schemes: SchemeVerdicts;
  /** Which schemes were there and were looked at; v1 also where it should be. */
  readonly examined: SchemeVerdicts;
  /** Which are there, and no release in the range would look at them: they prove nothing. */
  readonly passedOver: readonly SchemeName[];
  /** Who signed, by scheme; also signers that were refused. */
  readonly signers: {
    readonly v1: readonly JarSigner[];
    readonly v2: readonly SchemeSigner[];
    readonly v3: readonly SchemeSigner[];
    readonly v31: readonly SchemeSigner[];
    readonly v4: readonly V4Signer[];
  };
  /** Undefined where there is none, or the APK itself does not hold. */
  readonly stamp: StampResult | undefined;
  /**
   * X.509 DER: whose APK it is, by the newest scheme that holds. Several only of v1 and v2. Empty when
   * the APK is not verified.
   */
  readonly signerCertificates: readonly Uint8Array[];
  /** Oldest first; empty when no key was rotated. */
  readonly lineage: readonly LineageNode[];
  /** In the order in which they were found. */
  readonly issues: readonly Issue[];
}

/** Android 8: the first release that asks for v2 of apps in a newer sandbox. */
const SDK_O = 26;
/** Android 11: apps that target it must be signed by v2 or later. */
const SDK_R = 30;
const MAX_SDK = 0x7fffffff;

export type JarSigner = VerifiedJar['signers'][number];

interface JarResult extends VerifiedJar {
  readonly log: IssueLog;
}

/** What is known while an APK is verified; every part stays as it is when something cannot be read. */
interface Run {
  readonly options: VerifyApkOptions;
  readonly log: IssueLog;
  sdk: SdkRange;
  schemes: BlockSchemes | undefined;
  /** Undefined where no release in the range would look at it. */
  v1: JarResult | undefined;
  stamp: StampResult | undefined;
  passedOver: readonly SchemeName[];
}

const malformed = (message: string): FormatError => new FormatError('apk', 'bad-value', message);

/** What was read, or why it cannot be: not everybody needs it. */
async function attempt<T extends object>(
  read: () => Promise<T>,
): Promise<{ readonly value: T } | { readonly value: undefined; readonly error: FormatError }> {
  try {
    return { value: await read() };
  } catch (error) {
    if (error instanceof FormatError) return { value: undefined, error };
    throw error;
  }
}

function checkManifestRules(run: Run, facts: ManifestFacts): void {
  const { log, sdk, schemes } = run;
  const { targetSandboxVersion: version, targetSdk } = facts;
  if (sdk.max >= SDK_O && version > 1 && schemes?.found.size === 0) {
    log.error('NO_SIG_FOR_TARGET_SANDBOX_VERSION', { version });
  }
  if (targetSdk < SDK_R || sdk.max < targetSdk) return;
  // One that does not hold was reported.
  const hasNewer = [schemes?.v2, schemes?.v3, schemes?.v31].some((scheme) => scheme !== undefined);
  if (!hasNewer) log.error('MIN_SIG_SCHEME_FOR_TARGET_SDK_NOT_MET', { targetSdk, scheme: 2 });
}

async function verifyJarOf(
  apk: ApkView,
  entries: readonly ZipEntry[],
  { sdk, log, schemes }: Run,
): Promise<JarResult> {
  const own = log.step();
  const foundSchemes = schemes?.found ?? new Set<number>();
  const options = { minSdk: sdk.min, maxSdk: sdk.max, foundSchemes };
  // Entries are read one behind the other, two reads for each.
  const near = { ...apk, source: windowSource(apk.source) };
  return { log: own, ...(await verifyJar(near, entries, options, own)) };
}

function schemesPassedOver(
  apk: ApkView,
  entries: readonly ZipEntry[],
  { schemes, v1 }: Run,
): readonly SchemeName[] {
  const passedOver: SchemeName[] = [];
  for (const [name, id, parsed] of [
    ['v3.1', APK_SIGNATURE_SCHEME_V31_BLOCK_ID, schemes?.v31],
    ['v3', APK_SIGNATURE_SCHEME_V3_BLOCK_ID, schemes?.v3],
    ['v2', APK_SIGNATURE_SCHEME_V2_BLOCK_ID, schemes?.v2],
  ] as const) {
    if (parsed === undefined && apk.block?.pair(id) !== undefined) passedOver.push(name);
  }
  const hasJar = entries.some(({ name }) => /^META-INF\/[^/]*\.(?:RSA|DSA|EC)$/.test(name));
  return hasJar && v1 === undefined ? [...passedOver, 'v1'] : passedOver;
}

/** The signers of those schemes that hold. */
function verifiedSigners({ schemes, v1, log }: Run): VerifiedSigners {
  const hold = (scheme: { readonly log: IssueLog } | undefined): boolean =>
    scheme !== undefined && !scheme.log.has('error');
  const of = (scheme: BlockSchemes['v2']): readonly SchemeSigner[] =>
    scheme !== undefined && hold(scheme) ? scheme.signers : [];
  return {
    v1: (v1 && hold(v1) ? v1.signers : []).map(({ certificates, name }, index) => ({
      log: log.of({ scheme: 'v1', index, name }),
      certificate: certificates[0] ?? new Uint8Array(0),
    })),
    v2: of(schemes?.v2),
    v3: of(schemes?.v3),
    v31: of(schemes?.v31),
    v4: schemes?.v4 && hold(schemes.v4) ? schemes.v4.signers : [],
  };
}

/** All that sign the APK must be trusted: it is theirs together. */
function checkTrust(certificates: readonly Uint8Array[], { options, log }: Run): void {
  const { trusted } = options;
  if (trusted === undefined) return;
  for (const certificate of certificates) {
    if (trusted.some((anchor) => trustsCertificate(anchor, certificate))) continue;
    log.error('SIGNER_NOT_TRUSTED', { certificate: toHex(sha256(certificate)) });
  }
}

/** Whose APK it is: the newest release believes the newest scheme, and there its last signer. */
function countingCertificates({ v1, v2, v3, v31 }: VerifiedSigners): readonly Uint8Array[] {
  const newest = v31.at(-1) ?? v3.at(-1);
  if (newest !== undefined) return [ownCertificate(newest)];
  if (v2.length > 0) return v2.map(ownCertificate);
  return v1.map(({ certificate }) => certificate);
}

/** @throws {FormatError} when no release could read the APK. */
async function verify(source: ByteSource, run: Run): Promise<void> {
  const { options, log } = run;
  const apk = await openApk(source);
  const listed = await attempt(() => readEntries(apk));
  const manifest = await attempt(async () => {
    if (listed.value === undefined) throw listed.error;
    return readManifest(apk, listed.value);
  });
  if (options.minSdk === undefined) {
    if (manifest.value === undefined) throw manifest.error;
    const min = manifest.value.minSdk();
    run.sdk = { min, max: run.sdk.max };
    if (min > run.sdk.max) {
      throw malformed(
        `Cannot verify APK: its manifest asks for SDK version ${min}, which is above ${run.sdk.max}`,
      );
    }
  }
  const { sdk } = run;
  const { idsig, hasher } = options;
  if (apk.blockProblem !== undefined) {
    log.warning('APK_SIG_BLOCK_NOT_READ', { reason: apk.blockProblem });
  }
  run.schemes = await verifyBlockSchemes(apk, { sdk, idsig, hasher }, log);
  const { v2, v3, found } = run.schemes;
  // The signing block is looked at first, and also where nobody can tell what the entries are.
  if (listed.value === undefined) throw listed.error;
  const entries = listed.value;
  if (manifest.value !== undefined) checkManifestRules(run, manifest.value);
  else if (sdk.max >= SDK_O) throw manifest.error;
  if (sdk.min < V2_SDK || found.size === 0) run.v1 = await verifyJarOf(apk, entries, run);
  run.passedOver = schemesPassedOver(apk, entries, run);
  if (log.has('error')) return;
  const stamped = { v1: run.v1 !== undefined, v2, v3 };
  run.stamp = await verifyStampOfApk(apk, entries, stamped, sdk, log);
  compareSigners(verifiedSigners(run), run.schemes.lineage, log);
}

/**
 * Verifies an APK.
 *
 * @returns what was found; an APK that nobody can read is an error among the issues too.
 * @throws {RangeError} when the versions are no range.
 * @throws what the source throws when it cannot be read.
 */
export async function verifyApk(
  source: ByteSource,
  options: VerifyApkOptions = {},
): Promise<ApkVerdict> {
  const { minSdk, maxSdk = MAX_SDK } = options;
  if ((minSdk ?? 0) < 0 || (minSdk ?? 0) > maxSdk) {
    throw new RangeError(`SDK versions ${minSdk} to ${maxSdk} are no range`);
  }
  const log = createIssueLog();
  const run: Run = {
    options,
    log,
    sdk: { min: minSdk ?? 1, max: maxSdk },
    schemes: undefined,
    v1: undefined,
    stamp: undefined,
    passedOver: [],
  };
  try {
    await verify(source, run);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.error('MALFORMED_APK', { reason: error.message });
  }
  if (options.strict === true) await checkStrictRules(source, log);
  const { schemes, v1, stamp, passedOver } = run;
  const signers = verifiedSigners(run);
  const signerCertificates = countingCertificates(signers);
  checkTrust(signerCertificates, run);
  const verified = !log.has('error');
  return {
    verified,
    sdk: run.sdk,
    schemes: {
      v1: signers.v1.length > 0,
      v2: signers.v2.length > 0,
      v3: signers.v3.length > 0,
      v31: signers.v31.length > 0,
      v4: signers.v4.length > 0,
      stamp: stamp?.verified === true,
    },
    examined: {
      v1: v1 !== undefined,
      v2: schemes?.v2 !== undefined,
      v3: schemes?.v3 !== undefined,
      v31: schemes?.v31 !== undefined,
      v4: schemes?.v4 !== undefined,
      stamp: stamp !== undefined,
    },
    passedOver,
    signers: {
      v1: v1?.signers ?? [],
      v2: schemes?.v2?.signers ?? [],
      v3: schemes?.v3?.signers ?? [],
      v31: schemes?.v31?.signers ?? [],
      v4: schemes?.v4?.signers ?? [],
    },
    stamp,
    signerCertificates: verified ? signerCertificates : [],
    lineage: schemes?.lineage ?? [],
    issues: log.issues,
  };
}
