/** Writes a bundle that appears whole or not at all: a folder, or one file whose name ends in `.mbundle`. */

import { rmSync } from 'node:fs';
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UsageError } from '../core/errors.ts';
import { isAligned, layoutAligned } from '../formats/tar/aligned.ts';
import { atAbruptEnd } from '../io/abrupt-end.ts';
import { syncPath, targetOf, writeDirectoryAtomic } from '../io/atomic-output.ts';
import { openFileSource } from '../io/byte-source.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink, type ImageSink } from '../io/image-sink.ts';
import { makeFolderForNow } from '../io/make-folder.ts';
import { replaceFiles } from '../io/replace-files.ts';
import { isArchiveName, openBundleFiles, type BundleFiles } from './files.ts';
import { BUNDLE_FILES } from './layout.ts';
import { reasonOf } from '../io/system-error.ts';

/** Writes all files as one archive. Equal files give equal archives; zeros become holes. */
async function packFiles(
  files: BundleFiles,
  sink: ImageSink,
  signal: AbortSignal | undefined,
): Promise<void> {
  const places = await Promise.all(
    files.names.map(async (name) => ({ name, size: (await files.place(name)).size })),
  );
  const { heads, members, size } = layoutAligned(places);
  await sink.truncate(size);
  for (const { offset, bytes } of heads) await sink.write(offset, bytes);
  for (const { name, offset } of members) {
    await copySparse(await files.open(name), sink, offset, signal);
  }
}

/** By these a bundle is known, whatever is in them: many a folder of others has a `manifest.json`. */
const TELLING = [BUNDLE_FILES.manifest, BUNDLE_FILES.kernel, BUNDLE_FILES.os];

/**
 * The output replaces what was there: that must be a bundle, or nothing, or an empty folder.
 *
 * @throws {UsageError} `output` when it is something else.
 */
export async function checkBundleOutput(path: string): Promise<void> {
  const refuse = (what: string): never => {
    throw new UsageError('output', `Cannot replace ${path}: it is ${what}, but not a bundle`, {
      hint: 'Name another place with --output',
    });
  };
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined;
    throw new UsageError('output', `Cannot write the bundle to ${path}: ${reasonOf(cause)}`, {
      cause,
    });
  });
  const target = await targetOf(path);
  if (isArchiveName(target) !== isArchiveName(path)) return refuse(`a link to ${target}`);
  if (found === undefined) return;
  if (!isArchiveName(path)) {
    if (!found.isDirectory()) return refuse('a file');
    if ((await stat(dirname(target))).dev !== found.dev) {
      throw new UsageError('output', `Cannot replace ${path}: it is a mount point`, {
        hint: 'Name a folder in it with --output',
      });
    }
    const names: readonly string[] = await readdir(path);
    return names.length === 0 || TELLING.every((name) => names.includes(name))
      ? undefined
      : refuse('a folder');
  }
  if (!found.isFile()) return refuse('a folder');
  const file = await openFileSource(path);
  try {
    if (file.size > 0 && !(await isAligned(file))) refuse('a file');
  } finally {
    await file.close();
  }
}

/** Whatever the umask is, who may read the bundle may read all of it; and what is in its folders is on the device. */
async function settleFolders(bundle: string): Promise<void> {
  for (const entry of await readdir(bundle, { recursive: true, withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    await chmod(path, 0o755);
    await syncPath(path);
  }
}

/**
 * Writes a bundle in the place of what is at `name`; a link stays, and what it leads to is replaced.
 *
 * @param fill Writes the files into the folder it is given. When it throws, what is there is untouched.
 * @throws {UsageError} `output` when something else than a bundle is there.
 */
export async function writeBundle<T>(
  name: string,
  fill: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  await checkBundleOutput(name);
  const path = await targetOf(name);
  if (!isArchiveName(path)) {
    return writeDirectoryAtomic(path, async (folder) => {
      const result = await fill(folder);
      await settleFolders(folder);
      return result;
    });
  }
  const parents = await makeFolderForNow(dirname(path));
  const packed = replaceFiles([path], async ([temporary = '']) => {
    const folder = `${temporary}.files`;
    const release = atAbruptEnd(() => rmSync(folder, { recursive: true, force: true }));
    try {
      await mkdir(folder);
      const result = await fill(folder);
      const files = await openBundleFiles(folder);
      const sink = await createFileSink(temporary);
      try {
        await packFiles(files, sink, signal);
      } finally {
        await Promise.all([files.close(), sink.close()]);
      }
      return result;
    } finally {
      await rm(folder, { recursive: true, force: true });
      release();
    }
  });
  return packed.then(
    (result) => {
      parents.keep();
      return result;
    },
    async (error: unknown) => {
      await parents.discard();
      throw error;
    },
  );
}
