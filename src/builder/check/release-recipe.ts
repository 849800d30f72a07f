/**
 * The recipe of a release, as its build record has it, put together again in a folder of its own: the texts of all its
 * files, its lock, and the files that it names from the folder of somebody who has them.
 *
 * The record is somebody else's. No path of it leads out of the folder, and no file goes in that the release does not
 * have already, unless the user's own recipe names it.
 */

import { createHash } from 'node:crypto';
import { lstat, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, normalize, relative } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { BuildInput, BuildRecord } from '../../bundle/build-record.ts';
import type { Cache } from '../../cache/store.ts';
import { FormatError, UsageError } from '../../core/errors.ts';
import { makeFolder } from '../../io/make-folder.ts';
import { emptyLock, parseLock, type Lock } from '../../recipe/lockfile.ts';
import { LOCK_FILE } from '../../recipe/names.ts';
import { readRecipe, type Recipe, type RecipeChoices } from '../../recipe/parse.ts';
import { openFileDigests } from '../file-digests.ts';
import { digestInputs } from '../input-digests.ts';
import { readLock } from '../lock.ts';
import { payloadsOf } from '../payloads.ts';
import { recipeInputs } from '../recipe-inputs.ts';
import { formatRecipePath } from '../recipe-path.ts';
import { VENDOR_FOLDER } from '../vendor-layout.ts';
import { copyAny, recipePaths, repositories } from './copy-recipe.ts';

/** A file or folder that the release was built from, and another one here. */
export interface DifferentInput {
  /** `partitions.system.contents[2]`. */
  readonly at: string;
  readonly file: string;
  readonly line: number;
  readonly name: string;
  /** `sha256:HEX`. */
  readonly released: string;
  readonly here: string;
}

export interface ReleaseRecipe {
  readonly recipe: Recipe;
  readonly different: readonly DifferentInput[];
}

export interface ReleaseRecipeOptions {
  readonly record: BuildRecord;
  /** An empty folder. */
  readonly folder: string;
  /** Of the user, for the files that do not come with the release. */
  readonly own: Recipe | undefined;
  readonly cache: Cache;
  /** Whether build commands of the release may run though the user's recipe does not have them. */
  readonly runBuildCommands: boolean;
}

const MAX_FILES = 1000;
/** How far up a recipe's base may be. */
const MAX_DEPTH = 16;

/**
 * @throws {FormatError} when the record names files that no build would.
 * @throws {UsageError} when files are missing that do not come with the release, or it runs commands that the user has not agreed to.
 * @throws {RecipeError} when the recipe cannot be understood by this version.
 */
export async function releaseRecipe(options: ReleaseRecipeOptions): Promise<ReleaseRecipe> {
  const { record, folder, own, cache } = options;
  const file = await writeTexts(record, folder);
  const recipe = await chosenRecipe(file, record);
  const lock = record.lock === null ? emptyLock : parseLock(record.lock, LOCK_FILE);
  expectAgreedCommands(recipe, own, options.runBuildCommands);
  await bringFiles(recipe, lock, options);
  const here = await digestInputs(recipe, lock, {
    files: openFileDigests(cache.directory),
  });
  const told = new Map(record.inputs.map((input) => [input.at, input]));
  const named = own === undefined ? [] : recipePaths(own, (await readLock(own)) ?? emptyLock);
  const different: DifferentInput[] = [];
  const missing: string[] = [];
  for (const { at, path, name } of recipeInputs(recipe, lock)) {
    if (path === undefined) continue;
    const place = formatRecipePath(at);
    const input = told.get(place);
    let found = here.get(place);
    if (found !== undefined && found === input?.digest) continue;
    const mine = own && join(own.directory, relative(recipe.directory, path));
    if (!named.some((each) => mine === each || mine?.startsWith(`${each}/`) === true)) {
      // It could be anything of the user's, such as a key.
      if (found !== undefined) await expectInside(path, options.folder);
      await rm(path, { recursive: true, force: true });
      found = undefined;
    }
    if (found === undefined) missing.push(name);
    else if (input?.digest) different.push(differentInput(input, input.digest, found));
  }
  if (missing.length > 0) throw missingFiles(missing, own);
  return { recipe, different };
}

const differentInput = (
  { at, file, line, name }: BuildInput,
  released: string,
  here: string,
): DifferentInput => ({ at, file, line, name, released, here });

function refuse(what: string, field = 'recipe.files'): never {
  throw new FormatError('build-record', 'bad-value', `Cannot use build.json: ${what}`, { field });
}

/** What is in the way of a file is another one of the same record. */
async function orTwice<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['EEXIST', 'EISDIR', 'ENOTDIR', 'ERR_FS_CP_EINVAL'].includes(code)) throw error;
    return refuse(`${JSON.stringify(path)} is there twice`);
  }
}

