/**
 * The content-addressed store: blobs by SHA-256, and the results of pure steps by their action key.
 *
 * The layout is the one of Bazel's disk cache: `cas/<2 hex>/<sha256>` and `ac/<2 hex>/<sha256>`. A
 * blob is checked when it is opened and dropped when it is damaged, so that a bad disk or a hostile
 * neighbour costs time, never a wrong image.
 */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { EnvironmentError } from '../core/errors.ts';
import { writeFileAtomic } from '../io/atomic-output.ts';
import { makeFolder } from '../io/make-folder.ts';

/** A blob that is in the store. */
export interface StoredFile {
  readonly path: string;
  readonly sha256: string;
  readonly size: number;
}

export interface Cache {
  readonly directory: string;
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
  putActionResult(key: string, encoded: Uint8Array): Promise<void>;
  /** Forgets a result that cannot be used. */
  dropActionResult(key: string): Promise<void>;
  /** The stored result of an action, or undefined. */
  getResult(actionKey: string): Promise<unknown>;
  putResult(actionKey: string, result: unknown): Promise<void>;
}

/** Messages and values are smaller. */
const MAX_SMALL_BLOB = 64 << 20;

/** `MICROBUILD_CACHE`, else `XDG_CACHE_HOME/microbuild`, else `~/.cache/microbuild`. */
export function defaultCacheDirectory(env: NodeJS.ProcessEnv): string {
  return (
    env['MICROBUILD_CACHE'] ??
    join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'microbuild')
  );
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

/** The key of an action: SHA-256 over a canonical (sorted, JSON) form of what determines its result. */
export function actionKey(action: Readonly<Record<string, unknown>>): string {
  const canonical = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(canonical)
      : value !== null && typeof value === 'object'
        ? Object.fromEntries(
            Object.entries(value)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([key, each]) => [key, canonical(each)]),
          )
        : value;
  return createHash('sha256')
    .update(JSON.stringify(canonical(action)))
    .digest('hex');
}

/**
 * Opens (and makes, private to the user) a store. Several processes may use it at once.
 *
 * @throws {EnvironmentError} when the folder cannot be made.
 */
export async function openCache(directory: string): Promise<Cache> {
  const temporary = join(directory, 'tmp');
  try {
    await makeFolder(temporary, 0o700);
  } catch (cause) {
    const { code = 'error' } = cause as NodeJS.ErrnoException;
    throw new EnvironmentError('cache', `Cannot keep a cache in ${directory}: ${code}`, {
      cause,
      hint: 'Make the folder writable, or name another one: export MICROBUILD_CACHE=FOLDER',
    });
  }
  const place = (kind: 'cas' | 'ac', key: string): string =>
    join(directory, kind, key.slice(0, 2), key);

  const cache: Cache = {
    directory,
    async temporaryFolder() {
      const path = join(temporary, randomBytes(8).toString('hex'));
      await mkdir(path, { mode: 0o700 });
      return path;
    },
    async find(sha256, size) {
      const path = place('cas', sha256);
      try {
        if (size !== undefined && (await stat(path)).size !== size) {
          await rm(path, { force: true });
          return undefined;
        }
        if ((await digestFile(path)).sha256 === sha256) return path;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
      await rm(path, { force: true });
      return undefined;
    },
    async adopt(file) {
      const { sha256, size } = await digestFile(file);
      const path = place('cas', sha256);
      await makeFolder(dirname(path), 0o700);
      await chmod(file, 0o600);
      await rename(file, path);
      return { sha256, size, path };
    },
    async put(bytes) {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const path = place('cas', sha256);
      const known = await stat(path).catch(() => undefined);
      if (known?.size !== bytes.length) await writeFileAtomic(path, bytes, 0o600);
      return sha256;
    },
    async readBlob(sha256) {
      const path = place('cas', sha256);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || found.size > MAX_SMALL_BLOB) return undefined;
      const bytes = await readFile(path).catch(() => undefined);
      if (bytes === undefined) return undefined;
      if (createHash('sha256').update(bytes).digest('hex') === sha256) return bytes;
      await rm(path, { force: true });
      return undefined;
    },
    async findActionResult(key) {
      const path = place('ac', key);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || found.size > MAX_SMALL_BLOB) return undefined;
      return readFile(path).catch(() => undefined);
    },
    putActionResult: (key, encoded) => writeFileAtomic(place('ac', key), encoded, 0o600),
    dropActionResult: (key) => rm(place('ac', key), { force: true }),
    async getResult(key) {
      try {
        return JSON.parse(await readFile(place('ac', key), 'utf8')) as unknown;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'ENOENT' || error instanceof SyntaxError) return undefined;
        throw error;
      }
    },
    putResult: (key, result) => writeFileAtomic(place('ac', key), JSON.stringify(result), 0o600),
  };
  return cache;
}
