/** Copies all that a recipe is made of to another folder, so that it is built there. */

import { chmod, copyFile, lstat, mkdir, opendir, readlink, stat, symlink } from 'node:fs/promises';
import { constants } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { compareNames } from '../../io/file-tree.ts';
import { makeFolder } from '../../io/make-folder.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { Lock } from '../../recipe/lockfile.ts';
import { isLocalRepository } from '../fetch/git.ts';
import { lockFile } from '../lock.ts';
import { recipeInputs } from '../recipe-inputs.ts';

export interface CopyOptions {
  /** Whether the files of a folder are made in reverse order. */
  readonly reverse: boolean;
  /** Bits that no file keeps, as a checkout under this umask would not have them. */
  readonly umask: number;
}

/** All files and folders that a recipe names, and those that it consists of; absolute. */
export function recipePaths(recipe: Recipe, lock: Lock): string[] {
  const own = recipe.files.map(({ path }) => join(recipe.directory, path));
  const inputs = recipeInputs(recipe, lock).flatMap(({ path }) => path ?? []);
  const all = [...own, lockFile(recipe), ...inputs, ...repositories(recipe)];
  const paths = [...new Set(all)].sort(compareNames);
  // What is in a folder that is copied comes with it.
  return paths.filter((path) => !paths.some((other) => path.startsWith(`${other}/`)));
}

/** Folders of git that the recipe takes commits from. */
export const repositories = ({ data, directory }: Recipe): string[] =>
  Object.values(data.partitions).flatMap(({ contents }) =>
    contents.flatMap((source) =>
      'git' in source && isLocalRepository(source.git) ? [join(directory, source.git)] : [],
    ),
  );

/** The deepest folder that holds all of them. */
export function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0] ?? '/');
  while (!paths.every((path) => path.startsWith(folder === '/' ? '/' : `${folder}/`))) {
    folder = dirname(folder);
  }
  return folder;
}

/** @returns the path of the recipe in the copy. */
export async function copyRecipe(
  recipe: Recipe,
  lock: Lock,
  target: string,
  options: CopyOptions,
): Promise<string> {
  const paths = recipePaths(recipe, lock);
  const root = commonFolder([recipe.file, ...paths].map((path) => resolve(path)));
  const ordered = options.reverse ? paths.toReversed() : paths;
  for (const path of ordered) {
    const to = join(target, relative(root, path));
    await makeFolder(dirname(to));
    await copyAny(path, to, options);
  }
  return join(target, relative(root, resolve(recipe.file)));
}

/** Copies a file, a folder with all that is in it, or a link. Nothing where there is nothing. */
export async function copyAny(from: string, to: string, options: CopyOptions): Promise<void> {
  const found = await lstat(from).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  // That it is missing is told by the build.
  if (found === undefined) return;
  if (found.isSymbolicLink()) return copyLink(from, to);
  if (!found.isDirectory()) {
    if (!found.isFile()) {
      throw new UsageError(
        'input',
        `Cannot use ${from}: it is not a file, folder or symbolic link`,
      );
    }
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    await chmod(to, found.mode & 0o7777 & ~options.umask);
    return;
  }
  await mkdir(to, { recursive: true });
  const names: string[] = [];
  for await (const { name } of await opendir(from)) names.push(name);
  names.sort(compareNames);
  if (options.reverse) names.reverse();
  for (const name of names) await copyAny(join(from, name), join(to, name), options);
  await chmod(to, found.mode & 0o7777 & ~options.umask);
}

/** A link stays as it is; one that would lead to nothing from there leads to where it did. */
async function copyLink(from: string, to: string): Promise<void> {
  const target = await readlink(from);
  const there = resolve(dirname(to), target);
  const isKept = isAbsolute(target) || (await stat(there).catch(() => undefined)) !== undefined;
  const isNamed = !isKept && (await stat(from).catch(() => undefined)) !== undefined;
  await symlink(
    isNamed && basename(from) === basename(to) ? resolve(dirname(from), target) : target,
    to,
  );
}
