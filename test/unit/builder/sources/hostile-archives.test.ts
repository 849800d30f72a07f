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
  // A second is asked for; the machine may be busy with other tests.
  expect(performance.now() - started).toBeLessThan(10_000);
  return outcome;
}

/** Readers take these in more than one way, or need a password: what a build makes of them would be a guess. */
const NOT_FOR_A_TREE: Readonly<Record<string, RegExp>> = {
  'yauzl/success/sloppy-filenames.zip': /holds a backslash/,
  'yauzl/success/traditional-encryption_deprecated.zip': /is marked as encrypted/,
  'yauzl/success/unicode-path-extra-field.zip': /holds a control character/,
};

describe.skipIf(corpus === undefined)('hostile archives as sources', () => {
  test.each(verdictsOf('sig-tar-attacks'))('tar: %s', async (name, verdict) => {
    const outcome = await outcomeOf('sig-tar-attacks', name);
    const isAccepted = outcome === 'accepted';
    // Of the rest, an answer in time is all that is asked for.
    const wanted = { accept: true, reject: false }[verdict.expect] ?? isAccepted;
    expect([outcome, isAccepted]).toEqual([outcome, wanted]);
  });

  test.each(verdictsOf('sig-zip-attacks'))('zip: %s', async (name, verdict) => {
    // What is wrong with an archive that is not signed shows where a signature is asked for.
    const outcome = await outcomeOf('sig-zip-attacks', name, verdict.class === 'unsigned');
    const isAccepted = outcome === 'accepted';
    const why = NOT_FOR_A_TREE[name];
    const wanted = { accept: why === undefined, reject: false }[verdict.expect] ?? isAccepted;
    expect([outcome, isAccepted]).toEqual([outcome, wanted]);
    if (why !== undefined) expect(outcome).toMatch(why);
  });
});
