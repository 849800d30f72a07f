/** Unix sockets that only this user can connect to. */

import { chmod, lstat, rm } from 'node:fs/promises';
import { type Server, connect } from 'node:net';
import { UsageError } from '../core/errors.ts';

/** Listens with mode 0600 from the first moment, whatever the umask is. */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // The socket is bound in this call, not later: the umask of nobody else is touched.
    const umask = setUmask(0o177);
    try {
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      if (umask !== undefined) setUmask(umask);
    }
  });
  await chmod(path, 0o600);
}

/** Undefined in a worker thread, which may not set it. */
function setUmask(mask: number): number | undefined {
  try {
    return process.umask(mask);
  } catch {
    return undefined;
  }
}

/**
 * Makes room for a socket at a path of the user's: one that nobody serves any more is removed.
 *
 * @throws {UsageError} `output` when something else is there, or somebody serves it.
 */
export async function clearStaleSocket(path: string): Promise<void> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new UsageError('output', `Cannot serve at ${path}: ${error.code ?? 'error'}`, {
      cause: error,
    });
  });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new UsageError('output', `Cannot serve at ${path}: it is no socket`);
  if (await isServed(path)) {
    throw new UsageError('output', `Cannot serve at ${path}: another program serves there`);
  }
  await rm(path, { force: true });
}

function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