/** Writes all files of the recipe, and its lock. @returns the path of the first one. */
async function writeTexts({ recipe, lock }: BuildRecord, folder: string): Promise<string> {
  const { files } = recipe;
  const [first] = files;
  if (first === undefined || files.length > MAX_FILES) return refuse('it has no list of files');
  if (first.path.includes('/') || first.path === '') refuse(`${first.path} is not the recipe`);
  const paths = files.map(({ path }) => {
    const plain = normalize(path);
    if (isAbsolute(path) || path.includes('\0') || plain.endsWith('/') || plain === '.') {
      refuse(`${JSON.stringify(path)} is no relative path of a file`);
    }
    return plain;
  });
  const depths = paths.map((path) => path.split('/').filter((part) => part === '..').length);
  const up = Math.max(...depths);
  if (up > MAX_DEPTH) refuse(`a file is ${up} folders above the recipe`);
  const directory = join(folder, ...Array.from({ length: up }, (_, depth) => `level-${depth}`));
  const write = (path: string, text: string): Promise<void> =>
    orTwice(path, async () => {
      await makeFolder(dirname(join(directory, path)));
      await writeFile(join(directory, path), text, { flag: 'wx' });
    });
  for (const [index, { text, sha256 }] of files.entries()) {
    const path = paths[index] ?? '';
    if (createHash('sha256').update(text).digest('hex') !== sha256) {
      refuse(`${JSON.stringify(path)} has another digest than it tells`);
    }
    await write(path, text);
  }
  if (lock !== null) await write(LOCK_FILE, lock);
  return join(directory, first.path);
}

/** The recipe with the profiles and variables of the release. */
async function chosenRecipe(file: string, { recipe: told }: BuildRecord): Promise<Recipe> {
  const choices: RecipeChoices = { optionalProfiles: told.profiles };
  const plain = await readRecipe(file, choices);
  const vars = Object.entries(told.vars).flatMap(([name, value]) =>
    plain.vars[name] === value ? [] : [[name, String(value)] as const],
  );
  const recipe =
    vars.length === 0
      ? plain
      : await readRecipe(file, { ...choices, vars: Object.fromEntries(vars) });
  if (!isDeepStrictEqual(JSON.parse(JSON.stringify(recipe.data)), told.data)) {
    throw new FormatError(
      'build-record',
      'bad-value',
      'Cannot use build.json: its recipe does not say what the release was built as',
      {
        field: 'recipe.data',
        hint: 'Use the version of microbuild that made the release, if it is another one',
      },
    );
  }
  return recipe;
}

/** Commands of somebody else run only when the user has the same ones, or says so. */
function expectAgreedCommands(recipe: Recipe, own: Recipe | undefined, isAgreed: boolean): void {
  if (isAgreed) return;
  const known = own === undefined ? [] : payloadsOf(own).map(({ data }) => data.build);
  for (const { data } of payloadsOf(recipe)) {
    if (data.build === undefined) continue;
    if (known.some((build) => isDeepStrictEqual(build, data.build))) continue;
    const command = data.build.command.join(' ');
    throw new UsageError(
      'usage',
      `The release is built by a command that your recipe does not have: ${command}`,
      {
        hint: 'It would run as you. Look at it, then add --run-build-commands',
      },
    );
  }
}

/** Copies the files that the recipe names from the user's folder, each to the place where the recipe looks for it. */
async function bringFiles(
  recipe: Recipe,
  lock: Lock,
  { own, folder }: ReleaseRecipeOptions,
): Promise<void> {
  const paths = recipeInputs(recipe, lock).flatMap(({ path }) => path ?? []);
  paths.push(...repositories(recipe));
  const outside = paths.find((path) => !path.startsWith(`${folder}/`));
  if (outside !== undefined) refuse('its recipe names files outside of its folders', 'recipe.data');
  if (own === undefined) return;
  // What is in there is looked at by its digest.
  const vendored = join(recipe.directory, VENDOR_FOLDER);
  await orTwice(VENDOR_FOLDER, () => symlink(join(own.directory, VENDOR_FOLDER), vendored));
  const roots = [...new Set(own.files.map(({ path }) => dirname(join(own.directory, path))))];
  for (const path of paths) {
    const from = join(own.directory, relative(recipe.directory, path));
    if (!roots.some((root) => from === root || from.startsWith(`${root}/`))) continue;
    const found = await lstat(from).catch(() => undefined);
    if (found === undefined || !(found.isFile() || found.isDirectory() || found.isSymbolicLink()))
      continue;
    await orTwice(relative(folder, path), async () => {
      await makeFolder(dirname(path));
      await expectInside(path, folder);
      await copyAny(from, path, { reverse: false, umask: 0 });
    });
  }
}

/** A link that was copied must not lead what is written or removed to where it points. */
async function expectInside(path: string, folder: string): Promise<void> {
  const [parent, top] = [await realpath(dirname(path)), await realpath(folder)];
  if (parent !== top && !parent.startsWith(`${top}/`)) {
    refuse('its recipe names files behind a symbolic link', 'recipe.data');
  }
}

function missingFiles(names: readonly string[], own: Recipe | undefined): UsageError {
  const what = [...new Set(names)].join(', ');
  return new UsageError(
    'input',
    `Cannot build the release again: it was built from files that are not here: ${what}`,
    {
      hint:
        own === undefined
          ? 'Name the folder of its recipe: microbuild check --against BUNDLE RECIPE'
          : `Get them into ${own.directory}, as they were for the release`,
    },
  );
}
