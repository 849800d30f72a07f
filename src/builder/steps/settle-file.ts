/** A file of a bundle when it is whole: brought to the device, and its digest taken meanwhile. */

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestFile } from '../../bundle/manifest.ts';
import { digestFile } from '../../cache/store.ts';
import { createNativeFileDigester } from '../../native/file-digest.ts';
import type { NativeLibrary } from '../../native/library.ts';

/** @param name Below `folder`. */
export async function settleFile(
  folder: string,
  name: string,
  library: NativeLibrary | undefined,
): Promise<ManifestFile> {
  const path = join(folder, name);
  const digest = library === undefined ? digestFile : createNativeFileDigester(library);
  const flush = async (): Promise<void> => {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  const [found] = await Promise.all([digest(path), flush()]);
  return { path: name, ...found };
}
