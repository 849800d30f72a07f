/**
 * One Binder RPC session, the client's or the server's side: its connections, its objects and the
 * execution of transactions. An end of any connection ends the session.
 */

import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { FormatError } from '../../core/errors.ts';
import {
  type CallContext,
  type LocalBinder,
  RemoteBinder,
  type TransactOptions,
} from './binder.ts';
import type { ByteReader } from './byte-reader.ts';
import { RpcConnection } from './connection.ts';
import { BinderException, BinderStatusError, RpcSessionError, STATUS } from './errors.ts';
import { NodeTable } from './nodes.ts';
import { ParcelReader } from './parcel-reader.ts';
import { ParcelWriter } from './parcel-writer.ts';
import { writeException } from './status.ts';
import {
  FLAG_ONEWAY,
  INTERFACE_TRANSACTION,
  PING_TRANSACTION,
  type ParcelData,
  RPC_SESSION_ID_SIZE,
  RPC_SPECIAL,
  type Reply,
  type Transaction,
  encodeDecStrong,
  encodeReply,
  encodeTransaction,
} from './wire.ts';

const EMPTY: ParcelData = { data: new Uint8Array(0), objects: [] };
/** `IBinder::LAST_CALL_TRANSACTION`. */
const LAST_CALL = 0x00ffffff;

/** What only the serving side of a session has. */
export interface ServerSide {
  readonly root: LocalBinder | null;
  readonly maxThreads: number;
  /** Told of an error in a handler that is no answer to the caller: a fault of the service. */
  readonly onFault?: (error: unknown) => void;
}

export class RpcSession {
  /** The agreed wire version: 0, 1 or 2. */
  readonly version: number;
  readonly id = new Uint8Array(randomBytes(RPC_SESSION_ID_SIZE));
  /** Resolves, never rejects, when the session has ended; with what ended it. */
  readonly closed: Promise<Error>;
  readonly #server: ServerSide | null;
  readonly #nodes: NodeTable;
  readonly #connections: RpcConnection[] = [];
  #resolveClosed: (error: Error) => void = () => undefined;
  #error: Error | undefined;

