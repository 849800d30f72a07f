/** The lock of a machine's name: a file in its folder that names the runner's process. */

import { join } from 'node:path';
import { takeLock } from './instance/owner-lock.ts';

export const LOCK_FILE = 'lock';

/**
 * Locks a folder. A lock whose process is gone is taken over.
 *
 * @returns what gives it back, or undefined when a living process has it.
 * @throws the system's error, ENOENT when the folder was removed meanwhile.
 */
export async function lockFolder(folder: string): Promise<(() => Promise<void>) | undefined> {
  const lock = await takeLock(join(folder, LOCK_FILE));
  return 'heldBy' in lock ? undefined : async () => lock.release();
}
