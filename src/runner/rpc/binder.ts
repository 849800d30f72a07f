/** What a session can send: objects of ours that it serves, and proxies of the peer's objects. */

import { BinderStatusError, STATUS } from './errors.ts';
import { ParcelReader } from './parcel-reader.ts';
import type { ParcelWriter } from './parcel-writer.ts';
import type { RpcConnection } from './connection.ts';
import type { RpcSession } from './session.ts';
import {
  DEBUG_PID_TRANSACTION,
  EXTENSION_TRANSACTION,
  FLAG_ONEWAY,
  INTERFACE_TRANSACTION,
  PING_TRANSACTION,
} from './wire.ts';

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
  /** An object with methods that the interface lacks, for EXTENSION_TRANSACTION. */
  readonly extension?: LocalBinder | RemoteBinder | null;
  /**
   * Serves one user transaction. Throw a BinderStatusError for a transport status and a
   * BinderException for an exception; the session answers what every binder answers itself.
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
  /** The call being served, when this one is made to serve it. Found by itself inside `onTransact`. */
  readonly context?: CallContext;
}

/** Told, once, that the object's session has ended, and why. */
export type DeathRecipient = (reason: Error) => void;

/**
 * A proxy of an object that the peer serves. The peer's object lives until every holder has called
 * `release` (or the proxy was collected as garbage); a session whose last object is released ends.
 */
export class RemoteBinder {
  readonly address: bigint;
  readonly #session: RpcSession;
  readonly #recipients = new Set<DeathRecipient>();
  #holders = 0;

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
   * @throws {BinderStatusError} when the peer answers with a status other than OK, or
   *   FAILED_TRANSACTION before anything is sent when the peer would not take so large a body.
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

  /** The object that adds methods to this one's interface, null for none. */
  async extension(options: TransactOptions = {}): Promise<LocalBinder | RemoteBinder | null> {
    return this.#session.readBinder(await this.transact(EXTENSION_TRANSACTION, undefined, options));
  }

  /** The process that serves the object, a number in the peer's own world. */
  async debugPid(options: TransactOptions = {}): Promise<number> {
    return (await this.transact(DEBUG_PID_TRANSACTION, undefined, options)).int32();
  }

  /**
   * Has `recipient` told when the session ends. The proxy is kept for as long.
   *
   * @returns A function that takes the registration back.
   * @throws {BinderStatusError} DEAD_OBJECT when the session has ended already.
   */
  linkToDeath(recipient: DeathRecipient): () => void {
    this.#session.keep(this);
    const entry: DeathRecipient = (reason) => recipient(reason);
    this.#recipients.add(entry);
    return () => {
      if (this.#recipients.delete(entry) && this.#recipients.size === 0) this.#session.unkeep(this);
    };
  }

  /** Gives one hold on the proxy back, the last one also to the peer. */
  release(): void {
    if (this.#holders === 0) return;
    this.#holders--;
    if (this.#holders === 0) this.#session.release(this);
  }

  /** For the session: the proxy is given out once more. */
  hold(): this {
    this.#holders++;
    return this;
  }

  /** For the session, which has ended. Returns what is left to be told. */
  takeRecipients(): readonly DeathRecipient[] {
    const recipients = [...this.#recipients];
    this.#recipients.clear();
    return recipients;
  }
}
