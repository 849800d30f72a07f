/** The entries of an APK against its manifest: what is not listed, not signed, or changed. */

import { createHash } from 'node:crypto';
import { FormatError } from '../../../core/errors.ts';
import { MANIFEST_NAME, type ManifestSection } from '../../../formats/jar/manifest.ts';
import type { ZipEntry } from '../../../formats/zip/read.ts';
import type { ApkView } from '../verifier/apk-view.ts';
import type { IssueLog } from '../verifier/issue.ts';
import { digestsToCompare, type ExpectedDigest, type SdkRange } from './digest-attributes.ts';
import { streamEntry } from './entry-stream.ts';
import { mustBeSigned } from './names.ts';
import type { SignedManifest } from './signature-file.ts';

/** One whose signature file was verified. */
export interface EntrySigner {
  readonly name: string;
  /** What the signature file lists. */
  readonly entries: ReadonlySet<string>;
}

async function compareEntry(
  apk: ApkView,
  entry: ZipEntry,
  expected: readonly ExpectedDigest[],
  log: IssueLog,
): Promise<void> {
  const hashes = expected.map(({ hash }) => createHash(hash));
  for await (const chunk of streamEntry(apk, entry)) {
    for (const hash of hashes) hash.update(chunk);
  }
  for (const [index, { algorithm, digest }] of expected.entries()) {
    const actual = hashes[index]?.digest() ?? Buffer.alloc(0);
    if (actual.equals(digest)) continue;
    log.error('JAR_SIG_ZIP_ENTRY_DIGEST_DID_NOT_VERIFY', {
      entry: entry.name,
      algorithm,
      file: MANIFEST_NAME,
      expected: Buffer.from(digest).toString('base64'),
      actual: actual.toString('base64'),
    });
  }
}

/** Digests of an entry; one that cannot be read is none that matches. */
function expectedDigests(section: ManifestSection, range: SdkRange): readonly ExpectedDigest[] {
  try {
    return digestsToCompare(section, '-Digest', range);
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

const namesOf = (signers: readonly EntrySigner[]): string =>
  signers.map(({ name }) => name).join(', ');

/**
 * Verifies all entries that Android wants to be signed: their digests, and that they are all signed by
 * the same signers.
 *
 * @returns Those signers; none when no entry is signed.
 * @throws {FormatError} when an entry cannot be read.
 */
export async function verifyEntries<S extends EntrySigner>(
  apk: ApkView,
  entries: readonly ZipEntry[],
  { sections }: SignedManifest,
  signers: readonly S[],
  range: SdkRange,
  log: IssueLog,
): Promise<readonly S[]> {
  let first: { readonly entry: string; readonly signers: readonly S[] } | undefined;
  const inFileOrder = entries.toSorted((a, b) => a.localHeaderOffset - b.localHeaderOffset);
  for (const entry of inFileOrder) {
    const { name } = entry;
    if (!mustBeSigned(name)) continue;
    const section = sections.get(name);
    if (section === undefined) {
      log.error('JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_MANIFEST', { entry: name });
      continue;
    }
    const by = signers.filter((signer) => signer.entries.has(name));
    if (by.length === 0) {
      log.error('JAR_SIG_ZIP_ENTRY_NOT_SIGNED', { entry: name });
      continue;
    }
    first ??= { entry: name, signers: by };
    if (namesOf(first.signers) !== namesOf(by)) {
      log.error('JAR_SIG_ZIP_ENTRY_SIGNERS_MISMATCH', {
        entry: first.entry,
        signers: namesOf(first.signers),
        otherEntry: name,
        otherSigners: namesOf(by),
      });
      continue;
    }
    const expected = expectedDigests(section, range);
    if (expected.length === 0) {
      log.error('JAR_SIG_NO_ZIP_ENTRY_DIGEST_IN_MANIFEST', { entry: name });
      continue;
    }
    await compareEntry(apk, entry, expected, log);
  }
  if (first === undefined) log.error('JAR_SIG_NO_SIGNED_ZIP_ENTRIES');
  return first?.signers ?? [];
}
