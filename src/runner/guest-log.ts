/** The log port: what the payload prints comes over vsock to host port 2001, raw, over one connection. */

import { type Server, type Socket, createServer } from 'node:net';
import { listenPrivately } from './private-socket.ts';
import type { RotatingLog } from './rotating-log.ts';

export const LOG_PORT = 2001;
const CLOSE_MILLISECONDS = 200;

/** One that writes and one that waits; a guest has use for one. */
const MAX_CONNECTIONS = 2;

export class GuestLog {
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  #copying: Promise<void> = Promise.resolve();

  private constructor(log: RotatingLog) {
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      if (this.#connections.size >= MAX_CONNECTIONS) {
        socket.destroy();
        return;
      }
      this.#connections.add(socket);
      // One after the other: else one would write into the lines of the other.
      this.#copying = this.#copying.then(async () => this.#copy(socket, log));
    });
  }

  static async listen(path: string, log: RotatingLog): Promise<GuestLog> {
    const guestLog = new GuestLog(log);
    await listenPrivately(guestLog.#server, path);
    return guestLog;
  }

  /** Takes in what was sent, and closes. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#connections) socket.end();
    // Whoever holds the other end is gone: what arrived is all there is.
    const giveUp = setTimeout(() => {
      for (const socket of this.#connections) socket.destroy();
    }, CLOSE_MILLISECONDS);
    await this.#copying;
    clearTimeout(giveUp);
    await closed;
  }

  /** Reads on only when a chunk is written: a payload that floods its log waits. */
  async #copy(socket: Socket, log: RotatingLog): Promise<void> {
    try {
      for await (const chunk of socket) await log.write(chunk as Uint8Array);
    } catch {
      // Cut off: what arrived before is in the log.
    }
    this.#connections.delete(socket);
    socket.destroy();
  }
}
