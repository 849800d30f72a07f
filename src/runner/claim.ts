/**
 * The lock of a machine's name: a file in its folder that names the runner's process. A lock whose process
 * is gone is taken over.
 */

import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { identityOf, isAlive } from './process-identity.ts';

export const LOCK_FILE = 'lock';
const MAX_ATTEMPTS = 10;

/**
 * Locks a folder.
 *
 * @returns what gives it back, or undefined when a living process has it.
 * @throws the system's error, ENOENT when the folder was removed meanwhile.
 */
export async function lockFolder(folder: string): Promise<(() => Promise<void>) | undefined> {
  const lock = join(folder, LOCK_FILE);
  for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
    if (await tryLock(lock)) return async () => rm(lock, { force: true });
    if (!(await dropStaleLock(lock))) return undefined;
  }
  return undefined;
}

/** The lock names the runner's process; it is written before it gets its name. */
async function tryLock(lock: string): Promise<boolean> {
  const own = `${lock}.${randomBytes(6).toString('hex')}`;
  const handle = await open(own, 'wx', 0o600);
  const { pid, start } = identityOf(process.pid);
  await handle.writeFile(`${pid} ${start}\n`);
  await handle.close();
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(own, { force: true });
  }
}

/** True when the lock may be tried again. */
async function dropStaleLock(lock: string): Promise<boolean> {
  const before = await readText(lock);
  if (before === undefined) return true;
  const [pid, start = ''] = before.trim().split(' ');
  if (isAlive({ pid: Number(pid), start })) return false;
  const aside = `${lock}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(lock, aside);
  } catch {
    return true;
  }
  // Somebody else may have taken over between the look and the rename: give it back.
  const moved = await readText(aside);
  if (moved !== before) await link(aside, lock).catch(() => undefined);
  await rm(aside, { force: true });
  return moved === before;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}
