/**
 * The workspace: where development keys live. It is the nearest folder, from the current one or from
 * the recipe (or bundle) upwards, that holds `.microbuild/`; without one, the current folder becomes it.
 */

import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

const WORKSPACE_FOLDER = '.microbuild';

/**
 * The folder of the development keys.
 *
 * @param near Paths whose parents are searched too, such as the recipe's.
 * @param env `MICROBUILD_KEYS` names the folder outright.
 */
export async function findKeyFolder(
  cwd: string,
  near: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const given = env['MICROBUILD_KEYS'];
  if (given !== undefined && given !== '') return resolve(cwd, given);
  for (const start of [cwd, ...near.map((path) => resolve(cwd, path))]) {
    for (let at = start; ; at = dirname(at)) {
      if (await isFolder(join(at, WORKSPACE_FOLDER))) return join(at, WORKSPACE_FOLDER, 'keys');
      if (dirname(at) === at) break;
    }
  }
  return join(cwd, WORKSPACE_FOLDER, 'keys');
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