  constructor(version: number, server: ServerSide | null) {
    this.version = version;
    this.#server = server;
    this.#nodes = new NodeTable(server !== null, (address) => new RemoteBinder(this, address));
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** How many connections the peer makes calls on. */
  get servedConnections(): number {
    return this.#connections.filter((connection) => !connection.isOutgoing).length;
  }

  /** Takes over a connection whose opening messages are done. */
  attach(stream: Duplex, reader: ByteReader, serves: boolean): void {
    const connection = new RpcConnection(this, stream, reader, serves);
    if (this.#error !== undefined) {
      connection.close(this.#error, false);
      return;
    }
    this.#connections.push(connection);
    void connection.run();
  }

  newParcel(): ParcelWriter {
    return new ParcelWriter(this.version);
  }

  /** Writes an object into a parcel of this session. */
  writeBinder(parcel: ParcelWriter, object: LocalBinder | RemoteBinder | null): void {
    parcel.binder(object === null ? null : this.#nodes.leaving(object));
  }

  /** Reads an object; a proxy is the caller's to `release`, an object of ours is given as it is. */
  readBinder(parcel: ParcelReader): LocalBinder | RemoteBinder | null {
    const address = parcel.binder();
    if (address === null) return null;
    const object = this.#nodes.entering(address);
    if (!(object instanceof RemoteBinder))
      this.#giveBack(address, this.#nodes.takeReceived(address));
    return object;
  }

  /** Sends to `target`, or to the session itself when it is null. For RemoteBinder. */
  async transact(
    target: RemoteBinder | null,
    code: number,
    flags: number,
    parcel: ParcelData,
    options: TransactOptions,
  ): Promise<Reply> {
    this.throwIfClosed();
    if (options.signal?.aborted === true) {
      throw new RpcSessionError('rpc-aborted', 'Gave up before calling', {
        cause: options.signal.reason,
      });
    }
    const oneway = (flags & FLAG_ONEWAY) !== 0;
    // Built when its turn has come: a call given up before it was sent must not count as sent.
    const makeFrame = (): Uint8Array => {
      const address = target === null ? 0n : this.#nodes.leaving(target);
      const asyncNumber = oneway ? this.#nodes.nextAsyncNumber(address) : 0n;
      return encodeTransaction(this.version, { address, code, flags, asyncNumber, ...parcel });
    };
    const { context } = options;
    const reply =
      context !== undefined && context.session === this && !context.oneway
        ? await context.connection.callNow(makeFrame(), oneway, options.signal)
        : await this.#freest().call(makeFrame, oneway, options.signal);
    return reply ?? { status: STATUS.OK, ...EMPTY };
  }

  /** Asks the session itself: the root object, thread count or id. */
  async special(code: number, options: TransactOptions = {}): Promise<ParcelReader> {
    const reply = await this.transact(null, code, 0, EMPTY, options);
    if (reply.status !== STATUS.OK) throw new BinderStatusError(reply.status);
    return new ParcelReader(reply, this.version);
  }

  /** For RemoteBinder: gives its references back. */
  release(proxy: RemoteBinder): void {
    if (this.#error === undefined)
      this.#giveBack(proxy.address, this.#nodes.release(proxy.address));
  }

  /** @throws {RpcSessionError} when the session has ended. */
  throwIfClosed(): void {
    if (this.#error !== undefined) throw this.#error;
  }

  /** Ends the session; bytes already written still go out. Calls that wait are rejected. */
  close(): void {
    this.#end(new RpcSessionError('rpc-closed', 'The session was closed'), true);
  }

  /** Ends the session because of `cause`. */
  fail(cause: unknown): void {
    if (cause instanceof RpcSessionError) {
      this.#end(cause, false);
      return;
    }
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#end(
      new RpcSessionError('rpc-protocol', `The Binder session broke: ${message}`, { cause }),
      false,
    );
  }

  /** For RpcConnection. */
  onDecStrong(address: bigint, amount: number): void {
    this.#giveBack(address, this.#nodes.decStrong(address, amount));
    if (this.#server !== null && this.#nodes.size === 0) this.close();
  }

  /** For RpcConnection: runs a transaction; returns the frame of its reply, null when one-way. */
  async execute(transaction: Transaction, connection: RpcConnection): Promise<Uint8Array | null> {
    const oneway = (transaction.flags & FLAG_ONEWAY) !== 0;
    if (transaction.address === 0n) {
      const reply = this.#answerSpecial(transaction.code);
      return oneway ? null : encodeReply(this.version, reply);
    }
    let target: LocalBinder | RemoteBinder;
    try {
      target = this.#nodes.entering(transaction.address);
    } catch (error) {
      if (!(error instanceof BinderStatusError)) throw error;
      return oneway ? null : encodeReply(this.version, { status: error.status, ...EMPTY });
    }
    if (oneway) {
      await this.#runOneway(target, transaction, connection);
      this.#giveBackOn(connection, transaction.address);
      return null;
    }
    const reply = await this.#run(target, transaction, connection);
    this.#giveBackOn(connection, transaction.address);
    try {
      return encodeReply(this.version, reply);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return encodeReply(this.version, { status: STATUS.FAILED_TRANSACTION, ...EMPTY });
    }
  }

  async #runOneway(
    target: LocalBinder | RemoteBinder,
    first: Transaction,
    connection: RpcConnection,
  ): Promise<void> {
    if (!this.#nodes.admitOneway(first)) return;
    let next: Transaction | undefined = first;
    while (next !== undefined) {
      await this.#run(target, next, connection);
      next = this.#nodes.nextOneway(first.address);
    }
  }

  async #run(
    target: LocalBinder | RemoteBinder,
    { code, flags, data, objects }: Transaction,
    connection: RpcConnection,
  ): Promise<Reply> {
    if (target instanceof RemoteBinder) return { status: STATUS.BAD_VALUE, ...EMPTY };
    const reply = this.newParcel();
    const context: CallContext = { session: this, connection, oneway: (flags & FLAG_ONEWAY) !== 0 };
    try {
      if (code === PING_TRANSACTION) return { status: STATUS.OK, ...EMPTY };
      if (code === INTERFACE_TRANSACTION) reply.string16(target.descriptor);
      else if (code > LAST_CALL) return { status: STATUS.UNKNOWN_TRANSACTION, ...EMPTY };
      else
        await target.onTransact(
          code,
          new ParcelReader({ data, objects }, this.version),
          reply,
          context,
        );
      return { status: STATUS.OK, ...reply.finish() };
    } catch (error) {
      return this.#answerError(error);
    }
  }

  #answerError(error: unknown): Reply {
    if (error instanceof BinderException) {
      const reply = this.newParcel();
      writeException(reply, error);
      return { status: STATUS.OK, ...reply.finish() };
    }
    if (error instanceof BinderStatusError) return { status: error.status, ...EMPTY };
    if (error instanceof FormatError) {
      const status = error.code === 'truncated' ? STATUS.NOT_ENOUGH_DATA : STATUS.BAD_VALUE;
      return { status, ...EMPTY };
    }
    this.#server?.onFault?.(error);
    return { status: STATUS.UNKNOWN_ERROR, ...EMPTY };
  }

  #answerSpecial(code: number): Reply {
    const reply = this.newParcel();
    if (code === RPC_SPECIAL.GET_MAX_THREADS) reply.int32(this.#server?.maxThreads ?? 0);
    else if (this.#server !== null && code === RPC_SPECIAL.GET_SESSION_ID) reply.byteArray(this.id);
    else if (this.#server !== null && code === RPC_SPECIAL.GET_ROOT) {
      this.writeBinder(reply, this.#server.root);
    } else return { status: STATUS.UNKNOWN_TRANSACTION, ...EMPTY };
    return { status: STATUS.OK, ...reply.finish() };
  }

  #freest(): RpcConnection {
    const outgoing = this.#connections.filter((connection) => connection.isOutgoing);
    const freest = outgoing.reduce<RpcConnection | undefined>(
      (best, connection) => (best === undefined || connection.load < best.load ? connection : best),
      undefined,
    );
    if (freest === undefined) throw new BinderStatusError(STATUS.WOULD_BLOCK);
    return freest;
  }

  #giveBack(address: bigint, amount: number): void {
    const connection = this.#connections.find((each) => each.isOutgoing) ?? this.#connections[0];
    if (amount > 0) connection?.send(encodeDecStrong(address, amount));
  }

  /** On the connection of the transaction itself, before its reply, where the peer reads for certain. */
  #giveBackOn(connection: RpcConnection, address: bigint): void {
    const amount = this.#nodes.takeReceived(address);
    if (amount > 0 && this.#error === undefined) connection.send(encodeDecStrong(address, amount));
  }

  #end(error: RpcSessionError, graceful: boolean): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    for (const connection of this.#connections) connection.close(error, graceful);
    this.#resolveClosed(error);
  }
}
