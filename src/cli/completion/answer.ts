/**
 * `microbuild __complete`, which the completion scripts call: `bash LINE`, or `words -- WORD...`, the last word being the one that
 * is typed.
 *
 * The answer is a line that says what else can stand there, `files`, `folders` or `words` for nothing else, a tab and the word that
 * is typed; then a line for each candidate: the word, a tab, what it means.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listInstances, statePath } from '../../runner/instance/folder.ts';
import { listVms, registryPath } from '../../runner/registry.ts';
import { readCompletionSpec } from '../made-pages.ts';
import { complete, type Candidate } from './complete.ts';
import { liveSpec } from './live-spec.ts';
import type { LiveSource } from './spec.ts';
import { splitLine } from './split-line.ts';

/** @param argv Behind `__complete`. @returns the answer; nothing is ever wrong, there are only no candidates. */
export async function answerCompletion(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const [way, ...given] = argv;
  const words = way === 'bash' ? splitLine(given[0] ?? '').slice(1) : given.slice(1);
  const current = words.at(-1) ?? '';
  const spec = readCompletionSpec() ?? (await liveSpec());
  const { candidates, from, prefix, places } = complete(spec, words.slice(0, -1), current);
  const found = await namesFrom(from, places, env).catch(() => []);
  const live = found
    .map((name) => ({ word: `${prefix}${name}`, summary: '' }))
    .filter(({ word }) => word.startsWith(current));
  const kind = from === 'files' || from === 'folders' ? from : 'words';
  return [`${kind}\t${current}`, ...[...candidates, ...live].map(lineOf)].join('\n');
}

const lineOf = ({ word, summary }: Candidate): string =>
  `${word}\t${summary.replaceAll(/\s+/g, ' ')}`;

/** @param places What stands in front, such as the recipe whose profiles are asked for. */
async function namesFrom(
  from: LiveSource | undefined,
  places: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<readonly string[]> {
  switch (from) {
    case 'machines':
    case 'running-machines': {
      const machines = await listVms(registryPath(env));
      return machines
        .filter(({ running }) => from === 'machines' || running)
        .map(({ name }) => name);
    }
    case 'instances':
      return (await listInstances(statePath(env))).map(({ name }) => name);
    case 'profiles':
      return profilesOf(places[0] ?? '.');
    case 'payloads':
      return payloadsOf(places[0] ?? '');
    case 'files':
    case 'folders':
    case undefined:
      return [];
  }
}

async function profilesOf(recipe: string): Promise<readonly string[]> {
  const { readDraft } = await import('../../recipe/parse.ts');
  const { recipe: found } = await readDraft(recipe);
  const names = [found, ...(found?.alternatives() ?? [])].flatMap((each) => each?.profiles ?? []);
  return [...new Set(names)].toSorted();
}

/** Those of a bundle that is a folder. */
async function payloadsOf(bundle: string): Promise<readonly string[]> {
  const manifest: unknown = JSON.parse(await readFile(join(bundle, 'manifest.json'), 'utf8'));
  const { payloads } = manifest as { readonly payloads?: object };
  return Object.keys(payloads ?? {});
}
