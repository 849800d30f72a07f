/** Opens a Binder RPC session on a stream that is already connected. */

import type { Duplex } from 'node:stream';
import { FormatError } from '../../core/errors.ts';
import { RemoteBinder } from './binder.ts';
import { ByteReader } from './byte-reader.ts';
import { BinderStatusError, RpcSessionError } from './errors.ts';
import { RpcSession } from './session.ts';
import {
  RPC_CONNECTION_OPTION_INCOMING,
  RPC_SESSION_ID_SIZE,
  RPC_SPECIAL,
  RPC_VERSION_MAX,
  RpcNewSessionResponse,
  RpcOutgoingConnectionInit,
  checkConnectionInit,
  encodeConnectionHeader,
  encodeConnectionInit,
} from './wire.ts';

/** libbinder's default for calls at once. */
const DEFAULT_MAX_OUTGOING = 10;

export interface RpcClientOptions {
  /** The newest wire version to offer; default 2. */
  readonly version?: number;
  /** Gives up opening the session; calls have signals of their own. */
  readonly signal?: AbortSignal | undefined;
  /** Connects once more to the same server. Without it the session has one connection. */
  readonly connect?: () => Promise<Duplex>;
  /** Connections to call on; never more than the server takes. Default 10 with `connect`, as in libbinder. */
  readonly maxOutgoing?: number;
  /**
   * Connections on which the server may call outside of a call of ours; default 0. Within a call it
   * needs none.
   */
  readonly maxIncoming?: number;
}

/** A session with its root object, which is held for as long as the session lives. */
export interface RpcClient {
  readonly session: RpcSession;
  readonly root: RemoteBinder;
  /** The agreed wire version. */
  readonly version: number;
  /** Resolves with the reason when the session has ended. */
  readonly closed: Promise<Error>;
  close(): void;
}

/**
 * Opens a session and asks for the root object. Calls made at once take as many connections as there
 * are; those that find none free wait, in the order they were made.
 *
 * @throws {RpcSessionError} when the peer closes, is no Binder RPC server, serves no root object, or
 *   the signal fires.
 */
export async function openRpcClient(
  stream: Duplex,
  options: RpcClientOptions = {},
): Promise<RpcClient> {
  const { signal } = options;
  const streams = [stream];
  let session: RpcSession | undefined;
  const abort = (): void => {
    for (const each of streams) each.destroy();
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    signal?.throwIfAborted();
    session = await openSession(stream, options.version ?? RPC_VERSION_MAX);
    await addConnections(session, options, streams);
    const root = session.readBinder(await session.special(RPC_SPECIAL.GET_ROOT, { signal }));
    if (!(root instanceof RemoteBinder)) {
      throw new RpcSessionError('rpc-connect', 'The peer serves no root object');
    }
    const opened = session;
    return {
      session: opened,
      root,
      version: opened.version,
      closed: opened.closed,
      close: () => opened.close(),
    };
  } catch (error) {
    session?.close();
    abort();
    throw asSessionError(error, signal);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

async function openSession(stream: Duplex, version: number): Promise<RpcSession> {
  const reader = new ByteReader(stream);
  stream.write(Buffer.concat([encodeConnectionHeader(version, 0), encodeConnectionInit()]));
  const response = RpcNewSessionResponse.decode(await reader.read(RpcNewSessionResponse.size));
  if (response.version > version) {
    throw new FormatError(
      'binder-rpc',
      'bad-version',
      `Cannot use version ${response.version}: ${version} was offered`,
      { field: 'version' },
    );
  }
  const session = new RpcSession(response.version, null);
  session.attach(stream, reader, false);
  return session;
}

/** Opens what else was asked for, but never a connection more than the server takes: it would end the session. */
async function addConnections(
  session: RpcSession,
  options: RpcClientOptions,
  streams: Duplex[],
): Promise<void> {
  const { connect, signal, maxOutgoing = DEFAULT_MAX_OUTGOING, maxIncoming = 0 } = options;
  if (connect === undefined) return;
  const threads = (await session.special(RPC_SPECIAL.GET_MAX_THREADS, { signal })).int32();
  if (threads <= 0) throw bad('bad-value', `a server of ${threads} threads`, 'maxThreads');
  const id = (await session.special(RPC_SPECIAL.GET_SESSION_ID, { signal })).byteArray();
  if (id?.length !== RPC_SESSION_ID_SIZE) {
    throw bad('bad-value', `a session id of ${id?.length ?? 0} bytes`, 'sessionId');
  }
  const open = async (): Promise<Duplex> => {
    const stream = await connect();
    streams.push(stream);
    signal?.throwIfAborted();
    return stream;
  };
  for (let count = 1; count < Math.min(threads, maxOutgoing); count++) {
    const stream = await open();
    const header = encodeConnectionHeader(session.version, 0, id);
    stream.write(Buffer.concat([header, encodeConnectionInit()]));
    session.attach(stream, new ByteReader(stream), false);
  }
  for (let count = 0; count < maxIncoming; count++) {
    const stream = await open();
    const reader = new ByteReader(stream);
    stream.write(encodeConnectionHeader(session.version, RPC_CONNECTION_OPTION_INCOMING, id));
    checkConnectionInit(await reader.read(RpcOutgoingConnectionInit.size));
    session.attach(stream, reader, true);
  }
}

function asSessionError(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) {
    return new RpcSessionError('rpc-aborted', 'Gave up opening the Binder session', {
      cause: signal.reason,
    });
  }
  if (error instanceof FormatError || error instanceof BinderStatusError) {
    return new RpcSessionError('rpc-protocol', `Cannot open a Binder session: ${error.message}`, {
      cause: error,
    });
  }
  return error;
}

const bad = (code: 'bad-value', what: string, field: string): FormatError =>
  new FormatError('binder-rpc', code, `Cannot use ${what}`, { field });
