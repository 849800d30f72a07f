/**
 * The shared test data: verdicts on files that other people made.
 *
 * It is read in place and never copied. A test that needs it uses `describe.skipIf(!corpus)`, so
 * that the summary counts what was not run.
 */

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(process.env['MICROBUILD_CORPUS'] ?? '../shared/corpus');

/** The folder of the shared data, or undefined where there is none (said once on stderr). */
export const corpus: string | undefined = existsSync(root) ? root : undefined;

if (corpus === undefined) {
  process.stderr.write(`corpus: ${root} is absent, its tests are skipped (MICROBUILD_CORPUS)\n`);
}

/** A file of the corpus; only to be called where `corpus` is defined. */
export const corpusPath = (...parts: string[]): string => resolve(root, ...parts);
