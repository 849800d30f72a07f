/** How the commands of the cache read files. */

import { plainFileReader, type FileReader } from '../../../io/file-signatures.ts';
import { createNativeFileReader } from '../../../native/hash-files.ts';
import { loadNativeLibrary } from '../../../native/library.ts';

/** The library's reader, where it is built. */
export async function openFileReader(): Promise<FileReader> {
  const library = await loadNativeLibrary();
  return library === undefined ? plainFileReader : createNativeFileReader(library);
}
