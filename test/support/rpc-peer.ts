/** The service of the Binder RPC tests, microbuild.test.IPeer: the same as test/fixtures/libbinder-peer/service.h. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalBinder, RemoteBinder } from '../../src/runner/rpc/binder.ts';
import { BinderException, BinderStatusError, STATUS } from '../../src/runner/rpc/errors.ts';
import type { ParcelReader } from '../../src/runner/rpc/parcel-reader.ts';
import type { ParcelWriter } from '../../src/runner/rpc/parcel-writer.ts';
import { readStatus, writeOk } from '../../src/runner/rpc/status.ts';

export const PEER = 'microbuild.test.IPeer';
export const CALLBACK = 'microbuild.test.IPeerCallback';
export const OBJECT = 'microbuild.test.IPeerObject';

type Write = (data: ParcelWriter) => void;
interface CallOptions {
  readonly oneway?: boolean;
  readonly token?: string;
}

/** Calls a method and leaves the reply behind its status header. */
export async function callPeer(
  target: RemoteBinder,
  code: number,
  write: Write = () => undefined,
  { oneway = false, token = PEER }: CallOptions = {},
): Promise<ParcelReader> {
  const request: Write = (data) => {
    data.string16(token);
    write(data);
  };
  const reply = await target.transact(code, request, { oneway });
  if (!oneway) readStatus(reply);
  return reply;
}

/** An object that hears a text and answers it. */
export function callbackObject(heard: string[]): LocalBinder {
  return {
    descriptor: CALLBACK,
    onTransact(code, data, reply) {
      if (code !== 1) throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
      data.enforceInterface(CALLBACK);
      const text = data.string16() ?? '';
      heard.push(text);
      writeOk(reply);
      reply.string16(text);
    },
  };
}

const namedObject = (name: string | null): LocalBinder => ({
  descriptor: OBJECT,
  onTransact(code, data, reply) {
    if (code !== 1) throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
    data.enforceInterface(OBJECT);
    writeOk(reply);
    reply.string16(name);
  },
});

async function callBack(
  callback: RemoteBinder,
  text: string | null,
  oneway = false,
): Promise<string | null> {
  try {
    const write: Write = (data) => data.string16(text);
    const answer = await callPeer(callback, 1, write, { oneway, token: CALLBACK });
    return oneway ? null : answer.string16();
  } finally {
    callback.release();
  }
}

/** A new service with a record and a held object of its own. */
export function peerService(): LocalBinder {
  const recorded: number[] = [];
  let held: LocalBinder | RemoteBinder | null = null;
  const service: LocalBinder = {
    descriptor: PEER,
    async onTransact(code, data, reply, { session }) {
      if (code > 26) throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
      data.enforceInterface(PEER);
      const proxy = (): RemoteBinder => {
        const object = session.readBinder(data);
        if (object instanceof RemoteBinder) return object;
        throw new BinderStatusError(STATUS.BAD_VALUE);
      };
      switch (code) {
        case 1: {
          const text = data.string16();
          writeOk(reply);
          reply.string16(text);
          return;
        }
        case 3: {
          const error = data.int32();
          throw new BinderException(-8, data.string16() ?? '', error);
        }
        case 4: {
          const exception = data.int32();
          throw new BinderException(exception, data.string16() ?? '');
        }
        case 5:
          recorded.push(data.int32());
          return;
        case 6:
          writeOk(reply);
          reply.vector(recorded, (each, value) => each.int32(value));
          return;
        case 7: {
          const callback = proxy();
          const answer = await callBack(callback, data.string16());
          writeOk(reply);
          reply.string16(answer);
          return;
        }
        case 8: {
          const name = data.string16();
          writeOk(reply);
          session.writeBinder(reply, namedObject(name));
          return;
        }
        case 9: {
          const object = session.readBinder(data);
          writeOk(reply);
          session.writeBinder(reply, object);
          if (object instanceof RemoteBinder) object.release();
          return;
        }
        case 10: {
          if (held instanceof RemoteBinder) held.release();
          held = session.readBinder(data);
          writeOk(reply);
          return;
        }
        case 11:
          writeOk(reply);
          // Objects that the peer still holds: all that the session knows but the root.
          reply.int32(session.objectCount - 1);
          return;
        case 12:
          writeOk(reply);
          session.writeBinder(reply, held);
          return;
        case 14: {
          const size = data.int32();
          writeOk(reply);
          reply.byteArray(new Uint8Array(size).fill(0x5a));
          return;
        }
        case 15:
          writeOk(reply);
          session.writeBinder(reply, null);
          return;
        case 16: {
          const other = proxy();
          const calls = data.int32();
          if (calls > 0) {
            await callPeer(other, 16, (p) => p.object(peerService()).int32(calls - 1));
          }
          other.release();
          writeOk(reply);
          return;
        }
        case 17: {
          const callback = proxy();
          await callBack(callback, data.string16(), true);
          writeOk(reply);
          return;
        }
        case 18: {
          const callback = proxy();
          await callBack(callback, data.string16());
          return;
        }
        case 19: {
          const size = data.byteArray()?.length ?? -1;
          writeOk(reply);
          reply.int32(size);
          return;
        }
        case 21:
          throw new BinderStatusError(data.int32());
        case 26: {
          const callback = proxy();
          const text = data.string16();
          void (async () => {
            await sleep(50);
            await callBack(callback, text).catch(() => undefined);
          })();
          writeOk(reply);
          return;
        }
        default:
          throw new BinderStatusError(STATUS.UNKNOWN_TRANSACTION);
      }
    },
  };
  return service;
}
