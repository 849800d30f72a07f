/** `--forward PORT:PATH`: a port of the guest as a Unix socket of the host. */

import { rm } from 'node:fs/promises';
import { type Server, type Socket, createServer } from 'node:net';
import { pipeline } from 'node:stream';
import { UsageError } from '../core/errors.ts';
import { clearStaleSocket, listenPrivately } from './private-socket.ts';
import type { VmForward } from './vm-options.ts';
import { connectVsock } from './vsock.ts';

const MAX_PORT = 0xffff_fffe;
/** sockaddr_un holds 107 bytes and a zero. */
const MAX_PATH = 107;

/** @throws {UsageError} for what is not `PORT:PATH`. */
export function parseForward(text: string): VmForward {
  const [, digits = '', path = ''] = /^(\d{1,10}):(.+)$/s.exec(text) ?? [];
  const port = Number(digits);
  if (digits === '' || port < 1 || port > MAX_PORT || path.includes('\0')) {
    throw new UsageError('usage', `Cannot forward "${text}": it is not PORT:PATH`, {
      hint: 'Write the guest’s vsock port and a path on this machine, as in 5678:hello.sock',
    });
  }
  if (Buffer.byteLength(path) > MAX_PATH) {
    throw new UsageError('usage', `Cannot forward to ${path}: too long for a socket`, {
      hint: `At most ${MAX_PATH} bytes; a relative path may be shorter`,
    });
  }
  return { port, path };
}

/** How long a client waits for a guest that does not listen yet. */
const PATIENCE_MILLISECONDS = 60_000;

export interface Forward {
  close(): Promise<void>;
}

/**
 * Serves a port of the guest at a path. A guest that does not listen yet is tried again while it runs; one
 * that refuses closes the connection.
 *
 * @throws {UsageError} when something is at the path.
 */
export async function openForward(
  { port, path }: VmForward,
  hostSocket: string,
  isRunning: () => boolean,
): Promise<Forward> {
  await clearStaleSocket(path);
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    open.add(client);
    client.on('error', () => undefined);
    client.on('close', () => open.delete(client));
    const deadline = Date.now() + PATIENCE_MILLISECONDS;
    const keepTrying = (): boolean => isRunning() && !client.destroyed && Date.now() < deadline;
    void join(client, port, hostSocket, keepTrying);
  });
  await listenPrivately(server, path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError('output', `Cannot serve at ${path}: ${cause.code ?? 'error'}`, { cause });
  });
  return {
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const client of open) client.destroy();
      await closed;
      await rm(path, { force: true });
    },
  };
}

async function join(
  client: Socket,
  port: number,
  hostSocket: string,
  keepTrying: () => boolean,
): Promise<void> {
  try {
    const guest = await connectVsock(hostSocket, port, { keepTrying });
    const end = (): void => {
      client.destroy();
      guest.destroy();
    };
    // Each direction ends by itself; an error of one ends both.
    pipeline(client, guest, (error) => error && end());
    pipeline(guest, client, (error) => error && end());
  } catch {
    client.destroy();
  }
}
