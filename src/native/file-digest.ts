/** The SHA-256 of whole files, and of parts of them, with the native library: on a thread of its own. */

import { open } from 'node:fs/promises';
import { checkFileRange, checkRead } from './file.ts';
import { callAsync, type NativeLibrary } from './library.ts';

/** What a manifest says of a file: SHA-256 in lower-case hexadecimal, and the size in bytes. */
export interface FileDigest {
  readonly sha256: string;
  readonly size: number;
}

/** In bytes, from the start of the file. */
export interface DigestRange {
  readonly offset: number;
  readonly size: number;
}

/** The library takes no more at once. */
const MAX_RANGES = 1 << 10;
const DIGEST_SIZE = 32;

/**
 * Digests ranges of an open file, which may overlap: what they have in common is read once.
 *
 * @returns a function of a file descriptor and ranges, which gives a digest in hexadecimal for each. It throws {FormatError}
 *   `truncated` for a range that is not in the file, and the system's error when it cannot be read.
 */
export function createNativeRangeDigester(
  library: NativeLibrary,
): (fd: number, ranges: readonly DigestRange[]) => Promise<string[]> {
  const digestRanges = library.func(
    'int mb_sha256_ranges(int fd, const uint64_t *ranges, size_t count, _Out_ uint8_t *out)',
  );
  return async (fd, ranges) => {
    const digests: string[] = [];
    for (let first = 0; first < ranges.length; first += MAX_RANGES) {
      const some = ranges.slice(first, first + MAX_RANGES);
      const numbers = new BigUint64Array(some.length * 2);
      for (const [index, { offset, size }] of some.entries()) {
        checkFileRange({ fd, offset, length: size });
        numbers.set([BigInt(offset), BigInt(size)], index * 2);
      }
      const out = Buffer.alloc(some.length * DIGEST_SIZE);
      const length = Math.max(...some.map(({ size }) => size));
      const offset = Math.min(...some.map((range) => range.offset));
      checkRead(await callAsync(digestRanges, fd, numbers, some.length, out), { offset, length });
      for (let at = 0; at < out.length; at += DIGEST_SIZE) {
        digests.push(out.toString('hex', at, at + DIGEST_SIZE));
      }
    }
    return digests;
  };
}

/**
 * Digests files as `digestFile` of the cache does, without this thread.
 *
 * @returns a function of a path, which throws the system's error when the file cannot be read.
 */
export function createNativeFileDigester(
  library: NativeLibrary,
): (path: string) => Promise<FileDigest> {
  const digestRanges = createNativeRangeDigester(library);
  return async (path) => {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const [sha256 = ''] = await digestRanges(file.fd, [{ offset: 0, size }]);
      return { sha256, size };
    } finally {
      await file.close();
    }
  };
}
