/** `META-INF/*.SF`: whether the manifest is what a signer signed, and which entries he lists. */

import { createHash } from 'node:crypto';
import { FormatError } from '../../../core/errors.ts';
import {
  findAttribute,
  MANIFEST_NAME,
  parseManifest,
  type Manifest,
  type ManifestSection,
} from '../../../formats/jar/manifest.ts';
import type { IssueLog } from '../verifier/issue.ts';
import { digestsToCompare, type ExpectedDigest, type SdkRange } from './digest-attributes.ts';

/** Android 7: the first release that knows v2, and asks for it where a signature file speaks of it. */
const SDK_V2 = 24;
/** Android 9: the first one that knows v3. */
const SDK_V3 = 28;

export interface SignedManifest {
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
  /** The manifest's sections by the names of their entries. */
  readonly sections: ReadonlyMap<string, ManifestSection>;
}

export interface SignatureFileContext extends SdkRange {
  /** Ids of the schemes of which a signature was found: 2, 3, ... */
  readonly foundSchemes: ReadonlySet<number>;
}

/** `ignored`: Android passes over this signer. */
export type SignatureFileVerdict =
  | { readonly kind: 'ignored' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'verified'; readonly entries: ReadonlySet<string> };

const IGNORED: SignatureFileVerdict = { kind: 'ignored' };
const REFUSED: SignatureFileVerdict = { kind: 'refused' };

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** Calls `differs` for each digest that the bytes do not have. */
function compareDigests(
  bytes: Uint8Array,
  digests: readonly ExpectedDigest[],
  differs: (found: { algorithm: string; expected: string; actual: string }) => void,
): void {
  for (const { hash, algorithm, digest } of digests) {
    const actual = createHash(hash).update(bytes).digest();
    if (actual.equals(digest)) continue;
    differs({ algorithm, expected: base64(digest), actual: base64(actual) });
  }
}

/** As Java trims and reads numbers: digits of every script count, of those that take one UTF-16 unit. */
const AROUND = /^[\0- ]+|[\0- ]+$/g;
const INTEGER = /^[+-]?(?:(?![\u{10000}-\u{10ffff}])\p{Nd})+$/u;
const DIGIT = /\p{Nd}/u;

/** Each script has its ten digits in a row. */
function digitValue(digit: string): string {
  const code = digit.charCodeAt(0);
  let value = 0;
  while (value < 9 && DIGIT.test(String.fromCharCode(code - value - 1))) value += 1;
  return String(value);
}

/** A comma-separated list, in which whatever is no 32-bit number says nothing. */
function schemeIds(text: string): readonly number[] {
  return text
    .split(',')
    .map((id) => id.replaceAll(AROUND, ''))
    .filter((id) => INTEGER.test(id))
    .map((id) => Number(id.replaceAll(/\p{Nd}/gu, digitValue)))
    .filter((id) => id === (id | 0));
}

/** Says when a scheme that the signature file promises is not there. */
function checkStripping(
  main: ManifestSection,
  file: string,
  { maxSdk, foundSchemes }: SignatureFileContext,
  log: IssueLog,
): void {
  const promised = findAttribute(main, 'X-Android-APK-Signed');
  if (promised === undefined) {
    if (foundSchemes.size > 0) log.warning('JAR_SIG_NO_APK_SIG_STRIP_PROTECTION', { file });
    return;
  }
  const known = maxSdk >= SDK_V3 ? [2, 3] : [2];
  for (const scheme of new Set(schemeIds(promised))) {
    if (!known.includes(scheme)) {
      log.warning('JAR_SIG_UNKNOWN_APK_SIG_SCHEME_ID', { file, scheme });
    } else if (!foundSchemes.has(scheme)) {
      log.error('JAR_SIG_MISSING_APK_SIG_REFERENCED', {
        file,
        scheme: `APK Signature Scheme v${scheme}`,
      });
    }
  }
}

