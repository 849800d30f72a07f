/** JAR signatures of the corpus: Android's verdicts, by Android's names, for each range of releases. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/core/errors.ts';
import {
  APK_SIGNATURE_SCHEME_V2_BLOCK_ID,
  APK_SIGNATURE_SCHEME_V3_BLOCK_ID,
} from '../../src/formats/apk/signing-block.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { verifyJar, type VerifiedJar } from '../../src/signing/apk/jar/verify.ts';
import { openApk, readEntries, type ApkView } from '../../src/signing/apk/verifier/apk-view.ts';
import { readEntryData } from '../../src/signing/apk/verifier/entry-data.ts';
import { createIssueLog, type Issue } from '../../src/signing/apk/verifier/issue.ts';
import { readManifestFacts } from '../../src/signing/apk/verifier/manifest-facts.ts';
import { sha256, toHex } from '../../src/core/digest.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Check {
  readonly min_sdk: number | null;
  readonly max_sdk: number | null;
  readonly expect: 'verify' | 'reject';
  readonly issue: string | null;
}
interface CorpusFile {
  readonly checks: readonly Check[];
  readonly oracle_default: {
    readonly schemes: readonly string[];
    readonly cert_sha256: readonly string[];
  };
}

const files: Readonly<Record<string, CorpusFile>> =
  corpus === undefined
    ? {}
    : (
        JSON.parse(readFileSync(corpusPath('sig-apksig', 'manifest.json'), 'utf8')) as {
          files: Record<string, CorpusFile>;
        }
      ).files;

/** The first releases that know v2 and v3. */
const SCHEMES = [
  { scheme: 2, id: APK_SIGNATURE_SCHEME_V2_BLOCK_ID, sdk: 24 },
  { scheme: 3, id: APK_SIGNATURE_SCHEME_V3_BLOCK_ID, sdk: 28 },
];

const foundSchemes = ({ block }: ApkView, maxSdk: number): ReadonlySet<number> =>
  new Set(
    SCHEMES.filter(({ id, sdk }) => maxSdk >= sdk && block?.pair(id) !== undefined).map(
      ({ scheme }) => scheme,
    ),
  );

interface Verdict {
  readonly issues: readonly Issue[];
  readonly jar: VerifiedJar;
}

/** What the releases of a range make of v1; undefined where none of them looks at it. */
async function verdictOf(name: string, check: Check): Promise<Verdict | undefined> {
  const apk = await openApk(
    bytesSource(new Uint8Array(readFileSync(corpusPath('sig-apksig', 'apk', name)))),
  );
  const entries = await readEntries(apk);
  const maxSdk = check.max_sdk ?? 0x7fffffff;
  let minSdk = check.min_sdk;
  if (minSdk === null) {
    const manifest = entries.find((entry) => entry.name === 'AndroidManifest.xml');
    if (manifest === undefined) return undefined;
    minSdk = readManifestFacts(await readEntryData(apk, manifest, 1 << 20)).minSdk();
  }
  const found = foundSchemes(apk, maxSdk);
  if (minSdk >= 24 && found.size > 0) return undefined;
  const log = createIssueLog();
  const jar = await verifyJar(apk, entries, { minSdk, maxSdk, foundSchemes: found }, log);
  return { issues: log.issues, jar };
}

const errorsOf = ({ issues }: Verdict): readonly string[] =>
  issues.filter(({ severity }) => severity === 'error').map((issue) => issue.name);

const cases = Object.entries(files).flatMap(([name, file]) =>
  file.checks.map((check) => ({
    title: `${name} from ${check.min_sdk ?? 'its minimum'} to ${check.max_sdk ?? 'the last'}`,
    name,
    check,
    file,
  })),
);

describe.skipIf(corpus === undefined)('verifyJar() over the corpus', () => {
  const refused = cases.filter(({ check }) => check.issue?.startsWith('JAR_SIG_'));
  it.each(refused)('names what is wrong with $title', async ({ name, check }) => {
    const verdict = await verdictOf(name, check);
    expect(verdict && errorsOf(verdict)).toContain(check.issue);
    expect(verdict?.jar.signers).toEqual([]);
  });

  const verified = cases.filter(({ check }) => check.expect === 'verify');
  it.each(verified)('finds nothing wrong with $title', async ({ name, check, file }) => {
    let verdict: Verdict | undefined;
    try {
      verdict = await verdictOf(name, check);
    } catch (error) {
      expect(error).not.toBeInstanceOf(FormatError);
      throw error;
    }
    if (verdict === undefined) return;
    expect(verdict.issues.filter(({ severity }) => severity === 'error')).toEqual([]);
    const { schemes, cert_sha256: digests } = file.oracle_default;
    if (schemes.at(-1) !== 'v1') return;
    expect(
      verdict.jar.signers.map(({ certificates: [own] }) => toHex(sha256(own ?? new Uint8Array()))),
    ).toEqual(digests);
  });
});
