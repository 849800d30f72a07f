/** Large outputs that appear whole or not at all: written beside their final names, then renamed. */

import { lstat, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { UsageError } from '../core/errors.ts';
import { syncPath } from './atomic-output.ts';
import { inTheMaking } from './in-the-making.ts';
import { placed } from './system-error.ts';

/**
 * Writes new files and puts them in the places of `paths`.
 *
 * @param fill Is given a path for each, in the same order, where nothing is yet; it flushes what it
 *   writes there. When it throws, all of it is removed and `paths` are untouched.
 * @throws {UsageError} `output` when something other than a file is at one of the paths.
 */
export async function replaceFiles<T>(
  paths: readonly string[],
  fill: (temporaries: string[]) => Promise<T>,
): Promise<T> {
  for (const path of paths) {
    const found = await lstat(path).catch(() => undefined);
    if (found !== undefined && !found.isFile()) {
      throw new UsageError('output', `Cannot write ${path}: what is there is not a file`);
    }
  }
  const made = await Promise.all(paths.map((path) => inTheMaking(path)));
  try {
    const result = await fill(made.map(({ path }) => path));
    for (const [index, path] of paths.entries()) {
      const temporary = made[index];
      if (temporary === undefined) continue;
      await rename(temporary.path, path);
      temporary.release();
    }
    for (const folder of new Set(paths.map((path) => dirname(path)))) await syncPath(folder);
    return result;
  } catch (error) {
    for (const temporary of made) await temporary.discard();
    throw placed(error, paths[0] ?? '.');
  }
}
