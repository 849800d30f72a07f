/** The log port: what the payload prints comes over vsock to host port 2001, raw, over one connection. */

import { type Server, type Socket, createServer } from 'node:net';
import { listenPrivately } from './private-socket.ts';
import type { RotatingLog } from './rotating-log.ts';

export const LOG_PORT = 2001;

export class GuestLog {
  readonly #server: Server;
  #connection: Socket | undefined;
  #copying: Promise<void> = Promise.resolve();

  private constructor(log: RotatingLog) {
    // A second connection would mix its lines into those of the first.
    this.#server = createServer((socket) => {
      socket.on('error', () => undefined);
      if (this.#connection !== undefined) socket.destroy();
      else this.#take(socket, log);
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
    this.#connection?.end();
    // Whoever holds the other end is gone: what arrived is all there is.
    const giveUp = setTimeout(() => this.#connection?.destroy(), 200);
    await this.#copying;
    clearTimeout(giveUp);
    this.#connection?.destroy();
    await closed;
  }

  #take(socket: Socket, log: RotatingLog): void {
    this.#connection = socket;
    // Reads on only when a chunk is written: a payload that floods its log waits.
    this.#copying = (async () => {
      for await (const chunk of socket) await log.write(chunk as Uint8Array);
    })()
      .catch(() => undefined)
      .finally(() => {
        this.#connection = undefined;
      });
  }
}
