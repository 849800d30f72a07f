/** All files and folders whose change could change a build, for its stamp. */

import { readdirSync, realpathSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { payloadCompiler } from '../core/arch.ts';
import { parseKeyReference, resolveKeyReference } from '../signing/keys/reference.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { Lock } from '../recipe/lockfile.ts';
import { guestPaths, type GuestFiles } from './guest.ts';
import { lockFile } from './lock.ts';
import { programFolders } from './program-folders.ts';
import { payloadsOf } from './payloads.ts';
import { recipeInputs } from './recipe-inputs.ts';

export interface WatchedBuild {
  readonly recipe: Recipe;
  readonly lock: Lock;
  readonly guest: GuestFiles;
  /** The keys that sign, by reference, and files that belong to them. */
  readonly keys: readonly string[];
  readonly packageRoot: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * @returns absolute paths of what is there and what is looked for; undefined when the build depends on what is no file, such
 *   as a key in a token.
 */
export async function watchedPaths(build: WatchedBuild): Promise<readonly string[] | undefined> {
  const { recipe, lock, guest, packageRoot, env } = build;
  const paths = new Set<string>([
    ...recipe.files.map(({ path }) => join(recipe.directory, path)),
    lockFile(recipe),
    ...guestPaths(guest),
    guest.crateList,
    join(packageRoot, 'package.json'),
  ]);
  for (const reference of build.keys) {
    const key = parseKeyReference(resolveKeyReference(reference, recipe.directory));
    if (key.kind === 'pkcs11' || key.kind === 'helper') return undefined;
    paths.add(resolve(key.path));
  }
  for (const { path, kind } of recipeInputs(recipe, lock)) {
    if (path === undefined) continue;
    paths.add(path);
    // A build command gets what links lead to; a partition gets the links.
    addBelow(path, paths, kind === 'build' ? new Set() : undefined);
  }
  for (const { data } of payloadsOf(recipe)) {
    if (data.build === undefined) continue;
    const compiler = payloadCompiler(recipe.data.arch, recipe.data.runtime);
    for (const program of [data.build.command[0] ?? '', compiler?.split(' ', 1)[0] ?? '']) {
      for (const path of await placesOf(program, packageRoot, env)) paths.add(path);
    }
    for (const folder of [guest.includeFolder, guest.libraryFolder]) {
      paths.add(folder);
      addBelow(folder, paths);
    }
  }
  return [...paths];
}

/**
 * Where a program is looked for, as far as there are such folders: which of them there are is among the facts of a stamp, as a
 * folder that is not there can only be watched by those above it.
 */
async function placesOf(
  program: string,
  packageRoot: string,
  env: NodeJS.ProcessEnv,
): Promise<string[]> {
  if (program === '') return [];
  if (isAbsolute(program)) return [program];
  if (program.includes('/')) return [];
  const folders = [join(packageRoot, '.tools', 'bin'), ...(await programFolders(env))];
  return folders.map((folder) => join(folder, program));
}

/**
 * Adds everything below a folder; nothing below what is none. At once, as nothing else is done meanwhile.
 *
 * @param followed Folders in which it has been, where links are followed: they may lead back.
 */
function addBelow(path: string, paths: Set<string>, followed?: Set<string>): void {
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTDIR' || code === 'ENOENT') return;
    throw error;
  }
  for (const entry of entries) {
    const below = `${path}/${entry.name}`;
    paths.add(below);
    if (entry.isDirectory()) addBelow(below, paths, followed);
    if (followed === undefined || !entry.isSymbolicLink()) continue;
    const end = linksEnd(below);
    if (end === undefined || followed.has(end)) continue;
    followed.add(end);
    addBelow(end, paths, followed);
  }
}

/** Undefined where a link leads to nothing. */
function linksEnd(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
