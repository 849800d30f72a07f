/** Archives that others made to deceive, as sources of a recipe: refused by name, and nothing is written but the cache. */

import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RecipeError } from '../../../../src/core/errors.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';
import { namesBelow, treeOf } from '../../../support/source-trees.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

interface Verdict {
  readonly expect: string;
  readonly class: string;
}

const verdictsOf = (family: string): [string, Verdict][] =>
  corpus === undefined
    ? []
    : Object.entries(
        (
          JSON.parse(readFileSync(corpusPath(family, 'manifest.json'), 'utf8')) as {
            files: Record<string, Verdict>;
          }
        ).files,
      ).filter(([name]) => existsSync(corpusPath(family, name)));

/** What the archives try to write. */
const OUTSIDE = [
  '/tmp/pwn',
  '/tmp/evil.txt',
  '/etc/cron.d/pwn',
  '/pwn',
  '/etc/pwn',
  '/xt',
  '/atxt',
];
/** More than the sources of a build may hold of any archive; some claim terabytes. In bytes. */
const MAX_MEMORY = 512 << 20;

/** What a recipe that names the file gets. */
async function outcomeOf(family: string, name: string, isApk = false): Promise<string> {
  const folder = tmpDir();
  const path = relative(folder, corpusPath(family, name));
  const kind = family.includes('tar') ? 'tar' : isApk || name.endsWith('.apk') ? 'apk' : 'zip';
  const started = performance.now();
  let outcome = 'accepted';
  try {
    await treeOf(folder, [{ [kind]: path, to: '/opt' }]);
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    expect(error.diagnostics[0]).toMatchObject({ line: 6 });
    outcome = error.message;
  }
  expect(namesBelow(folder)).toEqual([]);
  expect(OUTSIDE.filter((each) => existsSync(each))).toEqual([]);
  // A second is asked for; the machine may be busy with other tests.
  expect(performance.now() - started).toBeLessThan(10_000);
  return outcome;
}

/** What is wrong with the stream or the archive as a whole, before any entry of it could be read. */
const BEFORE_ENTRIES =
  /is no tar archive|stream is damaged or cut off: (?!.*entry)|end of central directory|end record|ZIP64|the first central directory record|one disk of several|archive comment|APK|signature|is not signed|META-INF/i;

/** Whoever made the archive finds the entry by its name. */
const NAMES_ENTRY = new RegExp(
  `(?:entry|of|in|after|a link|named?) ?"|/opt/|${BEFORE_ENTRIES.source}`,
  'iu',
);

/** Readers take these in more than one way, or need a password: what a build makes of them would be a guess. */
const NOT_FOR_A_TREE: Readonly<Record<string, RegExp>> = {
  'yauzl/success/sloppy-filenames.zip': /holds a backslash/,
  'yauzl/success/traditional-encryption_deprecated.zip': /is marked as encrypted/,
  'yauzl/success/unicode-path-extra-field.zip': /holds a control character/,
};

describe.skipIf(corpus === undefined)('hostile archives as sources', () => {
  const memoryBefore = process.resourceUsage().maxRSS * 1024;
  test.each(verdictsOf('sig-tar-attacks'))('tar: %s', async (name, verdict) => {
    const outcome = await outcomeOf('sig-tar-attacks', name);
    const isAccepted = outcome === 'accepted';
    // Of the rest, an answer in time is all that is asked for.
    const wanted = { accept: true, reject: false }[verdict.expect] ?? isAccepted;
    expect([outcome, isAccepted]).toEqual([outcome, wanted]);
    if (!isAccepted) expect(outcome).toMatch(NAMES_ENTRY);
  });

  test.each(verdictsOf('sig-zip-attacks'))('zip: %s', async (name, verdict) => {
    // What is wrong with an archive that is not signed shows where a signature is asked for.
    const outcome = await outcomeOf('sig-zip-attacks', name, verdict.class === 'unsigned');
    const isAccepted = outcome === 'accepted';
    if (!isAccepted) expect(outcome).toMatch(NAMES_ENTRY);
    const why = NOT_FOR_A_TREE[name];
    const wanted = { accept: why === undefined, reject: false }[verdict.expect] ?? isAccepted;
    expect([outcome, isAccepted]).toEqual([outcome, wanted]);
    if (why !== undefined) expect(outcome).toMatch(why);
  });

  test('take bounded memory, all of them', () => {
    expect(process.resourceUsage().maxRSS * 1024 - memoryBefore).toBeLessThan(MAX_MEMORY);
  });
});
