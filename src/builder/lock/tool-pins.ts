/** Whether a build uses the tools that its lock was made with, and the files that it pins. */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFile } from '../../cache/store.ts';
import { UsageError } from '../../core/errors.ts';
import type { Reporter } from '../../core/events.ts';
import type { Lock, LockedTools } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { digestGuest, findGuest } from '../guest.ts';
import { inputPath } from '../inputs.ts';
import { whyNotPinned } from '../lock.ts';
import { wantsOf } from './wants.ts';

/** The version in microbuild's package.json. */
async function microbuildVersion(packageRoot: string): Promise<string> {
  const text = await readFile(join(packageRoot, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * The tools of this machine, as a lock pins them.
 *
 * @throws {EnvironmentError} when the guest was not built.
 */
export async function presentTools(
  packageRoot: string,
  { data }: Recipe,
  env: NodeJS.ProcessEnv,
): Promise<LockedTools> {
  const guest = await findGuest(packageRoot, data, env);
  return {
    microbuild: await microbuildVersion(packageRoot),
    guest: await digestGuest(guest),
  };
}

export interface PinCheck {
  /** Whether a difference is an error; else it is a warning. */
  readonly locked: boolean;
  /** What this build uses; only asked where the lock pins tools. */
  readonly tools: () => Promise<LockedTools>;
  readonly reporter: Reporter;
}

/** What a lock says otherwise than what is there. */
export interface PinDifference {
  readonly name: string;
  readonly message: string;
}

/**
 * Compares the tools and the files of the recipe with their pins.
 *
 * @throws {UsageError} `lock` with `locked`, naming all that differs or is not pinned.
 */
export async function checkPins(recipe: Recipe, lock: Lock, check: PinCheck): Promise<void> {
  const differences = [
    ...toolDifferences(lock, lock.tools === undefined ? undefined : await check.tools()),
    ...(await fileDifferences(recipe, lock)),
    ...(check.locked ? unpinnedFiles(recipe, lock) : []),
  ];
  if (differences.length === 0) return;
  const names = [...new Set(differences.map(({ name }) => name))];
  const hint = `Pin what is there now: microbuild lock ${recipe.directory} --update ${names.join(' ')}`;
  if (check.locked) {
    const all = differences.map(({ message }) => message).join('; ');
    throw new UsageError('lock', `microbuild.lock does not fit: ${all}`, { hint });
  }
  for (const { message } of differences) check.reporter.report({ kind: 'warning', message, hint });
}

export function toolDifferences(lock: Lock, tools: LockedTools | undefined): PinDifference[] {
  const pinned = lock.tools;
  if (pinned === undefined || tools === undefined) return [];
  const differences: PinDifference[] = [];
  const add = (message: string): void => void differences.push({ name: 'tools', message });
  if (pinned.microbuild !== tools.microbuild) {
    add(`microbuild.lock is for microbuild ${pinned.microbuild}, this is ${tools.microbuild}`);
  }
  if (pinned.guest !== tools.guest) {
    add(`microbuild.lock pins the guest ${pinned.guest}, this one is ${tools.guest}`);
  }
  return differences;
}

/** Files of the recipe that are not what the lock pins. Those that are not there are told elsewhere. */
export async function fileDifferences(recipe: Recipe, lock: Lock): Promise<PinDifference[]> {
  const differences: PinDifference[] = [];
  for (const want of wantsOf(recipe)) {
    const pinned = want.section === 'files' ? lock.files[want.name] : undefined;
    if (pinned === undefined) continue;
    const path = inputPath(recipe, want.name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) continue;
    const { sha256 } = await digestFile(path);
    if (sha256 === pinned.sha256) continue;
    differences.push({
      name: want.name,
      message: `${want.name} has the digest ${sha256}, microbuild.lock pins ${pinned.sha256}`,
    });
  }
  return differences;
}

const unpinnedFiles = (recipe: Recipe, lock: Lock): PinDifference[] =>
  wantsOf(recipe).flatMap((want) => {
    const why = want.section === 'files' ? whyNotPinned(lock, want, recipe) : undefined;
    return why === undefined ? [] : [{ name: want.name, message: `${want.name} ${why}` }];
  });
