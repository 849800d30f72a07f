/** The serving half of a session: what a peer's transactions do, and in which order. */

import { FormatError } from '../../core/errors.ts';
import type { CallContext, LocalBinder } from './binder.ts';
import { BinderException, BinderStatusError, STATUS } from './errors.ts';
import type { NodeTable } from './nodes.ts';
import { ParcelReader } from './parcel-reader.ts';
import { type OutgoingParcel, releaseBinders } from './parcel-writer.ts';
import { servedCall } from './served-call.ts';
import type { RpcSession, ServerSide } from './session.ts';
import { writeException } from './status.ts';
import {
  ANDROID_ONLY_TRANSACTIONS,
  DEBUG_PID_TRANSACTION,
  EXTENSION_TRANSACTION,
  INTERFACE_TRANSACTION,
  PING_TRANSACTION,
  RPC_SPECIAL,
  type Transaction,
  encodeReply,
  fitsBody,
} from './wire.ts';

/** `IBinder::LAST_CALL_TRANSACTION`. */
const LAST_CALL = 0x00ffffff;
/** With more than this waiting for earlier one-way calls, a connection is not read on. */
const MAX_WAITING_BYTES = 8 << 20;

interface Answer {
  readonly status: number;
  readonly parcel: OutgoingParcel | null;
}

const failed = (status: number): Answer => ({ status, parcel: null });

export class Executor {
  readonly #session: RpcSession;
  readonly #nodes: NodeTable;
  readonly #server: ServerSide | null;
  #progress: (() => void)[] = [];

  constructor(session: RpcSession, nodes: NodeTable, server: ServerSide | null) {
    this.#session = session;
    this.#nodes = nodes;
    this.#server = server;
  }

  /**
   * Runs a transaction. The result makes the frame of its reply, null when one-way: it counts the
   * objects in it as sent.
   *
   * @throws {FormatError} when the peer broke the protocol.
   */
  async execute(transaction: Transaction, context: CallContext): Promise<() => Uint8Array | null> {
    if (transaction.address === 0n) {
      const answer = this.#answerSpecial(transaction.code);
      return () => (context.oneway ? null : this.#encode(answer)); // the root is ours
    }
    let target: LocalBinder;
    try {
      target = this.#nodes.called(transaction.address);
    } catch (error) {
      if (!(error instanceof BinderStatusError)) throw error;
      const answer = failed(error.status);
      return () => (context.oneway ? null : this.#encode(answer));
    }
    if (context.oneway) {
      await this.#runOneway(target, transaction, context);
      return () => null;
    }
    const answer = await this.#run(target, transaction, context);
    return () => this.#encode(answer);
  }

  async #runOneway(target: LocalBinder, first: Transaction, context: CallContext): Promise<void> {
    const { address } = first;
    if (!this.#nodes.admitOneway(first)) {
      while (this.#nodes.waitingBytes(address) > MAX_WAITING_BYTES) {
        await new Promise<void>((resolve) => this.#progress.push(resolve));
      }
      return;
    }
    let next: Transaction | undefined = first;
    while (next !== undefined) {
      const { parcel } = await this.#run(target, next, context);
      if (parcel !== null) releaseBinders(parcel); // nobody sees the reply
      next = this.#nodes.nextOneway(address);
      for (const resolve of this.#progress.splice(0)) resolve();
    }
  }

  async #run(
    target: LocalBinder,
    { code, data, objects }: Transaction,
    context: CallContext,
  ): Promise<Answer> {
    const reply = this.#session.newParcel();
    const reader = new ParcelReader({ data, objects }, this.#session.version);
    try {
      if (code >= 1 && code <= LAST_CALL) {
        await servedCall.run(context, () => target.onTransact(code, reader, reply, context));
      } else if (code === INTERFACE_TRANSACTION) reply.string16(target.descriptor);
      else if (code === EXTENSION_TRANSACTION) reply.object(target.extension ?? null);
      else if (code === DEBUG_PID_TRANSACTION) reply.int32(process.pid);
      else if (ANDROID_ONLY_TRANSACTIONS.has(code)) return failed(STATUS.INVALID_OPERATION);
      else if (code !== PING_TRANSACTION) return failed(STATUS.UNKNOWN_TRANSACTION);
      return { status: STATUS.OK, parcel: reply.finish() };
    } catch (error) {
      releaseBinders(reply.finish());
      return this.#answerError(error);
    } finally {
      this.#session.releaseUnread(reader);
    }
  }

  #answerError(error: unknown): Answer {
    if (error instanceof BinderException) {
      const reply = this.#session.newParcel();
      writeException(reply, error);
      return { status: STATUS.OK, parcel: reply.finish() };
    }
    // A failure that says "fine" would be taken for a reply.
    if (error instanceof BinderStatusError && error.status !== STATUS.OK) {
      return failed(error.status);
    }
    if (error instanceof FormatError) {
      return failed(error.code === 'truncated' ? STATUS.NOT_ENOUGH_DATA : STATUS.BAD_VALUE);
    }
    this.#server?.onFault?.(error);
    return failed(STATUS.UNKNOWN_ERROR);
  }

  #answerSpecial(code: number): Answer {
    const reply = this.#session.newParcel();
    const server = this.#server;
    if (server === null) return failed(STATUS.UNKNOWN_TRANSACTION);
    if (code === RPC_SPECIAL.GET_MAX_THREADS) reply.int32(server.maxThreads);
    else if (code === RPC_SPECIAL.GET_SESSION_ID) reply.byteArray(this.#session.id);
    else if (code === RPC_SPECIAL.GET_ROOT) reply.object(server.root);
    else return failed(STATUS.UNKNOWN_TRANSACTION);
    return { status: STATUS.OK, parcel: reply.finish() };
  }

  #encode({ status, parcel }: Answer): Uint8Array {
    const { version } = this.#session;
    const refuse = (reason: number): Uint8Array =>
      encodeReply(version, { status: reason, data: new Uint8Array(0), objects: [] });
    if (parcel === null) return refuse(status);
    try {
      if (!fitsBody(version, 'reply', parcel)) return refuse(STATUS.FAILED_TRANSACTION);
      return encodeReply(version, { status, ...this.#session.address(parcel) });
    } catch (error) {
      if (error instanceof BinderStatusError) return refuse(error.status);
      throw error;
    } finally {
      releaseBinders(parcel);
    }
  }
}
