/** A cache in which recipes/hello was built before: to fetch and unpack its kernel takes longer than what most tests do with it. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Sandbox } from './cli.ts';

/** Kept from run to run; several tests may fill it at once, as builds may any cache. */
const FOLDER = resolve('node_modules/.cache/microbuild-test-cache');

/** Makes `folder` a cache of its own with all of it. */
export async function copyWarmCache(sandbox: Sandbox, folder: string): Promise<void> {
  const output = join(sandbox.folder, 'of-the-warm-cache');
  const { status, stderr } = await sandbox.microbuild(
    ['image', 'recipes/hello', '-o', output, '--no-attestations', '--no-locked'],
    { MICROBUILD_CACHE: FOLDER },
  );
  if (status !== 0) throw new Error(stderr);
  mkdirSync(folder, { recursive: true });
  const parts = ['ac', 'cas', 'microbuild'].map((name) => join(FOLDER, name)).filter(existsSync);
  execFileSync('cp', ['-al', ...parts, folder]);
}
