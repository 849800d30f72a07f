/** One clean build as a process of the real command line, in given surroundings. */

import { constants } from 'node:fs';
import { copyFile, cp, lstat, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ATTESTATIONS_FOLDER } from '../../bundle/layout.ts';
import { digestFile } from '../../cache/store.ts';
import { compareNames } from '../../io/file-tree.ts';
import { makeFolder } from '../../io/make-folder.ts';
import type { Lock } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { copyRecipe } from './copy-recipe.ts';
import { runChild } from './run-child.ts';
import { launchOf, makeHome, VARIED_UMASK } from './surroundings.ts';
import type { VariationName } from './variation.ts';

/** What all builds of a check have in common. */
export interface BuildSite {
  readonly recipe: Recipe;
  readonly lock: Lock;
  /** Folder of microbuild's package.json. */
  readonly packageRoot: string;
  /** Further arguments of `image`. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
  /** An empty folder; builds and their outputs are below it. */
  readonly work: string;
  /** A cache that has every blob that the lock pins, and nothing else. */
  readonly seed: string;
  readonly faketime: string | undefined;
  readonly clockless: string | undefined;
  /** A folder of a file system that lists files in another order, when this one has one of its own. */
  readonly otherDisk: string | undefined;
}

export interface BuildTrial {
  /** A name for its output that no other has. */
  readonly name: string;
  readonly on: ReadonlySet<VariationName>;
  /** Seconds since 1970 at which the clock stands still; undefined to let it go. */
  readonly frozenAt?: number | undefined;
  /** The cache to begin with, instead of one that has no results of steps. */
  readonly cache?: string | undefined;
  /** Where the cache is left, to begin others with. */
  readonly keepCache?: string | undefined;
  /** Milliseconds after which it is ended: a program that hangs where the clock is another must not hang the check. */
  readonly timeLimit?: number | undefined;
}

export interface BuiltBundle {
  readonly path: string;
  /** SHA-256 by the name of the file. */
  readonly files: Readonly<Record<string, string>>;
  readonly milliseconds: number;
}

export interface FailedBuild {
  readonly exitCode: number;
  readonly message: string;
  readonly hint: string | undefined;
  /** Whether it was ended because it took too long. */
  readonly isLate: boolean;
}

/** Equal in all builds, unless the path is what is varied: what embeds it must not blame anything else. */
const PLACE = 'build';
const OTHER_PLACE = 'somewhere-else/in-a-folder-with-a-longer-name';

/** @throws the system's errors when the outputs cannot be moved, for want of room. */
export async function buildOnce(
  site: BuildSite,
  { name, on, frozenAt, cache, keepCache, timeLimit }: BuildTrial,
): Promise<BuiltBundle | FailedBuild> {
  const { work, packageRoot } = site;
  const place = join(work, on.has('build-path') ? OTHER_PLACE : PLACE);
  await makeFolder(place);
  // Where files really are, and where the build sees them.
  const isElsewhere = on.has('file-order') && site.otherDisk !== undefined;
  const disk = isElsewhere ? join(site.otherDisk ?? '', name) : place;
  await makeFolder(disk);
  try {
    const recipe = await copyRecipe(site.recipe, site.lock, join(disk, 'recipe'), {
      reverse: on.has('file-order'),
      umask: on.has('umask') ? VARIED_UMASK : 0,
    });
    await cp(cache ?? site.seed, join(disk, 'cache'), {
      recursive: true,
      mode: constants.COPYFILE_FICLONE,
    });
    const home = join(disk, 'another-home');
    if (on.has('home')) await makeHome(home, site.env);
    const program = [process.execPath, join(packageRoot, 'bin', 'microbuild.js')];
    const own = ['--output', join(place, 'bundle'), '--offline', '--force', '--json'];
    const launch = await launchOf(
      [...program, 'image', join(place, recipe.slice(disk.length + 1)), ...own, ...site.args],
      {
        env: {
          ...site.env,
          MICROBUILD_CACHE: join(place, 'cache'),
          MICROBUILD_SCRATCH: join(place, 'scratch'),
        },
        on,
        home: join(place, 'another-home'),
        bind: isElsewhere ? { from: disk, to: place } : undefined,
        frozenAt,
        faketime: site.faketime,
        clockless: site.clockless,
      },
    );
    const started = performance.now();
    const { exitCode, stdout, stderr, isLate } = await runChild(launch, {
      cwd: work,
      signal: site.signal,
      timeLimit,
    });
    if (site.faketime !== undefined) await sweepFaketime();
    const milliseconds = Math.round(performance.now() - started);
    if (isLate) {
      const message = `The build was ended after ${Math.round(milliseconds / 1000)} s`;
      return { exitCode, message, hint: undefined, isLate };
    }
    if (exitCode !== 0) return failureOf(exitCode, stdout, stderr);
    const path = join(work, 'outputs', name);
    await makeFolder(dirname(path));
    await move(join(disk, 'bundle'), path);
    if (keepCache !== undefined) await move(join(disk, 'cache'), keepCache);
    return { path, files: await digestsOf(path), milliseconds };
  } finally {
    await rm(disk, { recursive: true, force: true });
    await rm(place, { recursive: true, force: true });
  }
}

export const isFailed = (build: BuiltBundle | FailedBuild): build is FailedBuild =>
  'message' in build;

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error;
    await cp(from, to, { recursive: true });
  }
}

async function digestsOf(bundle: string): Promise<Record<string, string>> {
  const entries = await readdir(bundle, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(bundle.length + 1))
    // They are about the bundle, such as when it was built.
    .filter((name) => !name.startsWith(`${ATTESTATIONS_FOLDER}/`))
    .sort(compareNames);
  const digests: Record<string, string> = {};
  for (const name of names) digests[name] = (await digestFile(join(bundle, name))).sha256;
  return digests;
}

const MEMORY = '/dev/shm';

/** libfaketime leaves two files in memory for each process that became another one; those of living ones stay. */
async function sweepFaketime(): Promise<void> {
  const uid = process.getuid?.();
  for (const name of await readdir(MEMORY).catch(() => [])) {
    const pid = /^(?:sem\.faketime_sem|faketime_shm)_(\d+)$/.exec(name)?.[1];
    if (pid === undefined || (await isThere(`/proc/${pid}`))) continue;
    const path = join(MEMORY, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() === true && found.uid === uid) await rm(path, { force: true });
  }
}

const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** What the command line says of a failure with `--json`; its last line when it could not say it. */
function failureOf(exitCode: number, stdout: string, stderr: string): FailedBuild {
  try {
    const { error } = JSON.parse(stdout) as { error: { message: string; hint?: string } };
    return { exitCode, message: error.message, hint: error.hint, isLate: false };
  } catch {
    const message = stderr.trim().split('\n').at(-1) ?? '';
    return {
      exitCode,
      message: message || `exit code ${exitCode}`,
      hint: undefined,
      isLate: false,
    };
  }
}

/** Makes a cache that has these blobs, by their SHA-256 and where they are. */
export async function seedCache(folder: string, blobs: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  for (const [sha256, path] of blobs) {
    const to = join(folder, 'cas', sha256.slice(0, 2), sha256);
    await makeFolder(dirname(to), 0o700);
    await copyFile(path, to, constants.COPYFILE_FICLONE);
  }
}

/** A text file of the bundle, for what it says of the build. */
export const readText = (bundle: BuiltBundle, name: string): Promise<string> =>
  readFile(join(bundle.path, name), 'utf8');
