/**
 * Verifies JAR signatures (v1) as Android does on all releases of a range: manifest, signature blocks,
 * signature files, entries, in this order. Each step ends the verification if it found an error.
 */

import { FormatError } from '../../../core/errors.ts';
import {
  MANIFEST_NAME,
  META_INF,
  parseManifest,
  type ManifestSection,
} from '../../../formats/jar/manifest.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import type { ApkView } from '../verifier/apk-view.ts';
import { readEntryData } from '../verifier/entry-data.ts';
import { createIssueLog, type IssueLog, type IssueSeverity } from '../verifier/issue.ts';
import type { SdkRange } from './digest-attributes.ts';
import { verifySignatureBlock } from './signature-block.ts';
import {
  verifySignatureFile,
  type SignatureFileContext,
  type SignedManifest,
} from './signature-file.ts';
import { verifyEntries, type EntrySigner } from './signed-entries.ts';

/** Releases, both included, and the ids of the schemes of which a signature was found: 2, 3, ... */
export type VerifyJarOptions = SignatureFileContext;

export interface VerifiedJarSigner {
  /** Of its signature block: `CERT.RSA`. */
  readonly name: string;
  /** Entry names. */
  readonly signatureFile: string;
  readonly signatureBlock: string;
  /** As they are in the block: the signer's own first, then those that issued it. */
  readonly certificates: readonly Uint8Array[];
}

export interface VerifiedJar {
  /** Those who signed all entries: whose APK it is. Empty unless it is verified. */
  readonly signers: readonly VerifiedJarSigner[];
  /** Those whose signatures Android passes over. */
  readonly ignoredSigners: readonly VerifiedJarSigner[];
}

const NOT_VERIFIED: VerifiedJar = { signers: [], ignoredSigners: [] };
const MAX_SIGNERS = 10;
/** Far above what 65535 entries of usual names need. */
const MAX_META_FILE = 16 << 20;

/** One pair of a signature file and its block. */
interface Candidate {
  readonly name: string;
  readonly file: ZipEntry;
  readonly block: ZipEntry;
  /** Its own: whether it counts is known only later. */
  readonly log: IssueLog;
  /** Of the log that everybody reads. */
  readonly outer: IssueLog;
}

interface CheckedCandidate extends Candidate {
  readonly fileBytes: Uint8Array;
  readonly certificates: readonly Uint8Array[];
}

type JarSigner = CheckedCandidate & EntrySigner;

/** Hands the findings of a signer on; those of an ignored one refuse nothing. */
function report({ log, outer }: Candidate, worst: IssueSeverity): void {
  for (const { severity, name, parameters } of log.issues) {
    const level = worst === 'warning' && severity === 'error' ? 'warning' : severity;
    const add = outer[level] as (name: string, parameters: object) => void;
    add(name, parameters);
  }
}

const signerOf = ({ name, file, block, certificates }: CheckedCandidate): VerifiedJarSigner => ({
  name,
  signatureFile: file.name,
  signatureBlock: block.name,
  certificates,
});

/** Reads a file of META-INF, which is small: deflated, too. */
function readMetaFile(apk: ApkView, entry: ZipEntry): Promise<Uint8Array> {
  if (entry.compressedSize > MAX_META_FILE) {
    throw new FormatError(
      'apk',
      'too-large',
      `Cannot read entry ${entry.name}: it is ${entry.compressedSize} bytes, ${MAX_META_FILE} are allowed`,
      { offset: entry.localHeaderOffset, field: entry.name },
    );
  }
  return readEntryData(apk, entry, MAX_META_FILE);
}

/** What the signatures of an archive consist of. */
function findMetaFiles(entries: readonly ZipEntry[]): {
  readonly manifest: ZipEntry | undefined;
  readonly files: ReadonlyMap<string, ZipEntry>;
  readonly blocks: readonly ZipEntry[];
} {
  const inMeta = entries.filter(({ name }) => name.startsWith(META_INF));
  return {
    manifest: inMeta.find(({ name }) => name === MANIFEST_NAME),
    files: new Map(
      inMeta.flatMap((each) => (each.name.endsWith('.SF') ? [[each.name, each]] : [])),
    ),
    blocks: inMeta.filter(({ name }) => /\.(?:RSA|DSA|EC)$/.test(name)),
  };
}

function checkDuplicates(entries: readonly ZipEntry[], log: IssueLog): ReadonlySet<string> {
  const names = new Set<string>();
  const reported = new Set<string>();
  for (const { name } of entries) {
    if (names.has(name) && !reported.has(name)) {
      log.error('JAR_SIG_DUPLICATE_ZIP_ENTRY', { entry: name });
      reported.add(name);
    }
    names.add(name);
  }
  return names;
}

function checkManifest(
  bytes: Uint8Array,
  names: ReadonlySet<string>,
  log: IssueLog,
): SignedManifest {
  const manifest = parseManifest(bytes);
  const sections = new Map<string, ManifestSection>();
  for (const [index, section] of manifest.sections.entries()) {
    const { name } = section;
    if (name === undefined) {
      log.error('JAR_SIG_UNNNAMED_MANIFEST_SECTION', { number: index + 1 });
      continue;
    }
    if (sections.has(name)) {
      log.error('JAR_SIG_DUPLICATE_MANIFEST_SECTION', { section: name });
    } else if (!names.has(name)) {
      log.error('JAR_SIG_MISSING_ZIP_ENTRY_REFERENCED_IN_MANIFEST', { entry: name });
    }
    sections.set(name, section);
  }
  return { bytes, manifest, sections };
}

