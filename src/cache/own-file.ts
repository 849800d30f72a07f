/** The files that a cache keeps beside its store. */

import { lstat, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { makeFolder } from '../io/make-folder.ts';

/**
 * Writes one, whole or not at all and of this user alone. What stands there and is no file, is damage: it goes. It is not flushed: a
 * power loss may leave it empty, which costs time only.
 */
export async function writeOwnFile(path: string, data: Uint8Array | string): Promise<void> {
  const folder = dirname(path);
  const [above, at] = await Promise.all([
    stat(folder).catch(() => undefined),
    lstat(path).catch(() => undefined),
  ]);
  if (above?.isDirectory() === false) await rm(folder, { force: true });
  if (at?.isFile() === false) await rm(path, { recursive: true, force: true });
  await makeFolder(folder, 0o700);
  await writeFileAtomic(path, data, 0o600, { flush: false });
}
