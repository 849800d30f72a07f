/** Small files that may be damaged, or anything else by now: what cannot be read is as if it was not there. */

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/**
 * All bytes of a regular file.
 *
 * @param bound Bytes that it has at most.
 * @returns undefined when there is none, or it cannot be read: a folder, a pipe that nobody writes to, a link.
 */
export async function readRegular(
  path: string,
  bound = Number.POSITIVE_INFINITY,
): Promise<Buffer | undefined> {
  try {
    const handle = await open(
      path,
      constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW,
    );
    try {
      const stats = await handle.stat();
      return stats.isFile() && stats.size <= bound ? await handle.readFile() : undefined;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    return undefined;
  }
}
