/** Large outputs that appear whole or not at all: written beside their final names, then renamed. */

import { randomBytes } from 'node:crypto';
import { lstat, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../core/errors.ts';

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
  const suffix = randomBytes(6).toString('hex');
  const temporaries = paths.map((path) => join(dirname(path), `.${basename(path)}.new-${suffix}`));
  try {
    const result = await fill(temporaries);
    for (const [index, path] of paths.entries()) await rename(temporaries[index] ?? '', path);
    return result;
  } catch (error) {
    await Promise.all(temporaries.map((path) => rm(path, { force: true })));
    throw error;
  }
}
