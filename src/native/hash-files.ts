/** Stat signatures and digests of many files by the native library, on several threads. */

import { availableParallelism } from 'node:os';
import {
  DIGEST_BYTES,
  plainFileReader,
  SIGNATURE_WORDS,
  type FileReader,
} from '../io/file-signatures.ts';
import { callAsync, type NativeLibrary } from './library.ts';

const MAX_THREADS = 8;
/** Fewer are asked for faster than they are handed over. */
const MIN_FILES = 8;

/** @param threads How many of the library's; default one for each processor. */
export function createNativeFileReader(
  library: NativeLibrary,
  threads: number = Math.min(availableParallelism(), MAX_THREADS),
): FileReader {
  const stat = library.func(
    'int mb_stat_files(const uint8_t *paths, size_t paths_len, size_t count, uint32_t follow, uint32_t threads, _Out_ uint32_t *words)',
  );
  const hash = library.func(
    'int mb_hash_files(const uint8_t *paths, size_t paths_len, size_t count, uint32_t threads, _Out_ uint32_t *words, _Out_ uint8_t *out)',
  );
  const check = (result: unknown): void => {
    if (result !== 0) throw new RangeError(`The native library refused paths: ${String(result)}`);
  };
  return {
    async signatures(paths, options) {
      if (paths.length < MIN_FILES) return plainFileReader.signatures(paths, options);
      const names = joinPaths(paths);
      const words = new Uint32Array(paths.length * SIGNATURE_WORDS);
      const follow = options.follow ? 1 : 0;
      check(await callAsync(stat, names, names.length, paths.length, follow, threads, words));
      return words;
    },
    async digests(paths) {
      const signatures = new Uint32Array(paths.length * SIGNATURE_WORDS);
      const digests = new Uint8Array(paths.length * DIGEST_BYTES);
      if (paths.length === 0) return { signatures, digests };
      const names = joinPaths(paths);
      check(await callAsync(hash, names, names.length, paths.length, threads, signatures, digests));
      return { signatures, digests };
    },
  };
}

/** Paths, each ended by a NUL; those that hold one become other paths, and the library finds too many. */
const joinPaths = (paths: readonly string[]): Buffer => Buffer.from(`${paths.join('\0')}\0`);
