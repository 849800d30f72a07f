/**
 * Whether a recipe gives the same bytes wherever it is built: clean builds in surroundings that differ in all that must
 * not show, and a comparison that names what does, and why.
 */

import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { comparePaths } from '../../bundle/compare/compare.ts';
import { levels, type Comparison, type Level } from '../../bundle/compare/finding.ts';
import { parseBuildRecord } from '../../bundle/build-record.ts';
import { BUNDLE_FILES } from '../../bundle/layout.ts';
import { openCache } from '../../cache/store.ts';
import { EnvironmentError, ToolError, UsageError } from '../../core/errors.ts';
import type { Reporter } from '../../core/events.ts';
import { atAbruptEnd } from '../../io/abrupt-end.ts';
import { emptyLock } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { openBlobs, pinDigest } from '../fetch.ts';
import { pinsOf, readLock, readLockText } from '../lock.ts';
import {
  buildOnce,
  isFailed,
  readText,
  seedCache,
  type BuildSite,
  type BuiltBundle,
  type FailedBuild,
} from './build-once.ts';
import { findCulprits, findFailures, ownFindings } from './culprits.ts';
import { probe } from './probe.ts';
import type { CheckReport, Culprit } from './report.ts';
import { findFaketime, writeClockless } from './surroundings.ts';
import type { VariationName } from './variation.ts';
import { reasonOf } from '../../io/system-error.ts';

export interface CheckOptions {
  readonly recipe: Recipe;
  readonly packageRoot: string;
  readonly cacheDirectory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** Asks nothing but the cache and `vendor/` beside the recipe. */
  readonly offline: boolean;
  /** Further arguments of `image`: profiles, variables, keys. */
  readonly args: readonly string[];
  readonly vary: readonly VariationName[];
  /** Builds before culprits are looked for: at least two. */
  readonly times: number;
  /** Whether to find which variations change something; undefined: when the build is short. */
  readonly bisect: boolean | undefined;
  /** A new or empty folder for the first output and the one that differs. */
  readonly keep: string | undefined;
}

/** Culprits take some ten builds: of one that takes longer, they are looked for when it is asked for. */
const SHORT_BUILD = 60_000;

/**
 * @throws {UsageError} when the recipe does not build as it is, or `keep` is not empty.
 * @throws {EnvironmentError} when something is missing that it needs to build.
 */
export async function checkReproducible(options: CheckOptions): Promise<CheckReport> {
  const started = performance.now();
  const { recipe, env, signal, keep } = options;
  if (keep !== undefined) await expectEmpty(keep);
  const cache = await openCache(options.cacheDirectory);
  const work = await cache.temporaryFolder();
  let otherDisk: string | undefined;
  let release: (() => void) | undefined;
  try {
    const lock = (await readLock(recipe)) ?? emptyLock;
    const pins = pinsOf(recipe, lock);
    const blobs = openBlobs({ ...options, cache });
    await blobs.fetchAll(pins);
    const places = new Map<string, string>();
    for (const { pin, update } of pins) places.set(pinDigest(pin), await blobs.fetch(pin, update));
    const seed = join(work, 'seed');
    await seedCache(seed, places);

    const faketime = await findFaketime();
    const probed = await probe({ env, work, wanted: options.vary, faketime, signal });
    ({ otherDisk } = probed);
    if (otherDisk !== undefined) release = removedAbruptly(otherDisk);
    const clockless = faketime && (await writeClockless(join(work, 'without-clock')));
    const site: BuildSite = { ...options, lock, work, seed, faketime, clockless, otherDisk };
    let { variations } = probed;
    let on = variations.flatMap((each) => (each.on ? [each.name] : []));
    const steps = countBuilds(options.reporter);
    const kept = join(work, 'first-cache');

    const first = await steps.step('As it is here', () =>
      buildOnce(site, { name: 'first', on: new Set(), keepCache: kept }),
    );
    if (isFailed(first)) throw failure(first);
    let other: BuiltBundle | FailedBuild = first;
    for (let time = 1; time < options.times && isSame(first, other); time += 1) {
      const title = on.length === 0 ? 'Again' : `Varied: ${on.join(', ')}`;
      const timeLimit = first.milliseconds * LATE_FACTOR + LATE;
      const build = (): Promise<BuiltBundle | FailedBuild> =>
        steps.step(title, () =>
          buildOnce(site, { name: `varied-${time}`, on: new Set(on), timeLimit }),
        );
      other = await build();
      if (!isFailed(other) || !other.isLate || !on.includes('clock')) continue;
      // Some programs wait for ever under libfaketime.
      const why = `${other.message}: a program in it does not run under libfaketime`;
      on = on.filter((name) => name !== 'clock');
      variations = variations.map((each) =>
        each.name === 'clock' ? { name: each.name, on: false, why } : each,
      );
      other = await build();
    }
    const search = { site, variations: on, cache: kept, step: steps.step };
    const isSearched = options.bisect ?? first.milliseconds < SHORT_BUILD;
    let comparison: Comparison | undefined;
    let culprits: Culprit[] | undefined;
    if (isFailed(other)) {
      if (isSearched) culprits = await findFailures(search);
    } else if (!isSame(first, other)) {
      const found = await comparePaths(first.path, other.path, { full: true, signal });
      comparison = found;
      if (isSearched) culprits = await findCulprits({ ...search, comparison: found });
    }
    const outputs = keep === undefined ? undefined : await keepOutputs(keep, [first, other]);
    const [difference] = comparison === undefined ? [] : ownFindings(comparison);
    return {
      schemaVersion: 1,
      name: recipe.data.name,
      reproducible: isSame(first, other),
      levels: comparison?.counts ?? noDifferences,
      variations,
      ...(difference && { first: difference }),
      ...(isFailed(other) && { failure: other.message }),
      ...(culprits && { culprits }),
      files: first.files,
      ...(await originsOf(recipe, first)),
      builds: steps.count(),
      milliseconds: Math.round(performance.now() - started),
      ...(outputs && { kept: outputs }),
      ...(comparison && { comparison }),
    };
  } finally {
    for (const folder of [work, otherDisk]) {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    }
    release?.();
    await cache.close();
  }
}

