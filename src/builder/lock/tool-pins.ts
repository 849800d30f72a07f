/** Whether a build uses the tools that its lock was made with, and the files that it pins. */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFile } from '../../cache/store.ts';
import { FormatError, UsageError } from '../../core/errors.ts';
import type { Reporter } from '../../core/events.ts';
import type { Lock, LockedTools } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { FileDigests } from '../file-digests.ts';
import { digestGuest, findGuest } from '../guest.ts';
import { inputPath } from '../inputs.ts';
import { isLocalImage } from '../fetch/oci-reference.ts';
import { isRequired, whyNotPinned } from '../lock.ts';
import { resolveLocalImage } from './local-image.ts';
import { wantsOf, type Want } from './wants.ts';

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
  readonly files: FileDigests;
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
    ...(await fileDifferences(recipe, lock, (path) => check.files.digestOf(path))),
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

/** Files and layouts of the recipe that are not what the lock pins. Those that are not there are told elsewhere. */
export async function fileDifferences(
  recipe: Recipe,
  lock: Lock,
  digestOf: FileDigests['digestOf'] = digestFile,
): Promise<PinDifference[]> {
  const differences: PinDifference[] = [];
  for (const want of wantsOf(recipe)) {
    const digests = await digestsOf(recipe, lock, want, digestOf);
    if (digests === undefined || digests.present === digests.pinned) continue;
    differences.push({
      name: want.name,
      message: `${want.name} has the digest ${digests.present}, microbuild.lock pins ${digests.pinned}`,
    });
  }
  return differences;
}

/** The digests of what is pinned and of what is there, where both are beside the recipe. */
async function digestsOf(
  recipe: Recipe,
  lock: Lock,
  want: Want,
  digestOf: FileDigests['digestOf'],
): Promise<{ readonly pinned: string; readonly present: string } | undefined> {
  if (want.section === 'files') {
    const pinned = lock.files[want.name]?.sha256;
    const path = inputPath(recipe, want.name);
    const found = pinned === undefined ? undefined : await stat(path).catch(() => undefined);
    if (pinned === undefined || found?.isFile() !== true) return undefined;
    return { pinned, present: (await digestOf(path)).sha256 };
  }
  if (want.section !== 'oci' || !isLocalImage(want.reference)) return undefined;
  const pinned = lock.oci[want.name]?.manifest.digest;
  if (pinned === undefined) return undefined;
  const image = await resolveLocalImage(inputPath(recipe, want.reference), want.platform).catch(
    (error: unknown) => {
      if (error instanceof FormatError) return undefined;
      throw error;
    },
  );
  return image && { pinned, present: image.manifest.digest };
}

const unpinnedFiles = (recipe: Recipe, lock: Lock): PinDifference[] =>
  wantsOf(recipe).flatMap((want) => {
    const why = isRequired(want) ? undefined : whyNotPinned(lock, want);
    return why === undefined ? [] : [{ name: want.name, message: `${want.name} ${why}` }];
  });
