/**
 * The recorded runs of AOSP's avbtool 1.3.0, replayed through our functions: the same arguments must give
 * the same bytes, the same text and the same success or failure.
 */

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { MicrobuildError } from '../../src/core/errors.ts';
import { corpus } from '../support/corpus.ts';
import {
  Arguments,
  goldenCases,
  goldenInput,
  type GoldenCase,
  type GoldenOutput,
  type GoldenStep,
} from './support/avb-cases.ts';
import { squeeze } from './support/avb-info.ts';
import { verbs, type Files } from './support/avb-verbs.ts';

const SPARSE_MAGIC = '3aff26ed';

/** Options whose work is not built here; a case that needs one is skipped by name. */
const MISSING_OPTIONS: readonly string[] = [
  'calc_max_image_size',
  'calculate_max_image_size',
  'fec_num_roots',
  'generate_fec',
  'no_hashtree',
  'prop_from_file',
  'setup_as_rootfs_from_kernel',
  'setup_rootfs_from_kernel',
  'signing_helper',
  'signing_helper_with_files',
  'accept_zeroed_hashtree',
  'cert',
  'output_pubkey',
];

function reasonToSkip(golden: GoldenCase): string | undefined {
  for (const input of Object.values(golden.inputs)) {
    if (Buffer.from(goldenInput(input).subarray(0, 4)).toString('hex') === SPARSE_MAGIC) {
      return 'Android sparse images';
    }
  }
  for (const { argv } of golden.steps) {
    const args = new Arguments(argv);
    if (verbs[args.verb] === undefined) return `verb ${args.verb}`;
    const missing = MISSING_OPTIONS.find((option) => args.has(option));
    if (missing !== undefined) return `option --${missing}`;
    if (args.verb === 'add_hashtree_footer' && !args.has('do_not_generate_fec')) {
      return 'FEC by the external program fec';
    }
    if (args.one('hash_algorithm')?.startsWith('blake2b') === true) return 'blake2b-256 hash trees';
  }
  return undefined;
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Keys extracted by one case are used by later ones. */
const shared: Files = new Map();

interface Outcome {
  readonly printed?: string;
  readonly error?: unknown;
}

async function attempt(args: Arguments, files: Files): Promise<Outcome> {
  const run = verbs[args.verb];
  if (run === undefined) throw new Error(`No verb ${args.verb}`);
  try {
    return { printed: await run(args, files) };
  } catch (error) {
    return { error };
  }
}

/** What we throw on purpose; anything else would be a crash. */
const isRefusal = (error: unknown): boolean =>
  error instanceof MicrobuildError ||
  error instanceof RangeError ||
  (error instanceof Error && error.message.startsWith('No file'));

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'success');

/** How one step of ours differs from avbtool's, in words. */
async function differenceOf(step: GoldenStep, files: Files, damaged: boolean): Promise<string[]> {
  const args = new Arguments(step.argv);
  const label = step.argv.join(' ');
  const { printed = '', error } = await attempt(args, files);
  if (step.rc !== 0)
    return isRefusal(error) ? [] : [`${label}: must be refused, got ${messageOf(error)}`];
  // avbtool prints damaged images that it then refuses to verify; our decoder may refuse them before.
  if (damaged && args.verb === 'info_image' && isRefusal(error)) return [];
  if (error !== undefined) return [`${label}: ${messageOf(error)}`];
  const unused = args.unused().filter((name) => !(printed !== '' && name === 'output'));
  if (unused.length > 0) return [`${label}: options not looked at: ${unused.join(' ')}`];
  // The text of verify_image is avbtool's own; that it succeeds is what counts.
  if (args.verb === 'verify_image' || squeeze(printed) === squeeze(step.stdout)) return [];
  return [`${label}: printed ${printed} instead of ${step.stdout}`];
}

function outputOf(bytes: Uint8Array | undefined, like: GoldenOutput): Record<string, unknown> {
  if (bytes === undefined) return {};
  const { vbmeta_offset: offset, vbmeta_size: size } = like;
  if (offset === undefined || size === undefined) {
    return { size: bytes.length, sha256: sha256(bytes) };
  }
  return {
    size: bytes.length,
    sha256: sha256(bytes),
    vbmeta_sha256: sha256(bytes.subarray(offset, offset + size)),
    footer_hex: Buffer.from(bytes.subarray(-64)).toString('hex'),
  };
}

async function replay(golden: GoldenCase): Promise<{ files: Files; differences: string[] }> {
  const files: Files = new Map(shared);
  for (const [name, input] of Object.entries(golden.inputs)) files.set(name, goldenInput(input));
  const damaged = golden.steps.some(({ argv, rc }) => argv[0] === 'verify_image' && rc !== 0);
  const differences: string[] = [];
  for (const step of golden.steps) differences.push(...(await differenceOf(step, files, damaged)));
  for (const [name, bytes] of files) if (name.startsWith('pk_')) shared.set(name, bytes);
  return { files, differences };
}

describe.skipIf(corpus === undefined)('avbtool 1.3.0 golden runs', () => {
  for (const golden of corpus === undefined ? [] : goldenCases()) {
    const reason = reasonToSkip(golden);
    const note = reason === undefined ? 'same bytes and text' : `not built: ${reason}`;
    test.skipIf(reason !== undefined)(`${golden.name}: ${note}`, async () => {
      const { files, differences } = await replay(golden);
      expect(differences).toEqual([]);
      for (const [name, output] of Object.entries(golden.outputs)) {
        expect(output).toMatchObject(outputOf(files.get(name), output));
        expect(files.get(name)).toHaveLength(output.size);
      }
    });
  }
});
