/** The job that a command line describes, in the form that is stored until its signatures come. */

import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { openFileSource, streamOf } from '../../io/byte-source.ts';
import { quoteForShell } from '../../signing/keys/bounded-file.ts';
import type { JobInput, SigningJobDescription } from '../../signing/two-phase/request.ts';
import { reasonOf } from '../../io/system-error.ts';

/** Commands whose second word is a command, too. */
const GROUPS: ReadonlySet<string> = new Set(['sign', 'keys', 'avb']);

/** Said anew with each run, as each run's output is somebody else's business. */
const OF_ONE_RUN: ReadonlySet<string> = new Set(['--json', '--quiet', '-q', '--verbose', '-v']);

/** Where requests are, and where it is written what happened: not part of what is signed. */
const OF_ONE_PHASE: ReadonlySet<string> = new Set(['--prepare', '--attach', '--audit-log']);

/** Options whose value says where a secret is, or is one in the wrong place. */
const leadsToSecret = (option: string): boolean => /pass|pin$|secret/i.test(option);

/** What says where a secret is; anything else may be one. */
const isPlaceOfSecret = (value: string): boolean =>
  /^(?:env:\w+|file:.+|stdin|prompt)$/s.test(value);

export interface CommandLine {
  readonly command: readonly string[];
  readonly arguments: readonly string[];
}

/** A command line without what is said anew with each run, and without secrets. */
export function describeCommandLine(argv: readonly string[]): CommandLine {
  const words: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at] ?? '';
    if (OF_ONE_RUN.has(word)) continue;
    const [option = '', joined] = word.startsWith('--') ? splitAtEquals(word) : [];
    if (OF_ONE_PHASE.has(option) || leadsToSecret(option)) {
      const value = joined ?? argv[++at] ?? '';
      if (leadsToSecret(option) && isPlaceOfSecret(value)) words.push(option, value);
      continue;
    }
    words.push(withoutPin(word));
  }
  const depth = GROUPS.has(words[0] ?? '') ? 2 : 1;
  return { command: words.slice(0, depth), arguments: words.slice(depth) };
}

function splitAtEquals(word: string): [string, string | undefined] {
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** A reference to a key of a token may hold its PIN (RFC 7512, `pin-value`). */
export const withoutPin = (text: string): string =>
  text.replaceAll(/([:?])pin-value=[^;?&]*[;&]?/g, '$1').replaceAll(/[;&]pin-value=[^;?&]*/g, '');

/** Everything that a job depends on. */
export async function describeJob(
  argv: readonly string[],
  inputs: readonly string[],
  signal: AbortSignal,
): Promise<SigningJobDescription> {
  const described: JobInput[] = [];
  for (const path of new Set(inputs)) described.push(...(await describeInput(path, signal)));
  return { ...describeCommandLine(argv), directory: process.cwd(), inputs: described };
}

/** A file, or all files of a folder, by their bytes. */
async function describeInput(path: string, signal: AbortSignal): Promise<JobInput[]> {
  signal.throwIfAborted();
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('input', `Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  });
  if (found.isDirectory()) {
    const all: JobInput[] = [];
    for (const name of (await readdir(path)).sort()) {
      all.push(...(await describeInput(join(path, name), signal)));
    }
    return all;
  }
  const source = await openFileSource(path);
  try {
    const hash = createHash('sha256');
    for await (const chunk of streamOf(source)) {
      signal.throwIfAborted();
      hash.update(chunk);
    }
    return [{ path, size: source.size, sha256: hash.digest('hex') }];
  } finally {
    await source.close();
  }
}

/** Nothing secret is needed to attach: whether it is named makes no other job. */
const withoutSecrets = (words: readonly string[]): string[] =>
  words.filter((word, at) => !leadsToSecret(word) && !leadsToSecret(words[at - 1] ?? ''));

/**
 * Checks that a job is the one that was prepared.
 *
 * @throws {UsageError} naming what differs.
 */
export function requireSameJob(prepared: SigningJobDescription, now: SigningJobDescription): void {
  const [before, given] = [prepared, now].map((job) =>
    [...job.command, ...withoutSecrets(job.arguments)].map(quoteForShell).join(' '),
  );
  if (before !== given) {
    throw new UsageError('usage', `Cannot attach to another job than was prepared: ${given}`, {
      hint: `It was prepared with ${before}; microbuild sign --attach DIR repeats that`,
    });
  }
  const inputs = new Map(now.inputs.map((each) => [each.path, each]));
  for (const { path, size, sha256 } of prepared.inputs) {
    const found = inputs.get(path);
    if (found?.sha256 === sha256 && found.size === size) continue;
    const what = found === undefined ? 'is not there any more' : 'was changed';
    throw new UsageError('input', `Cannot attach: input ${path} ${what} since it was prepared`, {
      hint: `Prepare the job again; it was prepared in ${prepared.directory}`,
    });
  }
  const known = new Set(prepared.inputs.map(({ path }) => path));
  const added = now.inputs.find(({ path }) => !known.has(path));
  if (added === undefined) return;
  throw new UsageError('input', `Cannot attach: input ${added.path} was not there when prepared`, {
    hint: 'Prepare the job again',
  });
}
