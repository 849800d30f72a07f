/**
 * The recorded runs of AOSP's avbtool 1.3.0, replayed through `microbuild avb`: the same arguments give
 * the same files, the same text on stdout, and success or failure where avbtool has it.
 *
 * Arguments differ in two defaults only: the release string and, for hash trees, sha1.
 */

import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { corpus } from '../support/corpus.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import {
  goldenCases,
  runStep,
  writeInputs,
  type GoldenCase,
  type GoldenOutput,
  type GoldenStep,
} from './support/avb-cases.ts';

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Our stdout ends with a newline; avbtool's does not after JSON and command lines. */
const withNewline = (text: string): string =>
  text === '' || text.endsWith('\n') ? text : `${text}\n`;

/** Exit codes of a refusal: failed, usage, verification, environment; anything else is a crash. */
const REFUSALS: readonly number[] = [1, 2, 3, 4];

/** How one step of ours differs from avbtool's, in words. */
async function differenceOf(
  step: GoldenStep,
  folder: string,
  shared: string,
  isDamaged: boolean,
): Promise<string[]> {
  const label = step.argv.join(' ');
  const { status, stdout, stderr } = await runStep(step.argv, folder, shared);
  if (step.rc !== 0) {
    const differences = REFUSALS.includes(status) ? [] : [`${label}: exit code ${status}`];
    // What was proved before the refusal is printed by both.
    if (step.argv[0] !== 'verify_image' || stdout === withNewline(step.stdout)) return differences;
    return [...differences, `${label}: printed ${stdout} instead of ${step.stdout}`];
  }
  // avbtool shows damaged images that it then refuses to verify; our decoder may refuse them before.
  if (isDamaged && step.argv[0] === 'info_image' && status === 1) return [];
  if (status !== 0) return [`${label}: exit code ${status}: ${stderr}`];
  if (stdout === withNewline(step.stdout)) return [];
  return [`${label}: printed ${stdout} instead of ${step.stdout}`];
}

function outputOf(bytes: Uint8Array, like: GoldenOutput): Record<string, unknown> {
  const { vbmeta_offset: offset, vbmeta_size: size } = like;
  const whole = { size: bytes.length, sha256: sha256(bytes) };
  if (offset === undefined || size === undefined) return whole;
  return {
    ...whole,
    vbmeta_sha256: sha256(bytes.subarray(offset, offset + size)),
    footer_hex: Buffer.from(bytes.subarray(-64)).toString('hex'),
  };
}

describe.skipIf(corpus === undefined)('avbtool 1.3.0 golden runs', () => {
  /** Keys extracted by one case are used by later ones. */
  let shared: string;
  beforeAll(() => {
    shared = mkdtempSync(join(tmpdir(), 'microbuild-avb-'));
  });
  afterAll(() => rmSync(shared, { recursive: true, force: true }));

  const replay = async (golden: GoldenCase, folder: string): Promise<string[]> => {
    writeInputs(golden, folder);
    const differences: string[] = [];
    // Images that were damaged on purpose are given as bytes.
    const isDamaged =
      Object.values(golden.inputs).some((input) => 'hex' in input) &&
      golden.steps.some(({ argv, rc }) => argv[0] === 'verify_image' && rc !== 0);
    for (const step of golden.steps) {
      differences.push(...(await differenceOf(step, folder, shared, isDamaged)));
    }
    for (const name of readdirSync(folder)) {
      if (name.startsWith('pk_')) copyFileSync(join(folder, name), join(shared, name));
    }
    return differences;
  };

  test.each(corpus === undefined ? [] : goldenCases())(
    '$name: same files and text',
    async (golden) => {
      const folder = tmpDir();
      expect(await replay(golden, folder)).toEqual([]);
      for (const [name, output] of Object.entries(golden.outputs)) {
        const bytes = new Uint8Array(readFileSync(join(folder, name)));
        expect(output).toMatchObject(outputOf(bytes, output));
      }
    },
  );
});
