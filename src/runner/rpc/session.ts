/**
 * One Binder RPC session, the client's or the server's side: its connections, its objects and the
 * execution of transactions. An end of any connection ends the session.
 */

import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import {
  type CallContext,
  type LocalBinder,
  RemoteBinder,
  type TransactOptions,
} from './binder.ts';
import type { ByteReader } from './byte-reader.ts';
import { RpcConnection } from './connection.ts';
import { BinderStatusError, RpcSessionError, STATUS } from './errors.ts';
import { Executor } from './executor.ts';
import { NodeTable } from './nodes.ts';
import { ParcelReader } from './parcel-reader.ts';
import { type OutgoingParcel, ParcelWriter, releaseBinders } from './parcel-writer.ts';
import { ConnectionPool, aborted } from './pool.ts';
import { servedCall } from './served-call.ts';
import {
  FLAG_ONEWAY,
  FLAG_PRIVATE_VENDOR,
  type ParcelData,
  RPC_SESSION_ID_SIZE,
  type Reply,
  type Transaction,
  encodeDecStrong,
  encodeTransaction,
  fitsBody,
  maxBody,
} from './wire.ts';

const NOTHING: OutgoingParcel = { data: new Uint8Array(0), objects: [], binders: [] };

/** Gives back what a proxy held that nobody can reach any more. */
const collected = new FinalizationRegistry<{ session: RpcSession; address: bigint }>(
  ({ session, address }) => session.releaseCollected(address),
);

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
  readonly #nodes: NodeTable;
  readonly #executor: Executor;
  readonly #connections: RpcConnection[] = [];
  readonly #outgoing = new ConnectionPool();
  /** References to give back with the next word to the peer. */
  readonly #owed = new Map<bigint, number>();
  /** Proxies with recipients of their death. */
  readonly #linked = new Set<RemoteBinder>();
  readonly #onFault: (error: unknown) => void;
  #resolveClosed: (error: Error) => void = () => undefined;
  #error: Error | undefined;

  constructor(version: number, server: ServerSide | null) {
    this.version = version;
    this.#nodes = new NodeTable(server !== null, (address) => this.#makeProxy(address));
    this.#executor = new Executor(this, this.#nodes, server);
    this.#onFault = (error) => server?.onFault?.(error);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** How many connections the peer makes calls on. */
  get servedConnections(): number {
    return this.#connections.filter((connection) => !connection.isOutgoing).length;
  }

  /** Objects that both sides know at the moment: it does not grow in a session that leaks nothing. */
  get objectCount(): number {
    return this.#nodes.size;
  }

  /** Takes over a connection whose opening messages are done. */
  attach(stream: Duplex, reader: ByteReader, serves: boolean): void {
    const connection = new RpcConnection(this, stream, reader, serves);
    if (this.#error !== undefined) {
      connection.close(this.#error, false);
      return;
    }
    this.#connections.push(connection);
    if (!serves) this.#outgoing.add(connection);
    void connection.run();
  }

  newParcel(): ParcelWriter {
    return new ParcelWriter(this.version);
  }

  /** Writes an object into a parcel that is to be sent in this session. */
  writeBinder(parcel: ParcelWriter, object: LocalBinder | RemoteBinder | null): void {
    parcel.object(object);
  }

  /** Reads an object; a proxy is the caller's to `release`, an object of ours is given as it is. */
  readBinder(parcel: ParcelReader): LocalBinder | RemoteBinder | null {
    const address = parcel.binder();
    if (address === null) return null;
    const object = this.#nodes.entering(address);
    if (object instanceof RemoteBinder) return object.hold();
    this.#giveBack(address, this.#nodes.takeReceived(address));
    return object;
  }

  /** Gives back what came in a parcel and was not read, as far as the protocol tells it. */
  releaseUnread(parcel: ParcelReader): void {
    for (const address of parcel.unreadBinders()) {
      try {
        const object = this.#nodes.entering(address);
        if (object instanceof RemoteBinder) object.hold().release();
        else this.#giveBack(address, this.#nodes.takeReceived(address));
      } catch {
        // It names nothing that could be given back.
      }
    }
  }

  /** Sends to `target`, or to the session itself when it is null. For RemoteBinder. */
  async transact(
    target: RemoteBinder | null,
    code: number,
    flags: number,
    parcel: OutgoingParcel,
    options: TransactOptions,
  ): Promise<Reply> {
    try {
      return await this.#transact(target, code, flags, parcel, options);
    } finally {
      releaseBinders(parcel);
    }
  }

  /** Asks the session itself: the root object, thread count or id. */
  async special(code: number, options: TransactOptions = {}): Promise<ParcelReader> {
    const reply = await this.transact(null, code, 0, NOTHING, options);
    if (reply.status !== STATUS.OK) throw new BinderStatusError(reply.status);
    return new ParcelReader(reply, this.version);
  }

  /** For RemoteBinder: gives its references back. */
  release(proxy: RemoteBinder): void {
    this.unkeep(proxy);
    proxy.takeRecipients();
    if (this.#error !== undefined) return;
    this.#giveBack(proxy.address, this.#nodes.release(proxy.address, proxy));
    this.#closeIfEmpty();
  }

  /** For the registry of collected proxies. */
  releaseCollected(address: bigint): void {
    if (this.#error !== undefined) return;
    this.#giveBack(address, this.#nodes.release(address, null));
    this.#closeIfEmpty();
  }

  /** For RemoteBinder: it has to be told of the end. */
  keep(proxy: RemoteBinder): void {
    if (this.#error !== undefined) throw new BinderStatusError(STATUS.DEAD_OBJECT);
    this.#linked.add(proxy);
  }

  unkeep(proxy: RemoteBinder): void {
    this.#linked.delete(proxy);
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
    this.#closeIfEmpty();
  }

  /** For RpcConnection: runs a transaction; returns the frame of its reply, null when one-way. */
  async execute(transaction: Transaction, context: CallContext): Promise<Uint8Array | null> {
    const frame = await this.#executor.execute(transaction, context);
    if (transaction.address !== 0n) {
      const amount = this.#nodes.takeReceived(transaction.address);
      if (context.oneway && this.#outgoing.size === 0) this.#owe(transaction.address, amount);
      else
        this.#giveBack(
          transaction.address,
          amount,
          context.oneway ? undefined : context.connection,
        );
    }
    return frame();
  }

  /**
   * Counts the objects of a parcel that is sent now and puts their addresses in, all or none.
   *
   * @throws {BinderStatusError} INVALID_OPERATION for a proxy of another session.
   */
  address(parcel: OutgoingParcel): ParcelData {
    if (parcel.binders.length === 0) return parcel;
    const isForeign = ({ object }: OutgoingParcel['binders'][number]): boolean =>
      object instanceof RemoteBinder && object.session !== this;
    if (parcel.binders.some(isForeign)) throw new BinderStatusError(STATUS.INVALID_OPERATION);
    const data = parcel.data.slice();
    const view = new DataView(data.buffer);
    const counted: bigint[] = [];
    try {
      for (const { at, object } of parcel.binders) {
        const address = this.#nodes.leaving(object);
        counted.push(address);
        view.setBigUint64(at, address, true);
      }
    } catch (error) {
      for (const address of counted) this.onDecStrong(address, 1);
      throw error;
    }
    return { data, objects: parcel.objects };
  }

  async #transact(
    target: RemoteBinder | null,
    code: number,
    flags: number,
    parcel: OutgoingParcel,
    { signal, context: given }: TransactOptions,
  ): Promise<Reply> {
    this.throwIfClosed();
    if (signal?.aborted === true) throw aborted(signal);
    if (!fitsBody(this.version, 'transaction', parcel)) {
      const limit = maxBody(this.version);
      const detail = `${parcel.data.length} bytes of arguments, a body of ${limit} is taken`;
      throw new BinderStatusError(STATUS.FAILED_TRANSACTION, { detail });
    }
    const oneway = (flags & FLAG_ONEWAY) !== 0;
    // Built when its turn has come: a call given up before it was sent must not count as sent.
    const makeFrame = (): Uint8Array =>
      this.#makeTransaction(target, code, flags & ~FLAG_PRIVATE_VENDOR, parcel);
    const context = this.#callerWhoListens(given ?? servedCall.getStore());
    const reply =
      context !== undefined && (!oneway || this.#outgoing.size === 0)
        ? await context.connection.callBack(context, makeFrame, oneway, signal)
        : await this.#callOnOwn(makeFrame, oneway, signal);
    return reply ?? { status: STATUS.OK, ...NOTHING };
  }

  #makeTransaction(
    target: RemoteBinder | null,
    code: number,
    flags: number,
    parcel: OutgoingParcel,
  ): Uint8Array {
    this.throwIfClosed();
    const address = target === null ? 0n : this.#nodes.leaving(target);
    try {
      const addressed = this.address(parcel);
      const oneway = (flags & FLAG_ONEWAY) !== 0;
      const asyncNumber = oneway && target !== null ? this.#nodes.nextAsyncNumber(address) : 0n;
      return encodeTransaction(this.version, { address, code, flags, asyncNumber, ...addressed });
    } catch (error) {
      if (target !== null) this.onDecStrong(address, 1);
      throw error;
    }
  }

  async #callOnOwn(
    makeFrame: () => Uint8Array,
    oneway: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Reply | null> {
    const connection = await this.#outgoing.take(oneway, signal);
    try {
      return await connection.call(makeFrame(), oneway, signal);
    } finally {
      this.#outgoing.give(connection);
    }
  }

  /** The call being served, while its caller takes calls back for it. */
  #callerWhoListens(context: CallContext | undefined): CallContext | undefined {
    if (context === undefined || context.session !== this || context.oneway) return undefined;
    return context.connection.isServing(context) ? context : undefined;
  }

  #makeProxy(address: bigint): RemoteBinder {
    const proxy = new RemoteBinder(this, address);
    collected.register(proxy, { session: this, address });
    return proxy;
  }

  /** Leaves references for the next word to the peer: after a one-way call nobody may read for long. */
  #owe(address: bigint, amount: number): void {
    if (amount > 0) this.#owed.set(address, (this.#owed.get(address) ?? 0) + amount);
  }

  #giveBack(address: bigint, amount: number, connection = this.#outgoing.any()): void {
    if (this.#error !== undefined) return;
    this.#owe(address, amount);
    for (const [owed, count] of this.#owed) {
      (connection ?? this.#connections[0])?.send(encodeDecStrong(owed, count));
    }
    this.#owed.clear();
  }

  /** Two sides that know no object of each other have nothing to say any more, as in libbinder. */
  #closeIfEmpty(): void {
    if (this.#nodes.emptied) this.close();
  }

  #end(error: RpcSessionError, graceful: boolean): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#outgoing.close(error);
    for (const connection of this.#connections) connection.close(error, graceful);
    this.#nodes.clear();
    const linked = [...this.#linked];
    this.#linked.clear();
    this.#resolveClosed(error);
    for (const recipient of linked.flatMap((proxy) => proxy.takeRecipients())) {
      try {
        recipient(error);
      } catch (fault) {
        this.#onFault(fault);
      }
    }
  }
}
