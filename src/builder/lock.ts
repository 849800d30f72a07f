/** Reading, checking and writing `microbuild.lock` beside a recipe. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ARCHITECTURES } from '../core/arch.ts';
import { UsageError } from '../core/errors.ts';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { formatLock, LOCK_FILE, parseLock, type Lock } from '../recipe/lockfile.ts';
import type { Recipe } from '../recipe/parse.ts';
import { kernelSourceOf } from '../recipe/schema.ts';
import { isLocalDeb } from './inputs.ts';
import { openPackageIndex, type AptContext } from './sources/apt.ts';

/** A pin that changed, for the report. */
export interface LockChange {
  readonly name: string;
  /** `package version`, or undefined when the name was not pinned before. */
  readonly before: string | undefined;
  /** Undefined when the recipe does not name it any more. */
  readonly after: string | undefined;
}

/** The packages that a recipe needs pinned, and how a name leads to a package. */
export function packagesOf(recipe: Recipe): { name: string; follow: 'kernel' | 'exact' }[] {
  const names = new Map<string, 'kernel' | 'exact'>();
  const kernel = kernelSourceOf(recipe.data);
  if ('deb' in kernel) names.set(kernel.deb, 'kernel');
  for (const source of recipe.data.partitions.system.contents) {
    if ('deb' in source && !isLocalDeb(source.deb) && !names.has(source.deb)) {
      names.set(source.deb, 'exact');
    }
  }
  return [...names].map(([name, follow]) => ({ name, follow }));
}

/** The lock beside a recipe, or undefined where there is none. */
export async function readLock(recipe: Recipe): Promise<Lock | undefined> {
  const file = join(recipe.directory, LOCK_FILE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return parseLock(text, file);
}

/** Whether a name is pinned to a package that the guest's architecture can use. */
function isPinned(lock: Lock | undefined, name: string, { data }: Recipe): boolean {
  const architecture = lock?.debs[name]?.architecture;
  return architecture === 'all' || architecture === ARCHITECTURES[data.arch].debian;
}

/**
 * The lock beside a recipe, which must pin every package that the recipe names.
 *
 * @throws {UsageError} `lock`, with the command that pins what is missing.
 */
export async function requireLock(recipe: Recipe): Promise<Lock> {
  const lock = await readLock(recipe);
  const missing = packagesOf(recipe).filter(({ name }) => !isPinned(lock, name, recipe));
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ');
    throw new UsageError(
      'lock',
      `microbuild.lock does not pin ${names} for ${ARCHITECTURES[recipe.data.arch].debian}`,
      {
        hint: `Pin it: microbuild lock ${recipe.directory}`,
      },
    );
  }
  return lock ?? { version: 1, debs: {} };
}

/**
 * Pins what is not pinned yet, and what `update` names.
 *
 * @param update Names to pin anew; `all` for every one.
 */
export async function updateLock(
  recipe: Recipe,
  update: readonly string[] | 'all',
  context: AptContext,
): Promise<{ file: string; lock: Lock; changes: LockChange[] }> {
  const wanted = packagesOf(recipe);
  const before = (await readLock(recipe)) ?? { version: 1, debs: {} };
  for (const name of update === 'all' ? [] : update) {
    if (!wanted.some((each) => each.name === name)) {
      throw new UsageError('lock', `The recipe names no package "${name}"`, {
        hint: `It names ${wanted.map((each) => each.name).join(', ')}`,
      });
    }
  }
  const stale = wanted.filter(
    ({ name }) => !isPinned(before, name, recipe) || update === 'all' || update.includes(name),
  );
  const debs = Object.fromEntries(
    wanted.flatMap(({ name }) => {
      const known = before.debs[name];
      return known === undefined ? [] : [[name, known]];
    }),
  );
  if (stale.length > 0) {
    const index = await openPackageIndex(ARCHITECTURES[recipe.data.arch].debian, context);
    for (const { name, follow } of stale) debs[name] = await index.resolve(name, follow);
  }
  const lock: Lock = { version: 1, debs };
  const file = join(recipe.directory, LOCK_FILE);
  const changes = changesBetween(before, lock);
  if (changes.length > 0) await writeFileAtomic(file, formatLock(lock));
  return { file, lock, changes };
}

function changesBetween(before: Lock, after: Lock): LockChange[] {
  const describe = (lock: Lock, name: string): string | undefined => {
    const deb = lock.debs[name];
    return deb === undefined ? undefined : `${deb.package} ${deb.version}`;
  };
  return [...new Set([...Object.keys(before.debs), ...Object.keys(after.debs)])]
    .sort((a, b) => (a < b ? -1 : 1))
    .filter((name) => before.debs[name]?.sha256 !== after.debs[name]?.sha256)
    .map((name) => ({ name, before: describe(before, name), after: describe(after, name) }));
}
