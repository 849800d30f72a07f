/**
 * The content-addressed store: blobs by SHA-256, and the results of pure steps by the digest of their action.
 *
 * The layout is the one of Bazel's disk cache: `cas/<2 hex>/<sha256>`, `ac/<2 hex>/<sha256>`, `tmp`; the time of a file is when
 * it was last used. A blob is hashed before it is used, unless its stat signature shows that it is the one that was hashed
 * since this machine started: a bad disk costs time, never a wrong image. Who may write to the folder is trusted, as results and
 * what is remembered have no signature: it is made for one user alone.
 */

import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { access, chmod, lstat, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fromHex, toHex } from '../core/digest.ts';
import { EnvironmentError } from '../core/errors.ts';
import {
  checkSignature,
  plainFileReader,
  sizeOfSignature,
  type FileReader,
} from '../io/file-signatures.ts';
import { makeFolder } from '../io/make-folder.ts';
import { readRegular } from '../io/read-regular.ts';
import { passSystemErrors, placed } from '../io/system-error.ts';
import { announce, waitForOthers } from './announce.ts';
import type { Audit } from './audit.ts';
import { bootId, processMark } from '../io/process-mark.ts';
import { pruneWhenFull } from './prune.ts';
import { isQuarantined } from './quarantine.ts';
import { openStatDigests, type StatDigests } from './stat-digests.ts';
import { openTemporaries } from './temporary.ts';
import { reasonOf } from '../io/system-error.ts';

/** A blob that is in the store. */
export interface StoredFile {
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

export interface Cache {
  readonly directory: string;
  /** Of the actions that are run with this cache. */
  readonly audit: Audit | undefined;
  /** A folder for a file in the making, on the same file system as the store. Remove it after use. */
  temporaryFolder(): Promise<string>;
  /** The path of a blob whose bytes have this digest (and this size, if it is told), or undefined. */
  find(sha256: string, size?: number): Promise<string | undefined>;
  /** Moves a file into the store. @returns its digest, size and path. */
  adopt(file: string): Promise<StoredFile>;
  /** Stores bytes. @returns their digest. */
  put(bytes: Uint8Array): Promise<string>;
  /** The bytes of a small blob, such as an encoded message, or undefined. */
  readBlob(sha256: string): Promise<Uint8Array | undefined>;
  /** The encoded `ActionResult` of an action by the digest of its `Action`. Nothing of it has been checked. */
  findActionResult(key: string): Promise<Uint8Array | undefined>;
  /** Keeps a result, unless the action is in quarantine. */
  putActionResult(key: string, encoded: Uint8Array): Promise<void>;
  /** Forgets a result that cannot be used. */
  dropActionResult(key: string): Promise<void>;
  /**
   * Does the work of an action, unless another process that lives is at it: then waits until it is done.
   *
   * @returns undefined when it was waited for, and its result can be looked for; or not, when it failed.
   */
  exclusively<T>(
    key: string,
    work: () => Promise<T>,
    signal?: AbortSignal,
  ): Promise<{ readonly done: T } | undefined>;
  /** Writes down what is known of blobs and, when the store grew beyond its bound, removes what was not used longest. */
  close(): Promise<void>;
}

export interface CacheOptions {
  /** Reads and hashes files; default: this thread. */
  readonly reader?: FileReader | undefined;
  /** Bytes that the store may have; see `sizeBound`. */
  readonly bound?: number | undefined;
  /** Runs some actions again although their results are kept, and compares. */
  readonly audit?: Audit | undefined;
}

/** Messages and values are smaller. */
const MAX_SMALL_BLOB = 64 << 20;

/** The time of a file that was used this recently is left as it is. */
const TOUCH_SECONDS = 600;

/**
 * `MICROBUILD_CACHE`, else `XDG_CACHE_HOME/microbuild`, else `~/.cache/microbuild`, as an absolute path. Of the XDG Base Directory
 * Specification: what is empty is as if it was not set, what is relative does not count.
 *
 * @throws {EnvironmentError} when nothing says where.
 */
export function defaultCacheDirectory(env: NodeJS.ProcessEnv): string {
  const { MICROBUILD_CACHE: named = '', XDG_CACHE_HOME: caches = '' } = env;
  if (named !== '') return resolve(named);
  return join(isAbsolute(caches) ? caches : join(homeFolder(env), '.cache'), 'microbuild');
}

function homeFolder({ HOME = '' }: NodeJS.ProcessEnv): string {
  if (isAbsolute(HOME)) return HOME;
  try {
    return userInfo().homedir;
  } catch (cause) {
    // A number that the system has no user for, as containers use them.
    throw new EnvironmentError('cache', 'Cannot tell where the cache is: HOME is not set', {
      cause,
      hint: 'Name a folder for it: export MICROBUILD_CACHE=FOLDER',
    });
  }
}

/** SHA-256 of a file in lower-case hexadecimal, and its size. */
export async function digestFile(path: string): Promise<{ sha256: string; size: number }> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    size += (chunk as Buffer).length;
  }
  return { sha256: hash.digest('hex'), size };
}

