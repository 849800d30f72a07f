/** What a session can send: objects of ours that it serves, and proxies of the peer's objects. */

import { BinderStatusError, STATUS } from './errors.ts';
import { ParcelReader } from './parcel-reader.ts';
import type { ParcelWriter } from './parcel-writer.ts';
import type { RpcConnection } from './connection.ts';
import type { RpcSession } from './session.ts';
import { FLAG_ONEWAY, INTERFACE_TRANSACTION, PING_TRANSACTION } from './wire.ts';

/** Where a call came from; calls made while serving it go back on the same connection. */
export interface CallContext {
  readonly session: RpcSession;
  readonly connection: RpcConnection;
  readonly oneway: boolean;
}

/** An object that we serve. */
export interface LocalBinder {
  /** The interface it implements, such as `android.system.virtualization.payload.IVmPayloadService`. */
  readonly descriptor: string;
  /**
   * Serves one user transaction. Throw a BinderStatusError for a transport status and a
   * BinderException for an exception; the session answers ping and the interface query itself.
   */
  onTransact(
    code: number,
    data: ParcelReader,
    reply: ParcelWriter,
    context: CallContext,
  ): void | Promise<void>;
}

export interface TransactOptions {
  /** No reply is waited for; the peer runs such calls of one object in order. */
  readonly oneway?: boolean;
  /** Gives up. The protocol cannot cancel a call, so one that was sent takes the session with it. */
  readonly signal?: AbortSignal | undefined;
  /** The transaction being served, when this call is made to serve it. */
  readonly context?: CallContext;
}

/** A proxy of an object that the peer serves. It holds a reference until `release`. */
export class RemoteBinder {
  readonly address: bigint;
  readonly #session: RpcSession;

  constructor(session: RpcSession, address: bigint) {
    this.#session = session;
    this.address = address;
  }

  get session(): RpcSession {
    return this.#session;
  }

  /**
   * Sends a transaction.
   *
   * @returns The reply's parcel; empty for a one-way call.
   * @throws {BinderStatusError} when the peer answers with a status other than OK.
   * @throws {RpcSessionError} when the session ends before the reply.
   */
  async transact(
    code: number,
    write: (data: ParcelWriter) => void = () => undefined,
    options: TransactOptions = {},
  ): Promise<ParcelReader> {
    const data = this.#session.newParcel();
    write(data);
    const flags = options.oneway === true ? FLAG_ONEWAY : 0;
    const reply = await this.#session.transact(this, code, flags, data.finish(), options);
    if (reply.status !== STATUS.OK) throw new BinderStatusError(reply.status);
    return new ParcelReader(reply, this.#session.version);
  }

  /** Whether the object answers. */
  async ping(options: TransactOptions = {}): Promise<void> {
    await this.transact(PING_TRANSACTION, undefined, options);
  }

  async interfaceDescriptor(options: TransactOptions = {}): Promise<string> {
    const reply = await this.transact(INTERFACE_TRANSACTION, undefined, options);
    return reply.string16() ?? '';
  }

  /** Gives the reference back. A session whose last object is released ends. */
  release(): void {
    this.#session.release(this);
  }
}
