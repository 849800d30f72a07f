/** Small files of random bytes that are made once, and belong to this user alone. */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { EnvironmentError } from '../../core/errors.ts';
import { writeFileSynced } from '../../io/atomic-output.ts';

/**
 * Reads the file; makes it when there is none. Of several processes that make it at the same time one
 * succeeds, and all read its bytes.
 *
 * @throws {EnvironmentError} for a file that others can read, of another owner or of another size.
 */
export async function readOrMakeSecret(path: string, size: number): Promise<Uint8Array> {
  return (await readSecret(path, size)) ?? makeSecret(path, size);
}

async function makeSecret(path: string, size: number): Promise<Uint8Array> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const secret = new Uint8Array(randomBytes(size));
  try {
    await writeFileSynced(temporary, secret, 0o600);
    await link(temporary, path);
    const folder = await open(dirname(path), 'r');
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    secret.fill(0);
    await rm(temporary, { force: true });
  }
  // What stands there counts, whoever made it.
  const made = await readSecret(path, size);
  if (made !== undefined) return made;
  throw refuse(path, 'it was removed while it was made');
}

/** Undefined where there is none. @throws {EnvironmentError} as `readOrMakeSecret`. */
export async function readSecret(path: string, size: number): Promise<Uint8Array | undefined> {
  let handle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw refuse(path, 'it is a link');
    throw error;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw refuse(path, 'it is not a file');
    if (stat.uid !== userInfo().uid) throw refuse(path, 'it belongs to somebody else');
    if ((stat.mode & 0o077) !== 0) {
      throw refuse(path, 'others can read it, and may have', `chmod 600 ${path}`);
    }
    if (stat.size !== size) throw refuse(path, `it has ${stat.size} bytes, not ${size}`);
    const secret = new Uint8Array(size);
    const { bytesRead } = await handle.read(secret, 0, size, 0);
    if (bytesRead !== size) throw refuse(path, 'it became shorter while it was read');
    return secret;
  } finally {
    await handle.close();
  }
}

function refuse(path: string, why: string, remedy?: string): EnvironmentError {
  return new EnvironmentError('secret', `Cannot use ${path}: ${why}`, {
    hint:
      remedy === undefined
        ? 'Put back the file from a backup; without it the secrets of instances are lost'
        : `Where nobody else has used this machine: ${remedy}`,
  });
}
