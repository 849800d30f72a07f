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
import type { CallContext } from './binder.ts';
import type { ByteReader } from './byte-reader.ts';
import { RpcSessionError } from './errors.ts';
import { aborted } from './pool.ts';
import type { RpcSession } from './session.ts';
import {
  FLAG_ONEWAY,
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
interface Serving {
  readonly kind: 'serving';
  readonly context: CallContext;
  /** The end of the queue of calls back that belong to it: the peer takes one after the other. */
  turn: Promise<unknown>;
  /** Its reply is on the way; calls back come too late. */
  answered: boolean;
}

/** How long a closing connection may take to hand its last bytes to the kernel. */
const LINGER_MILLISECONDS = 1000;

export class RpcConnection {
  readonly #session: RpcSession;
  readonly #stream: Duplex;
  readonly #reader: ByteReader;
  /** Whether the peer may start transactions here, beyond calls back. */
  readonly #serves: boolean;
  readonly #stack: (Call | Serving)[] = [];
  #changed: (() => void)[] = [];

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

  /** Waits until the peer has taken most of what was sent, or the connection has ended. */
  async drained(): Promise<void> {
    const stream = this.#stream;
    if (!stream.writableNeedDrain || stream.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off('drain', done);
        stream.off('close', done);
        resolve();
      };
      stream.once('drain', done);
      stream.once('close', done);
    });
  }

  /** Whether a call is being served here whose caller still listens. */
  isServing(context: CallContext): boolean {
    const serving = this.#find(context);
    return serving !== undefined && !serving.answered;
  }

  /** Calls back the caller of a call that is served here, after the other such calls. */
  async callBack(
    context: CallContext,
    makeFrame: () => Uint8Array,
    oneway: boolean,
    signal?: AbortSignal,
  ): Promise<Reply | null> {
    const serving = this.#find(context);
    const run = async (): Promise<Reply | null> => this.call(makeFrame(), oneway, signal);
    if (serving === undefined) return run();
    const result = serving.turn.then(run, run);
    serving.turn = result.catch(() => undefined);
    return result;
  }

  /** Sends at once, and waits for the reply when there is one. */
  async call(frame: Uint8Array, oneway: boolean, signal?: AbortSignal): Promise<Reply | null> {
    this.#session.throwIfClosed();
    if (oneway) {
      this.send(frame);
      await this.drained();
      return null;
    }
    const abort = (): void => this.#session.fail(aborted(signal));
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#stack.push({ kind: 'call', resolve, reject });
    });
    this.#notify();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted === true) abort();
      else this.send(frame);
      return await reply;
    } catch (error) {
      // Where the stream could not be written it has ended, or is about to.
      this.#session.fail(error);
      reply.catch(() => undefined);
      throw error;
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
    const oneway = (transaction.flags & FLAG_ONEWAY) !== 0;
    const context = { session: this.#session, connection: this, oneway };
    const serving: Serving = {
      kind: 'serving',
      context,
      turn: Promise.resolve(),
      answered: false,
    };
    this.#stack.push(serving);
    try {
      const frame = await this.#session.execute(transaction, context);
      // A handler that did not wait for its own calls: their replies come first.
      while (this.#stack.includes(serving) && this.#stack.at(-1) !== serving) await this.#change();
      if (!this.#stack.includes(serving)) return;
      serving.answered = true;
      if (frame !== null) this.send(frame);
      // A caller that does not take its replies gets no further call through.
      await this.drained();
      if (this.#stack.at(-1) === serving) this.#stack.pop();
      this.#notify();
    } catch (error) {
      this.#session.fail(error);
    }
  }

  #find(context: CallContext): Serving | undefined {
    return this.#stack.find(
      (activity): activity is Serving =>
        activity.kind === 'serving' && activity.context === context,
    );
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

const unexpected = (what: string): FormatError =>
  new FormatError('binder-rpc', 'bad-value', `Cannot take the frame: it is ${what}`, {
    field: 'command',
  });
