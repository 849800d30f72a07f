/**
 * One stream connection of a session.
 *
 * libbinder gives each connection a thread, and that is the protocol: after a two-way call the
 * connection carries nothing but the reply and what the peer needs to make it (reference counts,
 * calls back). Here the thread's stack is `#stack`: a call that waits for its reply, above it a call
 * back that we serve, and so on. Frames are read only while the top may take one, so a peer that
 * sends ahead is held back by the stream.
 */

import type { Duplex } from 'node:stream';
import { FormatError } from '../../core/errors.ts';
import type { ByteReader } from './byte-reader.ts';
import { RpcSessionError } from './errors.ts';
import type { RpcSession } from './session.ts';
import {
  RPC_COMMAND,
  RpcWireHeader,
  type Reply,
  type Transaction,
  decodeDecStrong,
  decodeFrameHeader,
  decodeReply,
  decodeTransaction,
} from './wire.ts';

interface Call {
  readonly kind: 'call';
  resolve(reply: Reply): void;
  reject(error: Error): void;
}
type Activity = Call | { readonly kind: 'serving' };

/** How long a closing connection may take to hand its last bytes to the kernel. */
const LINGER_MILLISECONDS = 1000;

export class RpcConnection {
  readonly #session: RpcSession;
  readonly #stream: Duplex;
  readonly #reader: ByteReader;
  /** Whether the peer may start transactions here, beyond calls back. */
  readonly #serves: boolean;
  readonly #stack: Activity[] = [];
  #changed: (() => void)[] = [];
  /** The end of the queue of calls that wait for their turn. */
  #turn: Promise<void> = Promise.resolve();
  #queued = 0;

  constructor(session: RpcSession, stream: Duplex, reader: ByteReader, serves: boolean) {
    this.#session = session;
    this.#stream = stream;
    this.#reader = reader;
    this.#serves = serves;
  }

  /** Whether we may start calls here. */
  get isOutgoing(): boolean {
    return !this.#serves;
  }

  /** Calls running or waiting for their turn. */
  get load(): number {
    return this.#queued;
  }

  /** Reads frames until the stream ends; then the whole session ends, as in libbinder. */
  async run(): Promise<void> {
    try {
      for (;;) {
        while (this.#stack.at(-1)?.kind === 'serving') await this.#change();
        const { command, bodySize } = decodeFrameHeader(
          await this.#reader.read(RpcWireHeader.size),
        );
        this.#dispatch(command, await this.#reader.read(bodySize));
      }
    } catch (error) {
      this.#session.fail(error);
    }
  }

  send(frame: Uint8Array): void {
    if (!this.#stream.writable) {
      throw new RpcSessionError('rpc-closed', 'Cannot send: the connection is closed');
    }
    this.#stream.write(frame);
  }

  /** Sends when the calls before it are done, and waits for the reply when there is one. */
  async call(
    makeFrame: () => Uint8Array,
    oneway: boolean,
    signal?: AbortSignal,
  ): Promise<Reply | null> {
    const before = this.#turn;
    const own = deferred();
    this.#turn = before.then(() => own.promise);
    this.#queued++;
    try {
      await (signal === undefined ? before : abortable(before, signal));
      return await this.callNow(makeFrame(), oneway, signal);
    } finally {
      this.#queued--;
      own.resolve();
    }
  }

  /** Sends at once: the call belongs to the transaction that is being served here. */
  async callNow(frame: Uint8Array, oneway: boolean, signal?: AbortSignal): Promise<Reply | null> {
    this.#session.throwIfClosed();
    if (oneway) {
      this.send(frame);
      return null;
    }
    const abort = (): void => this.#session.fail(aborted(signal));
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#stack.push({ kind: 'call', resolve, reject });
    });
    this.#notify();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.send(frame);
      return await reply;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Rejects the calls that wait and lets the stream go. */
  close(error: Error, graceful: boolean): void {
    for (const activity of this.#stack.splice(0)) {
      if (activity.kind === 'call') activity.reject(error);
    }
    this.#notify();
    if (!graceful) {
      this.#stream.destroy();
      return;
    }
    const timer = setTimeout(() => this.#stream.destroy(), LINGER_MILLISECONDS);
    this.#stream.end(() => {
      clearTimeout(timer);
      this.#stream.destroy();
    });
  }

  #dispatch(command: number, body: Uint8Array): void {
    const { version } = this.#session;
    const top = this.#stack.at(-1);
    switch (command) {
      case RPC_COMMAND.REPLY: {
        if (top?.kind !== 'call') throw unexpected('a reply to no call');
        const reply = decodeReply(version, body);
        this.#stack.pop();
        top.resolve(reply);
        this.#notify();
        return;
      }
      case RPC_COMMAND.DEC_STRONG: {
        const { address, amount } = decodeDecStrong(body);
        this.#session.onDecStrong(address, amount);
        return;
      }
      default:
        if (top === undefined && !this.#serves) throw unexpected('a call on a connection of ours');
        void this.#serve(decodeTransaction(version, body));
    }
  }

  async #serve(transaction: Transaction): Promise<void> {
    const serving: Activity = { kind: 'serving' };
    this.#stack.push(serving);
    try {
      const frame = await this.#session.execute(transaction, this);
      // A handler that did not wait for its own calls: their replies come first.
      while (this.#stack.includes(serving) && this.#stack.at(-1) !== serving) await this.#change();
      if (!this.#stack.includes(serving)) return;
      this.#stack.pop();
      if (frame !== null) this.send(frame);
      this.#notify();
    } catch (error) {
      this.#session.fail(error);
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #notify(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const resolve of waiting) resolve();
  }
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = noop;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const noop = (): void => undefined;

/** `promise`, or a rejection as soon as the signal fires. */
async function abortable(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const gaveUp = deferred();
  signal.addEventListener('abort', gaveUp.resolve, { once: true });
  if (signal.aborted) gaveUp.resolve();
  try {
    await Promise.race([promise, gaveUp.promise]);
  } finally {
    signal.removeEventListener('abort', gaveUp.resolve);
  }
  if (signal.aborted) throw aborted(signal);
}

const aborted = (signal: AbortSignal | undefined): RpcSessionError =>
  new RpcSessionError('rpc-aborted', 'Gave up waiting for a reply', { cause: signal?.reason });

const unexpected = (what: string): FormatError =>
  new FormatError('binder-rpc', 'bad-value', `Cannot take the frame: it is ${what}`, {
    field: 'command',
  });
