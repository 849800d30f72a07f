/** Reads many files with the native library, which is only loaded when there are that many. */

import { plainFileReader, type FileReader } from '../io/file-signatures.ts';

/** Loading the library takes as long as asking for so many files without it. */
const WORTH_LOADING = 2000;

/** The library's reader for many files, and this thread for a few. */
export function lazyFileReader(): FileReader {
  let native: Promise<FileReader> | undefined;
  const load = async (): Promise<FileReader> => {
    const [{ loadNativeLibrary }, { createNativeFileReader }] = await Promise.all([
      import('./library.ts'),
      import('./hash-files.ts'),
    ]);
    const library = await loadNativeLibrary();
    return library === undefined ? plainFileReader : createNativeFileReader(library);
  };
  const readerFor = async (count: number): Promise<FileReader> =>
    native === undefined && count < WORTH_LOADING ? plainFileReader : (native ??= load());
  return {
    signatures: async (paths, options) =>
      (await readerFor(paths.length)).signatures(paths, options),
    digests: async (paths) => (await readerFor(paths.length)).digests(paths),
  };
}
