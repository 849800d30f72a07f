/** The connections of a session on which we call: one call at a time each, first come first served. */

import type { RpcConnection } from './connection.ts';
import { BinderStatusError, RpcSessionError, STATUS } from './errors.ts';

interface Waiter {
  resolve(connection: RpcConnection): void;
  reject(error: Error): void;
}

export class ConnectionPool {
  readonly #connections: RpcConnection[] = [];
  readonly #busy = new Set<RpcConnection>();
  readonly #waiters = new Set<Waiter>();
  /** Where the search for a free one starts: one-way calls take turns, as in libbinder. */
  #next = 0;

  get size(): number {
    return this.#connections.length;
  }

  add(connection: RpcConnection): void {
    this.#connections.push(connection);
    this.#busy.add(connection);
    this.give(connection);
  }

  /** One that nobody uses, for a word that needs no turn; else any. */
  any(): RpcConnection | undefined {
    return this.#free() ?? this.#connections[0];
  }

  /**
   * A connection for one call, to be given back.
   *
   * @throws {BinderStatusError} WOULD_BLOCK when there is none at all, as in libbinder.
   * @throws {RpcSessionError} `rpc-aborted` when the signal fires first.
   */
  async take(oneway: boolean, signal?: AbortSignal): Promise<RpcConnection> {
    if (this.#connections.length === 0) throw new BinderStatusError(STATUS.WOULD_BLOCK);
    if (oneway) this.#next = (this.#next + 1) % this.#connections.length;
    const free = this.#waiters.size === 0 ? this.#free() : undefined;
    if (free !== undefined) {
      this.#busy.add(free);
      return free;
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiters.delete(waiter);
        reject(aborted(signal));
      };
      const waiter: Waiter = {
        resolve(connection) {
          signal?.removeEventListener('abort', abort);
          resolve(connection);
        },
        reject(error) {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  give(connection: RpcConnection): void {
    const [waiter] = this.#waiters;
    if (waiter === undefined) {
      this.#busy.delete(connection);
      return;
    }
    this.#waiters.delete(waiter);
    waiter.resolve(connection);
  }

  /** Rejects those who wait. */
  close(error: Error): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }

  #free(): RpcConnection | undefined {
    const count = this.#connections.length;
    for (let step = 0; step < count; step++) {
      const connection = this.#connections[(this.#next + step) % count];
      if (connection !== undefined && !this.#busy.has(connection)) return connection;
    }
    return undefined;
  }
}

/** A call that its caller gave up. */
export const aborted = (signal: AbortSignal | undefined): RpcSessionError =>
  new RpcSessionError('rpc-aborted', 'Gave up waiting for a reply', { cause: signal?.reason });
