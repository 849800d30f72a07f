/** Writes a bundle that appears whole or not at all: a folder, or one file whose name ends in `.mbundle`. */

import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { layoutAligned } from '../formats/tar/aligned.ts';
import { writeDirectoryAtomic } from '../io/atomic-output.ts';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink, type ImageSink } from '../io/image-sink.ts';
import { makeFolder } from '../io/make-folder.ts';
import { replaceFiles } from '../io/replace-files.ts';
import { isArchiveName, openBundleFiles, type BundleFiles } from './files.ts';

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

/**
 * Writes a bundle in the place of `path`.
 *
 * @param fill Writes the files into the folder it is given. When it throws, `path` is untouched.
 */
export async function writeBundle<T>(
  path: string,
  fill: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  if (!isArchiveName(path)) return writeDirectoryAtomic(path, fill);
  await makeFolder(dirname(path));
  return replaceFiles([path], async ([temporary = '']) => {
    const folder = `${temporary}.files`;
    await mkdir(folder);
    try {
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
    }
  });
}
