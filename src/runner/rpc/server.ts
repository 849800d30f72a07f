/** Serves one root object over Binder RPC, to any number of sessions. */

import { type Server, type Socket, createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { FormatError } from '../../core/errors.ts';
import { toHex } from '../../core/digest.ts';
import type { LocalBinder } from './binder.ts';
import { ByteReader } from './byte-reader.ts';
import { RpcSessionError } from './errors.ts';
import { RpcSession } from './session.ts';
import {
  RPC_CONNECTION_OPTION_INCOMING,
  RPC_SESSION_ID_SIZE,
  RPC_VERSION_MAX,
  RpcConnectionHeader,
  RpcOutgoingConnectionInit,
  checkConnectionInit,
  encodeConnectionInit,
  encodeNewSessionResponse,
} from './wire.ts';

/** A peer that opened a connection must say what it wants within this time. */
const HANDSHAKE_MILLISECONDS = 10_000;
/** The bound on connections a peer can make us hold. */
const MAX_CONNECTIONS = 64;

export interface RpcServerOptions {
  readonly root: LocalBinder | null;
  /** The newest wire version to agree to; default 2. */
  readonly version?: number;
  /** Connections of one session that the peer may call on; default 1, as in libbinder. */
  readonly maxThreads?: number;
  /** Told of faults in handlers and of peers that broke the protocol. */
  readonly onError?: (error: unknown) => void;
}

export class RpcServer {
  readonly #options: RpcServerOptions;
  readonly #sessions = new Map<string, RpcSession>();
  readonly #listeners: Server[] = [];
  readonly #streams = new Set<Duplex>();

  constructor(options: RpcServerOptions) {
    this.#options = options;
  }

  /** Listens on a Unix socket; resolves when clients can connect. */
  async listen(path: string): Promise<void> {
    const server = createServer((socket: Socket) => void this.accept(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    server.on('error', (error) => this.#options.onError?.(error));
    this.#listeners.push(server);
  }

  /** Serves a stream that is already connected. Never rejects: a bad peer is closed and reported. */
  async accept(stream: Duplex): Promise<void> {
    const reader = new ByteReader(stream);
    if (this.#streams.size >= MAX_CONNECTIONS) {
      stream.destroy();
      return;
    }
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
    const timer = setTimeout(() => stream.destroy(), HANDSHAKE_MILLISECONDS);
    try {
      await this.#open(stream, reader);
    } catch (error) {
      stream.destroy();
      this.#options.onError?.(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The sessions that are alive. */
  get sessions(): readonly RpcSession[] {
    return [...this.#sessions.values()];
  }

  /** Stops listening and ends every session. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) session.close();
    const closed = this.#listeners
      .splice(0)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    await Promise.all(closed);
  }

  /** libbinder's order: the answer to a new session goes out before its options are judged. */
  async #open(stream: Duplex, reader: ByteReader): Promise<void> {
    const header = RpcConnectionHeader.decode(await reader.read(RpcConnectionHeader.size));
    const { sessionIdSize } = header;
    const serverCalls = (header.options & RPC_CONNECTION_OPTION_INCOMING) !== 0;
    let session: RpcSession;
    if (sessionIdSize === 0) {
      const version = Math.min(header.version, this.#options.version ?? RPC_VERSION_MAX);
      stream.write(encodeNewSessionResponse(version));
      if (serverCalls) throw refused('a new session cannot start with an incoming connection');
      if (header.fileDescriptorTransportMode !== 0) throw refused('file descriptors cannot travel');
      checkConnectionInit(await reader.read(RpcOutgoingConnectionInit.size));
      session = this.#newSession(version);
    } else {
      if (sessionIdSize !== RPC_SESSION_ID_SIZE) throw refused(`a session id of ${sessionIdSize}`);
      const id = toHex(await reader.read(sessionIdSize));
      const known = this.#sessions.get(id);
      if (known === undefined) throw refused('the session is not known');
      session = known;
      if (serverCalls) stream.write(encodeConnectionInit());
      else await this.#admit(session, reader);
    }
    session.attach(stream, reader, !serverCalls);
  }

  /** One connection too many, or a wrong start, ends the session, as since Android 16: only its own client can be at fault. */
  async #admit(session: RpcSession, reader: ByteReader): Promise<void> {
    try {
      if (session.servedConnections >= this.#maxThreads) {
        throw refused(`more than ${this.#maxThreads} connections in one session`);
      }
      checkConnectionInit(await reader.read(RpcOutgoingConnectionInit.size));
      if (session.servedConnections >= this.#maxThreads) {
        throw refused(`more than ${this.#maxThreads} connections in one session`);
      }
    } catch (error) {
      const message = 'A connection that cannot be ended the session';
      session.fail(new RpcSessionError('rpc-closed', message, { cause: error }));
      throw error;
    }
  }

  #newSession(version: number): RpcSession {
    const { root, onError } = this.#options;
    const server = { root, maxThreads: this.#maxThreads };
    const session = new RpcSession(
      version,
      onError === undefined ? server : { ...server, onFault: onError },
    );
    const id = toHex(session.id);
    this.#sessions.set(id, session);
    void session.closed.then((reason) => {
      this.#sessions.delete(id);
      if (reason instanceof Error && 'code' in reason && reason.code === 'rpc-protocol') {
        onError?.(reason);
      }
      return undefined;
    });
    return session;
  }

  get #maxThreads(): number {
    return this.#options.maxThreads ?? 1;
  }
}

const refused = (why: string): FormatError =>
  new FormatError('binder-rpc', 'unsupported', `Cannot open the connection: ${why}`);
