/**
 * What tells that a file is still the one that was looked at before, and the digests of many files at once.
 *
 * A signature is what `stat` says of an inode that no write leaves as it is: packed, as there may be one for each of tens of
 * thousands of files. Reading them here is the twin of the native library's reader, which does it on several threads.
 */

import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, statSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { systemError } from './system-error.ts';

/**
 * Words of a signature, two for what has 64 bits, the lower one first:
 *
 * | words | |
 * |---|---|
 * | 0 | errno of what could not be asked or read, or 0: then the rest is 0 |
 * | 1 | `st_mode` |
 * | 2, 4, 6 | `st_dev`, `st_ino`, `st_size` |
 * | 8, 10 | seconds of `st_mtime`, its nanoseconds (one word) |
 * | 11, 13 | seconds of `st_ctime`, its nanoseconds (one word) |
 */
export const SIGNATURE_WORDS = 14;

export const DIGEST_BYTES = 32;

/** The errno of a file that changed while it was read. */
export const ESTALE = 116;
const EISDIR = 21;
const EINVAL = 22;

const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

/** What was read of files, in the order of their paths. */
export interface FileDigests {
  readonly signatures: Uint32Array;
  /** SHA-256 of each: 32 bytes; zeros where the signature has an errno. */
  readonly digests: Uint8Array;
}

/** Asks for and reads many files; one of the library, or the one here. */
export interface FileReader {
  /** The signatures of files; of what symbolic links lead to when they are followed. */
  signatures(paths: readonly string[], options: { readonly follow: boolean }): Promise<Uint32Array>;
  /** The digests of regular files, with their signatures when they were opened. Symbolic links are followed. */
  digests(paths: readonly string[]): Promise<FileDigests>;
}

/** After so many files others get their turn. */
const BATCH = 512;
const BUFFER_SIZE = 1 << 20;

/** The reader of this thread. */
export const plainFileReader: FileReader = {
  async signatures(paths, { follow }) {
    const words = new Uint32Array(paths.length * SIGNATURE_WORDS);
    for (const [index, path] of paths.entries()) {
      if (index % BATCH === BATCH - 1) await setImmediate();
      const at = index * SIGNATURE_WORDS;
      try {
        const ask = follow ? statSync : lstatSync;
        packSignature(ask(path, { bigint: true }), words, at);
      } catch (error) {
        words[at] = errnoOf(error);
      }
    }
    return words;
  },
  async digests(paths) {
    const signatures = new Uint32Array(paths.length * SIGNATURE_WORDS);
    const digests = new Uint8Array(paths.length * DIGEST_BYTES);
    const buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
    for (const [index, path] of paths.entries()) {
      if (index % BATCH === BATCH - 1) await setImmediate();
      const at = index * SIGNATURE_WORDS;
      const words = signatures.subarray(at, at + SIGNATURE_WORDS);
      try {
        const digest = await readDigest(path, words, buffer);
        if (digest !== undefined) digests.set(digest, index * DIGEST_BYTES);
      } catch (error) {
        words.fill(0);
        words[0] = errnoOf(error);
      }
    }
    return { signatures, digests };
  },
};

/** Fills the signature; undefined where that has an errno. */
async function readDigest(
  path: string,
  words: Uint32Array,
  buffer: Buffer,
): Promise<Buffer | undefined> {
  // A pipe that nobody writes to must not be waited for.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    packSignature(fstatSync(fd, { bigint: true }), words, 0);
    const kind = (words[1] ?? 0) & S_IFMT;
    if (kind !== S_IFREG) {
      words.fill(0);
      words[0] = kind === S_IFDIR ? EISDIR : EINVAL;
      return undefined;
    }
    const hash = createHash('sha256');
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      hash.update(buffer.subarray(0, read));
      if (read === buffer.length) await setImmediate();
    }
    const after = new Uint32Array(SIGNATURE_WORDS);
    packSignature(fstatSync(fd, { bigint: true }), after, 0);
    if (!isSameSignature(words, 0, after, 0)) {
      words.fill(0);
      words[0] = ESTALE;
      return undefined;
    }
    return hash.digest();
  } finally {
    closeSync(fd);
  }
}

function errnoOf(error: unknown): number {
  const { errno } = error as NodeJS.ErrnoException;
  if (errno === undefined) throw error;
  return -errno;
}

const LOW = 0xffff_ffffn;
const NANOSECONDS = 1_000_000_000n;

/** Writes a signature to `words` from `at` on. */
function packSignature(stats: BigIntStats, words: Uint32Array, at: number): void {
  const put = (index: number, value: bigint): void => {
    const bits = BigInt.asUintN(64, value);
    words[at + index] = Number(bits & LOW);
    words[at + index + 1] = Number(bits >> 32n);
  };
  const time = (index: number, nanoseconds: bigint): void => {
    // Rounded down, also before 1970.
    const rest = ((nanoseconds % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
    put(index, (nanoseconds - rest) / NANOSECONDS);
    words[at + index + 2] = Number(rest);
  };
  words[at] = 0;
  words[at + 1] = Number(stats.mode);
  put(2, stats.dev);
  put(4, stats.ino);
  put(6, stats.size);
  time(8, stats.mtimeNs);
  time(11, stats.ctimeNs);
}

/** Whether both are of the same, unchanged file. */
export function isSameSignature(a: Uint32Array, atA: number, b: Uint32Array, atB: number): boolean {
  for (let i = 0; i < SIGNATURE_WORDS; i += 1) if (a[atA + i] !== b[atB + i]) return false;
  return true;
}

/** The size that a signature tells. */
export const sizeOfSignature = (words: Uint32Array, at: number): number =>
  (words[at + 6] ?? 0) + (words[at + 7] ?? 0) * 2 ** 32;

export const isSymlinkSignature = (words: Uint32Array, at: number): boolean =>
  ((words[at + 1] ?? 0) & S_IFMT) === S_IFLNK;

/** Times of a coarse file system are whole seconds; of FAT every other one. */
const COARSE_MILLISECONDS = 2100;
/** The kernel's clock for files is some milliseconds behind, up to one tick. */
const FINE_MILLISECONDS = 20;

/**
 * Whether every change that was made from a moment on shows in the signature: it was last changed long enough before for a
 * later change to have another time. What is not settled must be read again, as git does with what it calls racy.
 *
 * @param moment Milliseconds since 1970, before the file was read.
 */
export function isSettled(words: Uint32Array, at: number, moment: number): boolean {
  const nanoseconds = words[at + 13] ?? 0;
  const isCoarse = nanoseconds === 0 && words[at + 10] === 0;
  // Signed: a time before 1970 is long ago.
  const seconds = (words[at + 11] ?? 0) + ((words[at + 12] ?? 0) | 0) * 2 ** 32;
  const changed = seconds * 1000 + nanoseconds / 1e6;
  return changed + (isCoarse ? COARSE_MILLISECONDS : FINE_MILLISECONDS) < moment;
}

/**
 * @throws what the system said of the file, if it said anything.
 */
export function checkSignature(words: Uint32Array, index: number, path: string): void {
  const errno = words[index * SIGNATURE_WORDS] ?? 0;
  if (errno !== 0) throw systemError(errno, 'read', path);
}