function findCandidates(
  { files, blocks }: ReturnType<typeof findMetaFiles>,
  log: IssueLog,
): readonly Candidate[] {
  const candidates: Candidate[] = [];
  for (const block of blocks) {
    const missing = `${block.name.slice(0, block.name.lastIndexOf('.'))}.SF`;
    const file = files.get(missing);
    if (file === undefined) {
      log.warning('JAR_SIG_MISSING_FILE', { found: block.name, missing });
      continue;
    }
    const name = block.name.slice(META_INF.length);
    const signer = { scheme: 'v1', index: candidates.length, name } as const;
    candidates.push({ name, file, block, log: createIssueLog(signer), outer: log.of(signer) });
  }
  return candidates;
}

async function checkBlock(
  apk: ApkView,
  candidate: Candidate,
  range: SdkRange,
): Promise<CheckedCandidate | undefined> {
  const { block, file, log } = candidate;
  const fileBytes = await readMetaFile(apk, file);
  const certificates = verifySignatureBlock(
    {
      block: block.name,
      file: file.name,
      blockBytes: await readMetaFile(apk, block),
      fileBytes,
    },
    range,
    log,
  );
  return certificates && { ...candidate, fileBytes, certificates };
}

/** The signers whose signature blocks hold, or undefined when one of them does not. */
async function verifyBlocks(
  apk: ApkView,
  candidates: readonly Candidate[],
  range: SdkRange,
): Promise<readonly CheckedCandidate[] | undefined> {
  const checked: CheckedCandidate[] = [];
  for (const candidate of candidates) {
    const result = await checkBlock(apk, candidate, range);
    if (result === undefined) report(candidate, 'error');
    else checked.push(result);
  }
  return checked.length === candidates.length ? checked : undefined;
}

/** The signers whose signature files hold and those to be passed over, or undefined after an error. */
function verifyFiles(
  candidates: readonly CheckedCandidate[],
  signed: SignedManifest,
  options: VerifyJarOptions,
):
  | { readonly signers: readonly JarSigner[]; readonly ignored: readonly CheckedCandidate[] }
  | undefined {
  const signers: JarSigner[] = [];
  const ignored: CheckedCandidate[] = [];
  let isRefused = false;
  for (const candidate of candidates) {
    const { file, block, fileBytes, log } = candidate;
    const names = { file: file.name, block: block.name };
    const verdict = verifySignatureFile(names, fileBytes, signed, options, log);
    if (verdict.kind === 'verified') {
      signers.push({ ...candidate, entries: verdict.entries });
    } else if (verdict.kind === 'ignored') {
      ignored.push(candidate);
      report(candidate, 'warning');
    } else {
      isRefused = true;
      report(candidate, 'error');
    }
  }
  return isRefused ? undefined : { signers, ignored };
}

function reportUnprotected(
  entries: readonly ZipEntry[],
  signers: readonly JarSigner[],
  log: IssueLog,
): void {
  const parts = new Set([
    MANIFEST_NAME,
    ...signers.flatMap((each) => [each.file.name, each.block.name]),
  ]);
  for (const { name } of entries) {
    if (name.startsWith(META_INF) && !name.endsWith('/') && !parts.has(name)) {
      log.warning('JAR_SIG_UNPROTECTED_ZIP_ENTRY', { entry: name });
    }
  }
}

/**
 * Verifies the JAR signatures of an APK.
 *
 * @param entries The files among its entries, in the order of the central directory.
 * @param log What was found. The APK is verified when there is no error in it.
 * @throws {FormatError} when an entry cannot be read, which is an APK that no release takes.
 */
export async function verifyJar(
  apk: ApkView,
  entries: readonly ZipEntry[],
  options: VerifyJarOptions,
  log: IssueLog,
): Promise<VerifiedJar> {
  const names = checkDuplicates(entries, log);
  if (log.has('error')) return NOT_VERIFIED;
  const meta = findMetaFiles(entries);
  if (meta.manifest === undefined) {
    log.error('JAR_SIG_NO_MANIFEST');
    return NOT_VERIFIED;
  }
  const manifestBytes = await readMetaFile(apk, meta.manifest);
  const signed = checkManifest(manifestBytes, names, log);
  if (log.has('error')) return NOT_VERIFIED;

  const candidates = findCandidates(meta, log);
  if (candidates.length === 0) {
    log.error('JAR_SIG_NO_SIGNATURES');
    return NOT_VERIFIED;
  }
  if (candidates.length > MAX_SIGNERS) {
    log.error('JAR_SIG_MAX_SIGNATURES_EXCEEDED', {
      maximum: MAX_SIGNERS,
      found: candidates.length,
    });
    return NOT_VERIFIED;
  }
  const checked = await verifyBlocks(apk, candidates, options);
  const found = checked && verifyFiles(checked, signed, options);
  if (found === undefined) return NOT_VERIFIED;
  if (found.signers.length === 0) {
    log.error('JAR_SIG_NO_SIGNATURES');
    return NOT_VERIFIED;
  }
  const signers = await verifyEntries(apk, entries, signed, found.signers, options, log);
  if (log.has('error')) return NOT_VERIFIED;

  reportUnprotected(entries, signers, log);
  for (const signer of found.signers) report(signer, 'warning');
  const others = found.signers.filter((signer) => !signers.includes(signer));
  return {
    signers: signers.map(signerOf),
    ignoredSigners: [...found.ignored, ...others].map(signerOf),
  };
}
