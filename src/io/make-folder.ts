/** Making folders, as `mkdir -p`. */

import { rmdirSync } from 'node:fs';
import { mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { atAbruptEnd } from './abrupt-end.ts';

/**
 * Makes a folder and those above it; one that is there is left as it is.
 *
 * Node's own `recursive` never returns where a folder exists and yet says ENOENT, as /proc does.
 *
 * @param mode Of each folder that is made.
 * @throws the system's error unchanged.
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  try {
    return await makeOne(path, mode);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error;
    await makeFolder(parent, mode);
  }
  await makeOne(path, mode);
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() !== true) throw error;
  }
}

/** Folders that were made on the way to an output. */
export interface MadeFolders {
  /** Says that there is something in them that stays. */
  keep(): void;
  /** Removes those that are still empty. */
  discard(): Promise<void>;
}

/** Makes a folder and those above it so that they can be taken back when nothing comes into them. */
export async function makeFolderForNow(path: string): Promise<MadeFolders> {
  const made: string[] = [];
  for (let at = path; (await stat(at).catch(() => undefined)) === undefined; at = dirname(at)) {
    made.push(at);
    if (dirname(at) === at) break;
  }
  await makeFolder(path);
  const keep = atAbruptEnd(() => {
    for (const folder of made) rmdirSync(folder);
  });
  return {
    keep,
    async discard() {
      keep();
      try {
        for (const folder of made) await rmdir(folder);
      } catch {
        // Others have put something there.
      }
    },
  };
}