/** It is in memory, and no cache cleans it up. */
const removedAbruptly = (folder: string): (() => void) =>
  atAbruptEnd(() => rmSync(folder, { recursive: true, force: true }));

/** A build that is varied may take longer, as on one core; beyond this it hangs. */
const LATE_FACTOR = 6;
const LATE = 60_000;

const noDifferences = Object.fromEntries(levels.map((level) => [level, 0])) as Record<
  Level,
  number
>;

const isSame = (a: BuiltBundle, b: BuiltBundle | FailedBuild): boolean =>
  !isFailed(b) && JSON.stringify(a.files) === JSON.stringify(b.files);

/** What the first build says of what it was made from. */
async function originsOf(
  recipe: Recipe,
  first: BuiltBundle,
): Promise<Pick<CheckReport, 'inputs' | 'toolchain'>> {
  const record = parseBuildRecord(await readText(first, BUNDLE_FILES.buildRecord));
  const lock = await readLockText(recipe);
  return {
    inputs: {
      recipe: record.recipe.files.map(({ path, sha256 }) => ({ path, sha256 })),
      lock: lock === undefined ? null : createHash('sha256').update(lock).digest('hex'),
      named: record.inputs.map(({ at, name, digest }) => ({ at, name, ...(digest && { digest }) })),
    },
    toolchain: {
      microbuild: record.microbuild,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      guest: record.guest.sha256,
    },
  };
}

/** Builds as steps of the whole. */
function countBuilds(reporter: Reporter) {
  let builds = 0;
  return {
    count: () => builds,
    step: async <T>(title: string, work: () => Promise<T>): Promise<T> => {
      const started = performance.now();
      const step = `check.${builds}`;
      builds += 1;
      reporter.report({ kind: 'step-start', step, title });
      const result = await work();
      const milliseconds = performance.now() - started;
      reporter.report({ kind: 'step-done', step, title, cached: false, milliseconds });
      return result;
    },
  };
}

/** Why a recipe that nothing is varied of does not build, in the terms of this command. */
function failure({ exitCode, message, hint }: FailedBuild): Error {
  const options = hint === undefined ? {} : { hint };
  if (exitCode === 2) return new UsageError('input', message, options);
  if (exitCode === 4) return new EnvironmentError('build', message, options);
  return new ToolError(message, {
    argv: ['microbuild', 'image'],
    exitCode,
    signal: null,
    stderrTail: '',
    ...options,
  });
}

async function expectEmpty(path: string): Promise<void> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError('output', `Cannot keep outputs in ${path}: ${reasonOf(error)}`);
  });
  if (names.length > 0) {
    throw new UsageError('output', `Cannot keep outputs in ${path}: it is not empty`, {
      hint: 'Name a new folder',
    });
  }
}

async function keepOutputs(
  keep: string,
  builds: readonly (BuiltBundle | FailedBuild)[],
): Promise<string[]> {
  const paths: string[] = [];
  await mkdir(keep, { recursive: true });
  for (const [index, build] of builds.entries()) {
    if (isFailed(build)) continue;
    const path = resolve(keep, index === 0 ? 'a' : 'b');
    await cp(build.path, path, { recursive: true });
    paths.push(path);
  }
  return paths;
}
