/** Opens a Binder RPC session on a stream that is already connected. */

import type { Duplex } from 'node:stream';
import { FormatError } from '../../core/errors.ts';
import { RemoteBinder } from './binder.ts';
import { ByteReader } from './byte-reader.ts';
import { RpcSessionError } from './errors.ts';
import { RpcSession } from './session.ts';
import {
  RPC_SPECIAL,
  RPC_VERSION_MAX,
  RpcNewSessionResponse,
  encodeConnectionHeader,
  encodeConnectionInit,
} from './wire.ts';

export interface RpcClientOptions {
  /** The newest wire version to offer; default 2. */
  readonly version?: number;
  /** Gives up opening the session; calls have signals of their own. */
  readonly signal?: AbortSignal | undefined;
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
 * Opens a session and asks for the root object. One connection is used, so calls are sent one after
 * the other in the order they are made.
 *
 * @throws {RpcSessionError} when the peer closes, is no Binder RPC server, serves no root object, or
 *   the signal fires.
 */
export async function openRpcClient(
  stream: Duplex,
  options: RpcClientOptions = {},
): Promise<RpcClient> {
  const { version = RPC_VERSION_MAX, signal } = options;
  const reader = new ByteReader(stream);
  const abort = (): void => void stream.destroy();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    signal?.throwIfAborted();
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
    const reply = await session.special(RPC_SPECIAL.GET_ROOT, { signal });
    const root = session.readBinder(reply);
    if (!(root instanceof RemoteBinder)) {
      session.close();
      throw new RpcSessionError('rpc-connect', 'The peer serves no root object');
    }
    return {
      session,
      root,
      version: session.version,
      closed: session.closed,
      close: () => session.close(),
    };
  } catch (error) {
    stream.destroy();
    if (signal?.aborted === true) {
      throw new RpcSessionError('rpc-aborted', 'Gave up opening the Binder session', {
        cause: signal.reason,
      });
    }
    if (error instanceof FormatError) {
      throw new RpcSessionError('rpc-protocol', `Cannot open a Binder session: ${error.message}`, {
        cause: error,
      });
    }
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}
