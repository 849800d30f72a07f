/** The files of a bundle that programs want as files of their own; disks are used where they stand. */

import { dirname, join } from 'node:path';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink } from '../io/image-sink.ts';
import { makeFolder } from '../io/make-folder.ts';
import { BUNDLE_FILES } from './layout.ts';
import type { Bundle } from './open.ts';

export interface MaterializedBundle {
  readonly kernel: string;
  readonly initrd: string;
  /** Folder of the `.aidl` files; need not be there. */
  readonly interfaces: string;
}

/**
 * Paths of kernel, initrd and interfaces. Of an archive they are copied.
 *
 * @param makeFolderFor Called for an archive: an empty private folder that is the caller's to remove.
 */
export async function materializeBundle(
  bundle: Bundle,
  makeFolderFor: () => Promise<string>,
): Promise<MaterializedBundle> {
  const { config, manifest } = bundle;
  const at = (folder: string): MaterializedBundle => ({
    kernel: join(folder, config.kernel),
    initrd: join(folder, config.initrd),
    interfaces: join(folder, BUNDLE_FILES.interfaces),
  });
  if (!bundle.isArchive) return at(bundle.path);
  const folder = await makeFolderFor();
  for (const name of [config.kernel, config.initrd, ...manifest.payload.interfaces]) {
    const source = await bundle.open(name);
    const path = join(folder, name);
    await makeFolder(dirname(path), 0o700);
    const sink = await createFileSink(path);
    try {
      await sink.truncate(source.size);
      await copySparse(source, sink);
    } finally {
      await sink.close();
    }
  }
  return at(folder);
}
