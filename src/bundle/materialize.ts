/** The interfaces of a bundle as files of their own; disks, kernel and initrd are used where they stand. */

import { dirname, join } from 'node:path';
import { copySparse } from '../io/copy-sparse.ts';
import { createFileSink } from '../io/image-sink.ts';
import { makeFolder } from '../io/make-folder.ts';
import { BUNDLE_FILES } from './layout.ts';
import type { Bundle } from './open.ts';

/**
 * The folder of the `.aidl` files, which need not be there. Of an archive they are copied.
 *
 * @param makeFolderFor Called for an archive: an empty private folder that is the caller's to remove.
 */
export async function materializeInterfaces(
  bundle: Bundle,
  makeFolderFor: () => Promise<string>,
): Promise<string> {
  if (!bundle.isArchive) return join(bundle.path, BUNDLE_FILES.interfaces);
  const folder = await makeFolderFor();
  for (const name of bundle.manifest.payload.interfaces) {
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
  return join(folder, BUNDLE_FILES.interfaces);
}