/**
 * Opens (and makes, private to the user) a store. Several processes may use it at once.
 *
 * @throws {EnvironmentError} when the folder cannot be made.
 */
export async function openCache(directory: string, options: CacheOptions = {}): Promise<Cache> {
  const { reader = plainFileReader } = options;
  const temporary = join(directory, 'tmp');
  try {
    await makeFolder(temporary, 0o700);
    await access(temporary, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new EnvironmentError('cache', `Cannot keep a cache in ${directory}: ${reasonOf(cause)}`, {
      cause,
      hint: 'Make the folder writable, or name another one: export MICROBUILD_CACHE=FOLDER',
    });
  }
  const place = (kind: 'cas' | 'ac', key: string): string =>
    join(directory, kind, key.slice(0, 2), key);
  const temporaries = openTemporaries(temporary);
  const verified = lazy(() => openVerified(directory, reader));
  let added = 0;

  const signatureOf = (path: string): Promise<Uint32Array> =>
    reader.signatures([path], { follow: false });

  /** Takes note that a file is what it should be, now that it is where it should be. */
  const remember = async (path: string, sha256: string): Promise<void> => {
    const words = await signatureOf(path);
    if (words[0] === 0) (await verified()).remember(path, fromHex(sha256), words);
  };

  /** Makes a file's time the present, unless it is nearly so. */
  const touch = async (path: string, modified: number): Promise<boolean> => {
    const now = Date.now() / 1000;
    if (Math.abs(now - modified) < TOUCH_SECONDS) return false;
    // Another process may have removed it.
    return utimes(path, now, now).then(
      () => true,
      () => false,
    );
  };

  const moveIn = async (file: string, path: string): Promise<void> => {
    try {
      await rename(file, path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A folder in the place of a file is damage as any other.
      if (code === 'EISDIR' || code === 'ENOTEMPTY' || code === 'EEXIST') {
        await rm(path, { recursive: true, force: true });
      } else if (code !== 'ENOENT') throw error;
      await makeFolder(dirname(path), 0o700);
      await rename(file, path);
    }
  };

  const write = async (path: string, bytes: Uint8Array): Promise<void> => {
    const file = await temporaries.path();
    try {
      await writeFile(file, bytes, { flag: 'wx', mode: 0o600 });
      await moveIn(file, path);
    } catch (error) {
      throw placed(error, directory);
    } finally {
      await rm(file, { force: true });
    }
    added += bytes.length;
  };

  /** Whether the file is there and has these bytes; what is there and has not is removed. */
  const check = async (path: string, sha256: string, size?: number): Promise<boolean> => {
    const words = await signatureOf(path);
    if (words[0] === ENOENT || words[0] === ENOTDIR) return false;
    checkSignature(words, 0, path);
    const drop = async (): Promise<boolean> => {
      await rm(path, { force: true, recursive: true });
      return false;
    };
    const isFile = ((words[1] ?? 0) & 0o170000) === 0o100000;
    if (!isFile || (size !== undefined && sizeOfSignature(words, 0) !== size)) return drop();
    const known = await verified();
    const recalled = known.recall(path, words);
    if (recalled === undefined || toHex(recalled) !== sha256) {
      const found = await known.digestOf(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (found === undefined) return false;
      if (found.sha256 !== sha256) return drop();
    }
    if (await touch(path, words[8] ?? 0)) {
      const touched = await signatureOf(path);
      // The same inode of the same size: what was known of it holds behind its new time.
      if (words.subarray(1, 8).every((word, index) => word === touched[index + 1])) {
        known.remember(path, fromHex(sha256), touched);
      }
    }
    return true;
  };

  const cache: Cache = {
    directory,
    audit: options.audit,
    temporaryFolder: () => temporaries.folder(),
    async find(sha256, size) {
      const path = place('cas', sha256);
      return (await check(path, sha256, size)) ? path : undefined;
    },
    async adopt(file) {
      const { digests, signatures } = await reader.digests([file]);
      checkSignature(signatures, 0, file);
      const sha256 = toHex(digests);
      const size = sizeOfSignature(signatures, 0);
      const path = place('cas', sha256);
      const there = await signatureOf(path);
      const known = there[0] === 0 && (await verified()).recall(path, there);
      if (known && toHex(known) === sha256 && (await check(path, sha256, size))) {
        await rm(file, { force: true });
        return { sha256, size, path };
      }
      await chmod(file, 0o600);
      await moveIn(file, path);
      added += size;
      await remember(path, sha256);
      return { sha256, size, path };
    },
    async put(bytes) {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const path = place('cas', sha256);
      if (await check(path, sha256, bytes.length)) return sha256;
      await write(path, bytes);
      await remember(path, sha256);
      return sha256;
    },
    async readBlob(sha256) {
      const path = place('cas', sha256);
      const found = await lstat(path).catch(() => undefined);
      if (found?.isFile() !== true || found.size > MAX_SMALL_BLOB) return undefined;
      const bytes = await readRegular(path, MAX_SMALL_BLOB);
      if (bytes === undefined) return undefined;
      if (createHash('sha256').update(bytes).digest('hex') === sha256) {
        await touch(path, found.mtimeMs / 1000);
        return bytes;
      }
      await rm(path, { force: true });
      return undefined;
    },
    async findActionResult(key) {
      const path = place('ac', key);
      const found = await lstat(path).catch(() => undefined);
      if (found?.isFile() !== true || found.size > MAX_SMALL_BLOB) return undefined;
      await touch(path, found.mtimeMs / 1000);
      return readRegular(path, MAX_SMALL_BLOB);
    },
    async putActionResult(key, encoded) {
      if (!(await isQuarantined(directory, key))) await write(place('ac', key), encoded);
    },
    dropActionResult: (key) => rm(place('ac', key), { force: true, recursive: true }),
    async exclusively(key, work, signal) {
      const file = join(temporary, `action-${key}`);
      const takeBack = await announce(file, await temporaries.path(), await processMark());
      if (takeBack === undefined) {
        await waitForOthers(file, signal);
        return undefined;
      }
      try {
        return { done: await work() };
      } finally {
        await takeBack();
      }
    },
    async close() {
      const grown = added;
      added = 0;
      try {
        if (verified.isMade()) await (await verified()).save();
        if (grown > 0) await pruneWhenFull(directory, grown, { ...options, reader });
      } catch (error) {
        // What is lost is time: a disk that is full must not fail a build that is done.
        passSystemErrors(error);
      }
    },
  };
  return cache;
}

const ENOENT = 2;
const ENOTDIR = 20;

/** What is made when it is first asked for. */
function lazy<T>(make: () => Promise<T>): { (): Promise<T>; isMade(): boolean } {
  let made: Promise<T> | undefined;
  const get = (): Promise<T> => (made ??= make());
  return Object.assign(get, { isMade: () => made !== undefined });
}

/**
 * The blobs that were hashed. What was written before the machine went down may not have reached the disk as it was, so
 * all is hashed again after its next start.
 */
async function openVerified(directory: string, reader: FileReader): Promise<StatDigests> {
  const epoch = await bootId();
  const file = join(directory, 'microbuild', 'verified');
  return openStatDigests(file, { reader, epoch, bound: epoch === '' ? 0 : undefined });
}
