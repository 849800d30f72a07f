/**
 * Small files about keys, read without surprises: never a pipe or device that would make us wait, never
 * more than such a file can hold, and secrets only where nobody else can read them.
 */

import { constants, open } from 'node:fs/promises';
import { UsageError } from '../../core/errors.ts';
import { reasonOf } from '../../io/system-error.ts';

export interface BoundedFileOptions {
  /** How errors call it: `key file`, `pass phrase file`. */
  readonly what: string;
  /** In bytes. */
  readonly maxSize: number;
  /** What to do when there is no such file. */
  readonly missing?: string;
}

/** A path as it can be pasted into a shell. */
export function quoteForShell(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * Reads a file that holds a secret. The caller overwrites what it gets when it is done with it.
 *
 * @throws {UsageError} `key` when others than its owner may read or write it, or it is no plain file,
 *   or too large.
 */
export const readSecretFile = (path: string, options: BoundedFileOptions): Promise<Buffer> =>
  readBounded(path, options, true);

/**
 * Reads a small file that holds no secret.
 *
 * @throws {UsageError} `key` when it is no plain file, or too large.
 */
export const readPublicFile = (path: string, options: BoundedFileOptions): Promise<Buffer> =>
  readBounded(path, options, false);

async function readBounded(
  path: string,
  { what, maxSize, missing }: BoundedFileOptions,
  isSecret: boolean,
): Promise<Buffer> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    // Opening a FIFO without this waits for somebody who writes into it.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    throw new UsageError('key', `Cannot read ${what} ${path}: ${reasonOf(cause)}`, {
      cause,
      hint: (code === 'ENOENT' ? missing : undefined) ?? `It must be a file that you can read`,
    });
  }
  try {
    // Asked of the open file, so that the file that is checked is the file that is read.
    const found = await handle.stat();
    if (!found.isFile()) {
      throw new UsageError('key', `Cannot use ${what} ${path}: it is not a plain file`, {
        hint: 'Pipes, devices and folders are not read',
      });
    }
    if (isSecret && (found.mode & 0o077) !== 0) {
      const mode = `0${(found.mode & 0o7777).toString(8).padStart(3, '0')}`;
      throw new UsageError(
        'key',
        `Cannot use ${what} ${path}: its mode is ${mode}, others than its owner may use it`,
        { hint: `Run: chmod 600 ${quoteForShell(path)}` },
      );
    }
    // One byte more than allowed is read, whatever the size is said to be: files grow.
    const buffer = Buffer.alloc(Math.min(found.size, maxSize) + 1);
    let size = 0;
    while (size < buffer.length) {
      const { bytesRead } = await handle.read(buffer, size, buffer.length - size, size);
      if (bytesRead === 0) break;
      size += bytesRead;
    }
    if (size > found.size || size > maxSize) {
      buffer.fill(0);
      throw new UsageError('key', `Cannot use ${what} ${path}: more than ${maxSize} bytes`, {
        hint: `A ${what} is smaller than that`,
      });
    }
    return buffer.subarray(0, size);
  } finally {
    await handle.close();
  }
}
