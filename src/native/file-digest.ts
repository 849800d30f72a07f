/** The SHA-256 of a whole file with the native library, on a thread of its own. */

import { open } from 'node:fs/promises';
import { checkFileRange, checkRead } from './file.ts';
import { callAsync, type NativeLibrary } from './library.ts';

/** What a manifest says of a file: SHA-256 in lower-case hexadecimal, and the size in bytes. */
export interface FileDigest {
  readonly sha256: string;
  readonly size: number;
}

/**
 * Digests files as `digestFile` of the cache does, without this thread.
 *
 * @returns a function of a path, which throws the system's error when the file cannot be read.
 */
export function createNativeFileDigester(
  library: NativeLibrary,
): (path: string) => Promise<FileDigest> {
  const digestFile = library.func(
    'int mb_sha256_file(int fd, uint64_t offset, uint64_t length, _Out_ uint8_t *out)',
  );
  return async (path) => {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const range = { fd: file.fd, offset: 0, length: size };
      checkFileRange(range);
      const digest = Buffer.alloc(32);
      checkRead(await callAsync(digestFile, range.fd, range.offset, range.length, digest), range);
      return { sha256: digest.toString('hex'), size };
    } finally {
      await file.close();
    }
  };
}