/** Whether the digest of the whole manifest is there and right. */
function verifyWhole(
  main: ManifestSection,
  file: string,
  suffix: string,
  { bytes }: SignedManifest,
  range: SdkRange,
  log: IssueLog,
): boolean {
  const digests = digestsToCompare(main, suffix, range);
  if (digests.length === 0) {
    log.warning('JAR_SIG_NO_MANIFEST_DIGEST_IN_SIG_FILE', { file });
    return false;
  }
  let verified = true;
  compareDigests(bytes, digests, (found) => {
    // Only a warning: the sections may still have theirs.
    log.warning('JAR_SIG_ZIP_ENTRY_DIGEST_DID_NOT_VERIFY', {
      entry: MANIFEST_NAME,
      file,
      ...found,
    });
    verified = false;
  });
  return verified;
}

function verifySection(
  section: ManifestSection & { readonly name: string },
  signed: ManifestSection,
  file: string,
  bySigntool: boolean,
  { bytes }: SignedManifest,
  range: SdkRange,
  log: IssueLog,
): void {
  const digests = digestsToCompare(section, '-Digest', range);
  if (digests.length === 0) {
    log.error('JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_SIG_FILE', { entry: section.name, file });
    return;
  }
  let end = signed.offset + signed.size;
  // Mozilla's signtool does not count the empty line between sections.
  if (bySigntool && bytes[end - 1] === 0x0a && bytes[end - 2] === 0x0a) end -= 1;
  compareDigests(bytes.subarray(signed.offset, end), digests, (found) => {
    log.error('JAR_SIG_MANIFEST_SECTION_DIGEST_DID_NOT_VERIFY', {
      entry: section.name,
      file,
      ...found,
    });
  });
}

/** The parts of a signature file, in the order in which Android looks at them. */
function verifyParts(
  file: string,
  { main, sections }: Manifest,
  signed: SignedManifest,
  context: SignatureFileContext,
  log: IssueLog,
): SignatureFileVerdict {
  if (main === undefined || findAttribute(main, 'Signature-Version') === undefined) {
    log.error('JAR_SIG_MISSING_VERSION_ATTR_IN_SIG_FILE', { file });
    return main === undefined ? REFUSED : IGNORED;
  }
  if (context.maxSdk >= SDK_V2) checkStripping(main, file, context, log);
  if (log.has('error')) return REFUSED;

  const bySigntool = findAttribute(main, 'Created-By')?.includes('signtool') ?? false;
  const suffix = bySigntool ? '-Digest' : '-Digest-Manifest';
  const isWhole = verifyWhole(main, file, suffix, signed, context, log);
  if (!bySigntool) {
    const { offset = 0, size = 0 } = signed.manifest.main ?? {};
    const digests = digestsToCompare(main, '-Digest-Manifest-Main-Attributes', context);
    compareDigests(signed.bytes.subarray(offset, offset + size), digests, (found) => {
      log.error('JAR_SIG_MANIFEST_MAIN_SECTION_DIGEST_DID_NOT_VERIFY', { file, ...found });
    });
  }
  if (log.has('error')) return REFUSED;

  const entries = new Set<string>();
  let isIgnored = false;
  for (const [index, section] of sections.entries()) {
    const { name } = section;
    if (name === undefined) {
      log.error('JAR_SIG_UNNNAMED_SIG_FILE_SECTION', { file, number: index + 1 });
      return IGNORED;
    }
    if (entries.has(name)) {
      log.error('JAR_SIG_DUPLICATE_SIG_FILE_SECTION', { file, section: name });
      return IGNORED;
    }
    entries.add(name);
    if (isWhole) continue;
    const signedSection = signed.sections.get(name);
    if (signedSection === undefined) {
      log.error('JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_SIG_FILE', { entry: name, file });
      isIgnored = true;
      continue;
    }
    verifySection({ ...section, name }, signedSection, file, bySigntool, signed, context, log);
  }
  if (isIgnored) return IGNORED;
  return log.has('error') ? REFUSED : { kind: 'verified', entries };
}

/**
 * Verifies the manifest against a signature file whose own signature was verified.
 *
 * @param file Its entry name.
 * @param block The entry name of its signature block.
 * @param log Of this signer alone: errors in it count as his.
 */
export function verifySignatureFile(
  { file, block }: { readonly file: string; readonly block: string },
  bytes: Uint8Array,
  signed: SignedManifest,
  context: SignatureFileContext,
  log: IssueLog,
): SignatureFileVerdict {
  try {
    return verifyParts(file, parseManifest(bytes), signed, context, log);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.error('JAR_SIG_PARSE_EXCEPTION', { block, reason: error.message });
    return REFUSED;
  }
}
