/** Reading `microbuild.lock` beside a recipe, and what it pins for a build. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ARCHITECTURES } from '../core/arch.ts';
import { UsageError } from '../core/errors.ts';
import { emptyLock, parseLock, type Lock, type LockedDeb } from '../recipe/lockfile.ts';
import { LOCK_FILE } from '../recipe/names.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { Pin } from './fetch.ts';
import { isLocalImage } from './fetch/oci-reference.ts';
import { allWantsOf, wantsOf, type Want } from './lock/wants.ts';

/** The path of the lock file of a recipe, whether it is there or not. */
export const lockFile = (recipe: { readonly directory: string }): string =>
  join(recipe.directory, LOCK_FILE);

/** The text of the lock beside a recipe, or undefined where there is none. */
export async function readLockText(recipe: {
  readonly directory: string;
}): Promise<string | undefined> {
  try {
    return await readFile(lockFile(recipe), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** What was read last of a recipe: a run asks several times, and a lock may have half a megabyte. */
const parsed = new WeakMap<Recipe, { readonly text: string; readonly lock: Lock }>();

/** The lock beside a recipe, or undefined where there is none. */
export async function readLock(recipe: Recipe): Promise<Lock | undefined> {
  const text = await readLockText(recipe);
  if (text === undefined) return undefined;
  const known = parsed.get(recipe);
  if (known?.text === text) return known.lock;
  const lock = parseLock(text, lockFile(recipe));
  parsed.set(recipe, { text, lock });
  return lock;
}

/** Why a lock does not pin what a recipe wants; undefined when it does. */
export function whyNotPinned(lock: Lock, want: Want): string | undefined {
  switch (want.section) {
    case 'debs': {
      const deb = lock.debs[want.name];
      const wanted = ARCHITECTURES[want.recipe.data.arch].debian;
      if (deb === undefined) return 'is not pinned';
      if (deb.architecture !== 'all' && deb.architecture !== wanted) {
        return `is pinned for ${deb.architecture}, not for ${wanted}`;
      }
      if (!want.dependencies) return undefined;
      if (deb.dependencies === undefined) return 'is pinned without what it depends on';
      const absent = deb.dependencies.find((name) => lock.debs[name] === undefined);
      return absent === undefined ? undefined : `depends on ${absent}, which is not pinned`;
    }
    case 'oci': {
      const image = lock.oci[want.name];
      if (image === undefined) return 'is not pinned';
      return image.platform === want.platform
        ? undefined
        : `is pinned for ${image.platform}, not for ${want.platform}`;
    }
    case 'archives':
    case 'files':
    case 'git':
      return lock[want.section][want.name] === undefined ? 'is not pinned' : undefined;
  }
}

/** What of a recipe a build cannot do without: files of the recipe itself need no pin to be found. */
export const isRequired = (want: Want): boolean =>
  want.section !== 'files' && !(want.section === 'oci' && isLocalImage(want.reference));

/**
 * The lock beside a recipe, which must pin everything that does not come with the recipe.
 *
 * @throws {UsageError} `lock`, with the command that pins what is missing.
 */
export async function requireLock(recipe: Recipe): Promise<Lock> {
  const lock = (await readLock(recipe)) ?? emptyLock;
  const missing = wantsOf(recipe).flatMap((want) => {
    const why = isRequired(want) ? whyNotPinned(lock, want) : undefined;
    return why === undefined ? [] : [`${want.name} ${why}`];
  });
  if (missing.length > 0) {
    throw new UsageError('lock', `microbuild.lock does not fit the recipe: ${missing.join('; ')}`, {
      hint: `Pin it: microbuild lock ${recipe.directory}`,
    });
  }
  return lock;
}

/**
 * The packages of a source `{ deb: NAME, dependencies: ... }`: itself, then what its closure adds, by name.
 *
 * @throws {UsageError} `lock` when one is not pinned.
 */
export function debsOf(lock: Lock, name: string, dependencies: boolean): LockedDeb[] {
  const entry = (each: string): LockedDeb => {
    const deb = lock.debs[each];
    if (deb === undefined) throw new UsageError('lock', `microbuild.lock does not pin ${each}`);
    return deb;
  };
  const first = entry(name);
  return [first, ...(dependencies ? (first.dependencies ?? []).map(entry) : [])];
}

/** A blob of the lock, and the command that pins it anew. */
export interface NamedPin {
  readonly pin: Pin;
  readonly update: string;
}

/** The packages of the lock that go into what a recipe builds with the profiles that are chosen, each once. */
export function debsUsed(recipe: Recipe, lock: Lock): LockedDeb[] {
  const debs = wantsOf(recipe).flatMap((want) =>
    want.section === 'debs' ? debsOf(lock, want.name, want.dependencies) : [],
  );
  return [...new Map(debs.map((deb) => [deb.sha256, deb])).values()];
}

/** The blobs that a recipe needs of its lock, each once. Files of the recipe are none. */
export const pinsOf = (recipe: Recipe, lock: Lock): NamedPin[] =>
  pinsOfWants(recipe, wantsOf(recipe), lock);

/** The same of all its profiles, as far as the lock pins them. */
export const allPinsOf = (recipe: Recipe, lock: Lock): NamedPin[] =>
  pinsOfWants(
    recipe,
    allWantsOf(recipe).wants.filter((want) => whyNotPinned(lock, want) === undefined),
    lock,
  );

function pinsOfWants(recipe: Recipe, wants: readonly Want[], lock: Lock): NamedPin[] {
  return wants.flatMap((want): NamedPin[] => {
    const update = `microbuild lock ${recipe.directory} --update ${want.name}`;
    switch (want.section) {
      case 'debs':
        return debsOf(lock, want.name, want.dependencies).map((deb) => ({
          pin: { kind: 'deb', deb },
          update,
        }));
      case 'archives': {
        const file = lock.archives[want.name];
        return file === undefined
          ? []
          : [{ pin: { kind: 'archive', url: want.name, ...file }, update }];
      }
      case 'oci': {
        const image = lock.oci[want.name];
        if (image === undefined || isLocalImage(want.reference)) return [];
        const { reference } = want;
        return [
          { pin: { kind: 'oci', reference, part: 'manifest', descriptor: image.manifest }, update },
          ...[image.config, ...image.layers].map((descriptor): NamedPin => ({
            pin: { kind: 'oci', reference, part: 'blob', descriptor },
            update,
          })),
        ];
      }
      case 'git': {
        const commit = lock.git[want.name];
        const { git, ref } = want;
        return commit === undefined ? [] : [{ pin: { kind: 'git', git, ref, ...commit }, update }];
      }
      case 'files':
        return [];
    }
  });
}
