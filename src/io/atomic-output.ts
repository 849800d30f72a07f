/**
 * Output that appears whole or not at all: written beside its final name, flushed, then renamed.
 *
 * A replaced directory is moved aside first and removed after the new one stands, so that a crash
 * leaves the old or the new output, never a mixture.
 */

import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { makeFolder } from './make-folder.ts';

const temporaryName = (path: string, kind: string): string =>
  join(dirname(path), `.${basename(path)}.${kind}-${randomBytes(6).toString('hex')}`);

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Names of devices, and of what a process has open; but `/dev/shm` is a file system as any other. */
const SYSTEM_NAME = /^\/(?:dev\/(?!shm\/)|proc\/)/;

/** Whether a name is that of a device or pipe, or of what a process has open: it is added to, never replaced. */
async function isStream(name: string): Promise<boolean> {
  // `/dev/stdout` may be a file that others write to.
  if (SYSTEM_NAME.test(name)) return true;
  const found = await stat(name).catch(() => undefined);
  return found !== undefined && !found.isFile() && !found.isDirectory();
}

/** Where the links of a name end; the name itself when nothing is there. */
export async function targetOf(name: string): Promise<string> {
  return realpath(name).catch(() => name);
}

/** All of a file, or one chunk after the other. */
type FileData = Uint8Array | string | Iterable<Uint8Array>;

/** Writes a new file and flushes it. The mode is set whatever the umask is. */
export async function writeFileSynced(path: string, data: FileData, mode = 0o644): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    await handle.chmod(mode);
    await writeFile(handle, data);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes one file atomically. The mode is set whatever the umask is. A link stays: the file it leads to is replaced.
 * A device or pipe is written to as it is.
 */
export async function writeFileAtomic(name: string, data: FileData, mode = 0o644): Promise<void> {
  if (await isStream(name)) return writeFile(name, data, { flag: 'a' });
  const path = await targetOf(name);
  await makeFolder(dirname(path));
  const temporary = temporaryName(path, 'new');
  try {
    await writeFileSynced(temporary, data, mode);
    await rename(temporary, path);
    await syncPath(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/**
 * Fills a new directory and puts it in the place of `path`.
 *
 * @param fill Writes into the temporary directory it is given; it flushes its own files. When it
 *   throws, the temporary directory is removed and `path` is untouched.
 */
export async function writeDirectoryAtomic<T>(
  path: string,
  fill: (temporary: string) => Promise<T>,
): Promise<T> {
  await makeFolder(dirname(path));
  const temporary = temporaryName(path, 'new');
  await mkdir(temporary, { mode: 0o755 });
  try {
    await chmod(temporary, 0o755);
    const result = await fill(temporary);
    await syncPath(temporary);
    if (await exists(path)) {
      const old = temporaryName(path, 'old');
      await rename(path, old);
      try {
        await rename(temporary, path);
      } catch (error) {
        await rename(old, path);
        throw error;
      }
      await rm(old, { recursive: true, force: true });
    } else {
      await rename(temporary, path);
    }
    await syncPath(dirname(path));
    return result;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}
