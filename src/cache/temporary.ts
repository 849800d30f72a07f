/** The folder of things in the making: each is named after the process that makes it, so that what a killed one left can go. */

import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atAbruptEnd } from '../io/abrupt-end.ts';
import { processMark, stateOfProcess } from '../io/process-mark.ts';

/** What nobody can be asked about is left for so long. */
const FOREIGN_MILLISECONDS = 24 * 60 * 60 * 1000;

/** The owner's mark, then what tells this from its others. Bazel's own are plain UUIDs. */
const NAME = /^(.+)-([0-9a-f]{16})$/;

export interface Temporaries {
  /** A path that nothing has. */
  path(): Promise<string>;
  /** A new folder, of this user alone. */
  folder(): Promise<string>;
}

/** @param directory Must be there. The first use removes what killed processes left in it. */
export function openTemporaries(directory: string): Temporaries {
  let mark: Promise<string> | undefined;
  const begin = async (): Promise<string> => {
    await collectTemporaries(directory);
    const own = await processMark();
    atAbruptEnd(() => removeOwn(directory, own));
    return own;
  };
  const path = async (): Promise<string> => {
    mark ??= begin();
    return join(directory, `${await mark}-${randomBytes(8).toString('hex')}`);
  };
  return {
    path,
    async folder() {
      const name = await path();
      await mkdir(name, { mode: 0o700 });
      return name;
    },
  };
}

function removeOwn(directory: string, mark: string): void {
  for (const name of readdirSync(directory)) {
    if (NAME.exec(name)?.[1] === mark) {
      rmSync(join(directory, name), { recursive: true, force: true });
    }
  }
}

/**
 * Removes what belongs to processes that are gone.
 *
 * @returns how many files and folders were removed.
 */
export async function collectTemporaries(directory: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    if (!(await isAbandoned(name, path))) continue;
    // Another process may be at the same.
    await rm(path, { recursive: true, force: true });
    removed += 1;
  }
  return removed;
}

async function isAbandoned(name: string, path: string): Promise<boolean> {
  const [, owner = ''] = NAME.exec(name) ?? [];
  const state = await stateOfProcess(owner);
  if (state !== 'unknown') return state === 'dead';
  const found = await lstat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > FOREIGN_MILLISECONDS;
}
