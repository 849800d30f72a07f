/** Outputs that would replace what is needed are refused before any work. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from '../../core/errors.ts';

/** Whether two paths lead to one file; a path to none is one of its own. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  if (resolve(a) === resolve(b)) return true;
  const [one, other] = await Promise.all([a, b].map((path) => stat(path).catch(() => undefined)));
  return one !== undefined && one.ino === other?.ino && one.dev === other.dev;
}

/** An option that names a file to be written, and the file when it is given. */
export type Output = readonly [option: string, path: string | undefined];

/**
 * Refuses, before any work, outputs that would replace an input or one another.
 *
 * @throws {UsageError} also where a folder is in the place of an output.
 */
export async function expectOutputs(
  outputs: readonly Output[],
  inputs: readonly (string | undefined)[],
): Promise<void> {
  const taken = inputs.filter((path) => path !== undefined);
  for (const [option, path] of outputs) {
    if (path === undefined) continue;
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() === true) {
      throw new UsageError('output', `Cannot write ${option} ${path}: it is a folder`);
    }
    // A device or pipe takes what it is given.
    if (found !== undefined && !found.isFile()) continue;
    for (const other of taken) {
      if (!(await isSameFile(path, other))) continue;
      throw new UsageError('output', `Cannot write ${option} ${path}: it is ${other} too`, {
        hint: 'Name a file of its own',
      });
    }
    taken.push(path);
  }
}
