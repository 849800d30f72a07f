/**
 * Where instances are: the host's root key and a folder for each instance, below the state folder. An
 * instance's folder holds its id, the newest versions that it has run, and a lock while it runs.
 */

import { lstat, readFile, readdir, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { EnvironmentError, MicrobuildError, UsageError } from '../../core/errors.ts';
import { writeFileAtomic } from '../../io/atomic-output.ts';
import { makeFolder } from '../../io/make-folder.ts';
import { checkVmName, ensurePrivateFolder } from '../registry.ts';
import { holderOf, lockOwner, takeLock } from './owner-lock.ts';
import { readSecret } from './secret-file.ts';
import { NO_VERSIONS, type Versions, formatVersions, parseVersions } from './versions.ts';

export const ID_SIZE = 64;
const FILES = { id: 'id', versions: 'versions.json', lock: 'lock' } as const;

/** `$XDG_STATE_HOME/microbuild`, or `~/.local/state/microbuild`. */
export function statePath(env: NodeJS.ProcessEnv = process.env): string {
  const state = env['XDG_STATE_HOME'];
  if (state !== undefined && state !== '') return join(state, 'microbuild');
  const home = env['HOME'];
  return join(home === undefined || home === '' ? homedir() : home, '.local/state/microbuild');
}

/** The secret from which all of this host's instances are derived. */
export const rootKeyPath = (state: string): string => join(state, 'root.key');

export interface InstancePaths {
  readonly folder: string;
  readonly id: string;
  readonly versions: string;
  readonly lock: string;
}

const instancesPath = (state: string): string => join(state, 'instances');

/** The instance of a name, or the one in a folder of its own. @throws {UsageError} for a bad name. */
export function instancePaths(
  state: string,
  where: { readonly name: string } | { readonly folder: string },
): InstancePaths {
  if ('name' in where) checkVmName(where.name);
  const folder = 'name' in where ? join(instancesPath(state), where.name) : resolve(where.folder);
  const at = (name: string): string => join(folder, name);
  return { folder, id: at(FILES.id), versions: at(FILES.versions), lock: at(FILES.lock) };
}

/**
 * Makes the folder, or checks one that is there.
 *
 * @throws {EnvironmentError} for one that is not private; {UsageError} for one that holds other things.
 */
export async function claimInstanceFolder({ folder, id }: InstancePaths): Promise<void> {
  await makeFolder(folder, 0o700);
  await ensurePrivateFolder(folder);
  const names = await readdir(folder);
  const known = (name: string): boolean =>
    Object.values(FILES).some((each) => name === each || name.startsWith(`${each}.`)) ||
    name.startsWith(`.${FILES.versions}.`);
  const foreign = names.find((name) => !known(name));
  if (!names.includes(FILES.id) && foreign !== undefined) {
    throw new UsageError('input', `Cannot use ${folder} as an instance: it holds ${foreign}`, {
      hint: `Give a new folder or that of an instance, which holds ${id}`,
    });
  }
}

/** What the instance has run; undefined when it has never been handed its secrets. */
export async function readVersions({ versions }: InstancePaths): Promise<Versions | undefined> {
  try {
    return parseVersions(await readFile(versions, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Durable when it returns. */
export async function writeVersions(paths: InstancePaths, versions: Versions): Promise<void> {
  await writeFileAtomic(paths.versions, formatVersions(versions), 0o600);
}

/** What may be told of an instance. */
export interface FoundInstance {
  readonly name: string;
  readonly folder: string;
  /** Until the first handover. */
  readonly isNew: boolean;
  readonly versions: Versions;
  /** Why it cannot be run. */
  readonly problem: string | undefined;
  /** The process that runs it. */
  readonly usedBy: number | undefined;
}

/** @throws {UsageError} when there is none. */
export async function findInstance(state: string, name: string): Promise<FoundInstance> {
  const paths = instancePaths(state, { name });
  const isThere = async (path: string): Promise<boolean> =>
    lstat(path).then(
      () => true,
      () => false,
    );
  // What is left of an instance is found, too: it can be told of, and removed.
  if (!(await isThere(paths.id)) && !(await isThere(paths.versions))) {
    throw new UsageError('input', `Cannot find an instance "${name}"`, {
      hint: 'See "microbuild instance list"',
    });
  }
  const usedBy = await lockOwner(paths.lock);
  const found = { name, folder: paths.folder, usedBy };
  try {
    const versions = await readVersions(paths);
    const id = await readSecret(paths.id, ID_SIZE);
    const problem = id === undefined ? `${paths.id} is missing` : undefined;
    return { ...found, isNew: versions === undefined, versions: versions ?? NO_VERSIONS, problem };
  } catch (error) {
    if (!(error instanceof MicrobuildError)) throw error;
    return { ...found, isNew: false, versions: NO_VERSIONS, problem: error.message };
  }
}

/** Every instance below the state folder, sorted by name. */
export async function listInstances(state: string): Promise<readonly FoundInstance[]> {
  const folder = instancesPath(state);
  const names: string[] = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const found: FoundInstance[] = [];
  for (const name of names.toSorted((a, b) => (a < b ? -1 : 1))) {
    const instance = await findInstance(state, name).catch((error: unknown) => {
      // A folder of another kind.
      if (error instanceof UsageError) return undefined;
      throw error;
    });
    if (instance !== undefined) found.push(instance);
  }
  return found;
}

/**
 * Destroys an instance: without its id nobody can derive its secrets again.
 *
 * @throws {UsageError} when there is none, or `lock` when it runs.
 */
export async function removeInstance(state: string, name: string): Promise<void> {
  const paths = instancePaths(state, { name });
  const { folder } = await findInstance(state, name);
  const lock = await takeLock(paths.lock);
  if ('heldBy' in lock) {
    throw new UsageError('lock', `Cannot remove "${name}": ${holderOf(lock)}`, {
      hint: 'Stop the machine first',
    });
  }
  try {
    // The id first: what else stays after a crash is of no use to anybody.
    await rm(paths.id, { force: true });
    await rm(folder, { recursive: true });
  } catch (error) {
    await lock.release();
    const why = error instanceof Error ? error.message : String(error);
    throw new EnvironmentError('instance', `Cannot remove ${folder}: ${why}`, { cause: error });
  }
}
