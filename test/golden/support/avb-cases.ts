/** Reads the recorded runs of avbtool 1.3.0 and plays them through `microbuild avb`, in a folder each. */

import { copyFileSync, chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { avbCommands } from '../../../src/cli/commands/avb/group.ts';
import { runCommandLine } from '../../../src/cli/command.ts';
import { corpusPath } from '../../support/corpus.ts';

export interface GoldenStep {
  readonly argv: readonly string[];
  readonly rc: number;
  readonly stdout: string;
}

export interface GoldenOutput {
  readonly size: number;
  readonly sha256: string;
  readonly footer_hex?: string;
  readonly original_size?: number;
  readonly vbmeta_offset?: number;
  readonly vbmeta_size?: number;
  readonly vbmeta_sha256?: string;
}

type GoldenInput =
  | { readonly gen: { readonly size: number; readonly start_byte: number } }
  | { readonly copy_of: string }
  | { readonly hex: string };

export interface GoldenCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, GoldenInput>>;
  readonly steps: readonly GoldenStep[];
  readonly outputs: Readonly<Record<string, GoldenOutput>>;
}

export function goldenCases(): GoldenCase[] {
  return JSON.parse(readFileSync(corpusPath('avb/golden/cases.json'), 'utf8')) as GoldenCase[];
}

export function goldenInput(input: GoldenInput): Uint8Array {
  if ('gen' in input) {
    const { size, start_byte: start } = input.gen;
    return Uint8Array.from({ length: size }, (_, index) => (start + index) & 0xff);
  }
  if ('hex' in input) return new Uint8Array(Buffer.from(input.hex, 'hex'));
  return new Uint8Array(readFileSync(corpusPath('avb', input.copy_of)));
}

/** Options whose value is a path, or ends with one behind the last of so many colons. */
const WHOLE_PATHS =
  'image output key vbmeta_image output_vbmeta_image output_pubkey include_descriptors_from_image ' +
  'setup_rootfs_from_kernel public_key_metadata misc_image subject subject_key authority_key ' +
  'root_authority_key product_id intermediate_key_certificate product_key_certificate ' +
  'unlock_key_certificate challenge unlock_key signing_helper signing_helper_with_files';

const PATHS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(WHOLE_PATHS.split(' ').map((name) => [name, 0])),
  prop_from_file: 1,
  chain_partition: 2,
  chain_partition_do_not_use_ab: 2,
  expected_chain_partition: 2,
};

/** Where a file of a case is: made by it, by an earlier case, or part of the collection. */
function locate(name: string, folder: string, shared: string): string {
  const own = join(folder, name);
  if (existsSync(own)) return own;
  if (existsSync(join(shared, name))) return join(shared, name);
  for (const place of ['avb', 'avb/keys']) {
    const path = corpusPath(place, name);
    if (!existsSync(path)) continue;
    if (!name.endsWith('.pem')) return path;
    // A private key that others may read is refused.
    copyFileSync(path, own);
    chmodSync(own, 0o600);
    return own;
  }
  return own;
}

/** avbtool's arguments with our paths, and with its defaults where ours differ. */
function ourArguments(argv: readonly string[], folder: string, shared: string): string[] {
  const [verb = '', ...rest] = argv;
  const args = rest.map((value, index) => {
    const option = (rest[index - 1] ?? '').replace(/^--/, '');
    const colons = rest[index - 1]?.startsWith('--') === true ? PATHS[option] : undefined;
    if (colons === undefined || value.startsWith('--')) return value;
    const parts = value.split(':');
    const path = parts.slice(colons).join(':');
    return [...parts.slice(0, colons), locate(path, folder, shared)].join(':');
  });
  const lacks = (name: string): boolean => !argv.includes(`--${name}`);
  const isSigning = ['make_vbmeta_image', 'add_hash_footer', 'add_hashtree_footer'].includes(verb);
  if (isSigning && lacks('internal_release_string')) {
    args.push('--internal_release_string', 'avbtool 1.3.0');
  }
  if (verb === 'add_hashtree_footer' && lacks('hash_algorithm')) {
    args.push('--hash_algorithm', 'sha1');
  }
  return ['avb', verb, ...args];
}

export interface OurRun {
  readonly status: number;
  /** Without the folder's own name in it. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one step as the command line does, in this process. */
export async function runStep(
  argv: readonly string[],
  folder: string,
  shared: string,
): Promise<OurRun> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(ourArguments(argv, folder, shared), [avbCommands], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: process.env,
    signal: new AbortController().signal,
    version: '0',
  });
  const plain = (text: string): string =>
    text.replaceAll(`${folder}/`, '').replaceAll(`${shared}/`, '');
  return { status, stdout: plain(stdout), stderr: plain(stderr) };
}

/** Puts a case's inputs into its folder. */
export function writeInputs(golden: GoldenCase, folder: string): void {
  for (const [name, input] of Object.entries(golden.inputs)) {
    writeFileSync(join(folder, name), goldenInput(input));
  }
}
