/** A file of a bundle when it is whole: brought to the device, and its digest taken meanwhile. */

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ManifestFile } from '../../bundle/manifest.ts';
import { digestFile } from '../../cache/store.ts';

/** @param name Below `folder`. */
export async function settleFile(folder: string, name: string): Promise<ManifestFile> {
  const path = join(folder, name);
  const flush = async (): Promise<void> => {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  };
  const [, digest] = await Promise.all([flush(), digestFile(path)]);
  return { path: name, ...digest };
}
