/**
 * Output that appears whole or not at all: written beside its final name, flushed, then renamed.
 *
 * A replaced directory is moved aside first and removed after the new one stands, so that a crash
 * leaves the old or the new output, never a mixture.
 */

import { chmod, mkdir, open, readlink, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { inTheMaking } from './in-the-making.ts';
import { makeFolderForNow } from './make-folder.ts';
import { placed } from './system-error.ts';

/** Flushes a folder (or a file) to the device: what was renamed in it is there after a power loss, too. */
export async function syncPath(path: string): Promise<void> {
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

/** As the kernel counts. */
const MAX_LINKS = 40;

/** Where the links of a name end, also when nothing is there; the name itself where they lead in circles. */
export async function targetOf(name: string): Promise<string> {
  let at = name;
  for (let count = 0; count < MAX_LINKS; count += 1) {
    const end = await realpath(at).catch(() => undefined);
    if (end !== undefined) return end;
    const link = await readlink(at).catch(() => undefined);
    if (link === undefined) return at;
    at = resolve(await realpath(dirname(at)), link);
  }
  return name;
}

/** All of a file, or one chunk after the other. */
type FileData = Uint8Array | string | Iterable<Uint8Array>;

interface FlushOptions {
  /** Whether it is on the device before it is there; default true. */
  readonly flush?: boolean;
}

/** Writes a new file and flushes it. The mode is set whatever the umask is. */
export async function writeFileSynced(
  path: string,
  data: FileData,
  mode = 0o644,
  { flush = true }: FlushOptions = {},
): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    await handle.chmod(mode);
    await writeFile(handle, data);
    if (flush) await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Writes one file atomically. The mode is set whatever the umask is. A link stays: the file it leads to is replaced.
 * A device or pipe is written to as it is.
 *
 * @param options Without a flush a power loss may leave an empty file: for what shows that it is whole, and may be lost.
 */
export async function writeFileAtomic(
  name: string,
  data: FileData,
  mode = 0o644,
  options: FlushOptions = {},
): Promise<void> {
  if (await isStream(name)) return writeFile(name, data, { flag: 'a' });
  const path = await targetOf(name);
  const parents = await makeFolderForNow(dirname(path));
  const temporary = await inTheMaking(path);
  try {
    await writeFileSynced(temporary.path, data, mode, options);
    await rename(temporary.path, path);
    temporary.release();
    parents.keep();
    if (options.flush !== false) await syncPath(dirname(path));
  } catch (error) {
    await temporary.discard();
    await parents.discard();
    throw placed(error, path);
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
  const parents = await makeFolderForNow(dirname(path));
  const temporary = await inTheMaking(path);
  try {
    await mkdir(temporary.path, { mode: 0o755 });
    await chmod(temporary.path, 0o755);
    const result = await fill(temporary.path);
    await syncPath(temporary.path);
    await replaceDirectory(temporary.path, path);
    temporary.release();
    parents.keep();
    await syncPath(dirname(path));
    return result;
  } catch (error) {
    await temporary.discard();
    await parents.discard();
    throw placed(error, path);
  }
}

/** Puts a directory in the place of another one. Others may do the same at the same time: the last one stays. */
async function replaceDirectory(temporary: string, path: string): Promise<void> {
  for (let isPlaced = false; !isPlaced;) {
    const old = await inTheMaking(path, 'old');
    const isMoved = await unless(rename(path, old.path), 'ENOENT');
    try {
      isPlaced = await unless(rename(temporary, path), 'ENOTEMPTY', 'EEXIST');
    } catch (error) {
      // Where another one is in its place by now, it is not missed.
      if (isMoved && (await unless(rename(old.path, path), 'ENOTEMPTY', 'EEXIST'))) old.release();
      else await old.discard();
      throw error;
    }
    if (isMoved && isPlaced) await syncPath(dirname(path));
    await old.discard();
  }
}

/** Whether something was done; not when it ends with one of these errors. */
async function unless(work: Promise<void>, ...codes: readonly string[]): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (codes.includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
