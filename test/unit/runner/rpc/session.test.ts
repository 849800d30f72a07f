import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type LocalBinder, RemoteBinder } from '../../../../src/runner/rpc/binder.ts';
import { type RpcClient, openRpcClient } from '../../../../src/runner/rpc/client.ts';
import {
  BinderException,
  BinderStatusError,
  RpcSessionError,
} from '../../../../src/runner/rpc/errors.ts';
import type { ParcelReader } from '../../../../src/runner/rpc/parcel-reader.ts';
import type { ParcelWriter } from '../../../../src/runner/rpc/parcel-writer.ts';
import { RpcServer } from '../../../../src/runner/rpc/server.ts';
import { readStatus, writeOk } from '../../../../src/runner/rpc/status.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const DESCRIPTOR = 'microbuild.test.IPeer';
const CALLBACK = 'microbuild.test.ICallback';

/** Code: 1 echo, 2 throw, 3 record (one-way), 4 recorded, 5 call back, 6 return it, 7 hang, 8 zeros. */
function testService(): LocalBinder {
  const recorded: number[] = [];
  return {
    descriptor: DESCRIPTOR,
    async onTransact(code, data, reply, context) {
      if (code > 8) throw new BinderStatusError(-74);
      if (data.string16() !== DESCRIPTOR) throw new BinderStatusError(-1);
      switch (code) {
        case 1:
          writeOk(reply);
          reply.string16(data.string16());
          return;
        case 2:
          throw new BinderException(-8, 'boom', data.int32());
        case 3:
          await sleep(recorded.length === 0 ? 5 : 0);
          recorded.push(data.int32());
          return;
        case 4:
          writeOk(reply);
          reply.vector(recorded, (each, value) => each.int32(value));
          return;
        case 5: {
          const callback = context.session.readBinder(data);
          if (!(callback instanceof RemoteBinder)) throw new BinderStatusError(-22);
          const answer = await callback.transact(1, (p) => p.string16(CALLBACK).string16('hi'), {
            context,
          });
          readStatus(answer);
          callback.release();
          writeOk(reply);
          reply.string16(answer.string16());
          return;
        }
        case 6:
          writeOk(reply);
          context.session.writeBinder(reply, context.session.readBinder(data));
          return;
        case 7:
          await new Promise(() => undefined);
          return;
        default:
          writeOk(reply);
          reply.byteArray(new Uint8Array(data.int32()));
      }
    },
  };
}

async function serve(
  options: { version?: number; maxThreads?: number } = {},
): Promise<{ path: string; errors: unknown[]; server: RpcServer }> {
  const path = join(tmpDir(), 's');
  const errors: unknown[] = [];
  const server = new RpcServer({
    root: testService(),
    onError: (error) => errors.push(error),
    ...options,
  });
  await server.listen(path);
  onTestFinished(async () => server.close());
  return { path, errors, server };
}

async function open(path: string, version = 2): Promise<RpcClient> {
  const client = await openRpcClient(connect(path), { version });
  onTestFinished(() => client.close());
  return client;
}

async function call(
  client: RpcClient,
  code: number,
  write: (p: ParcelWriter) => void = () => undefined,
  options: { signal?: AbortSignal } = {},
): Promise<ParcelReader> {
  const reply = await client.root.transact(
    code,
    (p) => {
      p.string16(DESCRIPTOR);
      write(p);
    },
    options,
  );
  readStatus(reply);
  return reply;
}

describe.each([0, 1, 2])('a client of version %i', (version) => {
  test.each([0, 1, 2])('and a server of version %i agree and talk', async (serverVersion) => {
    const { path, errors } = await serve({ version: serverVersion });
    const client = await open(path, version);
    expect(client.version).toBe(Math.min(version, serverVersion));
    await client.root.ping();
    expect(await client.root.interfaceDescriptor()).toBe(DESCRIPTOR);
    expect((await call(client, 1, (p) => p.string16('héllo😀'))).string16()).toBe('héllo😀');
    await expect(call(client, 2, (p) => p.int32(77))).rejects.toMatchObject({
      code: 'binder-exception',
      serviceSpecific: 77,
      serviceMessage: 'boom',
    });
    await expect(client.root.transact(99)).rejects.toMatchObject({ status: -74 });
    await expect(client.root.transact(0x5f444d50)).rejects.toMatchObject({ status: -74 });
    await expect(client.root.transact(1, (p) => p.int32(5))).rejects.toMatchObject({ status: -61 });
    expect(errors).toEqual([]);
  });

  test('is called back on the connection of its own call', async () => {
    const { path } = await serve();
    const client = await open(path, version);
    const heard: (string | null)[] = [];
    const callback: LocalBinder = {
      descriptor: CALLBACK,
      onTransact(_code, data, reply) {
        heard.push(data.string16(), data.string16());
        writeOk(reply);
        reply.string16('called back');
      },
    };
    for (let i = 0; i < 3; i++) {
      const reply = await call(client, 5, (p) => client.session.writeBinder(p, callback));
      expect(reply.string16()).toBe('called back');
    }
    expect(heard.slice(0, 2)).toEqual([CALLBACK, 'hi']);
  });

  test('gets its own object and the server its own back as themselves', async () => {
    const { path } = await serve();
    const client = await open(path, version);
    const mine: LocalBinder = { descriptor: 'mine', onTransact: () => undefined };
    for (const object of [mine, client.root, null]) {
      const reply = await call(client, 6, (p) => client.session.writeBinder(p, object));
      expect(client.session.readBinder(reply)).toBe(object);
    }
  });
});

test('calls made at once are answered in order, however large', async () => {
  const { path } = await serve();
  const client = await open(path);
  const sizes = [0, 1, 100_000, 614_000, 3];
  const replies = await Promise.all(
    sizes.map(async (size) => call(client, 8, (p) => p.int32(size))),
  );
  expect(replies.map((reply) => reply.byteArray()?.length)).toEqual(sizes);
});

test('a body above the limit is refused on either side, and the session lives', async () => {
  const { path } = await serve();
  const client = await open(path);
  const large = call(client, 8, (p) => p.byteArray(new Uint8Array(614_400)));
  await expect(large).rejects.toMatchObject({ status: -0x7ffffffe });
  await expect(call(client, 8, (p) => p.int32(614_400))).rejects.toMatchObject({
    status: -0x7ffffffe,
  });
  await client.root.ping();
});

test('one-way calls run in the order they were made', async () => {
  const { path } = await serve();
  const client = await open(path);
  for (let i = 0; i < 50; i++) {
    await client.root.transact(3, (p) => p.string16(DESCRIPTOR).int32(i), { oneway: true });
  }
  const recorded = (await call(client, 4)).vector((each) => each.int32());
  expect(recorded).toEqual(Array.from({ length: 50 }, (_, i) => i));
});

test('a server that goes away rejects every call that waits', async () => {
  const { path, server } = await serve();
  const client = await open(path);
  const calls = [call(client, 7), call(client, 1), call(client, 1)];
  await sleep(20);
  await server.close();
  for (const each of calls) await expect(each).rejects.toMatchObject({ code: 'rpc-closed' });
  expect(await client.closed).toBeInstanceOf(RpcSessionError);
  await expect(client.root.ping()).rejects.toMatchObject({ code: 'rpc-closed' });
});

test('a signal ends a call that hangs, and one that waits behind it', async () => {
  const { path } = await serve();
  const client = await open(path);
  const hanging = call(client, 7);
  const behind = call(client, 1, undefined, { signal: AbortSignal.timeout(20) });
  await expect(behind).rejects.toMatchObject({ code: 'rpc-aborted' });
  const second = await open(path);
  await expect(
    call(second, 7, undefined, { signal: AbortSignal.timeout(20) }),
  ).rejects.toMatchObject({ code: 'rpc-aborted' });
  client.close();
  await expect(hanging).rejects.toMatchObject({ code: 'rpc-closed' });
});

test('releasing the root ends the session, as in libbinder', async () => {
  const { path } = await serve();
  const client = await open(path);
  await client.root.ping();
  client.root.release();
  expect(await client.closed).toMatchObject({ code: 'rpc-closed' });
});

test('opening gives up when its signal fires', async () => {
  const silent = new Duplex({ read: () => undefined, write: (_c, _e, done) => done() });
  await expect(openRpcClient(silent, { signal: AbortSignal.timeout(10) })).rejects.toMatchObject({
    code: 'rpc-aborted',
  });
});

test('a server without a root object is a typed error', async () => {
  const path = join(tmpDir(), 's');
  const server = new RpcServer({ root: null });
  await server.listen(path);
  onTestFinished(async () => server.close());
  await expect(openRpcClient(connect(path))).rejects.toMatchObject({ code: 'rpc-connect' });
});

/** Sends bytes, in chunks of `size`, and collects the answer until the peer closes or is idle. */
async function exchange(path: string, bytes: Uint8Array, size = bytes.length): Promise<Buffer> {
  const socket = connect(path);
  const answer: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => answer.push(chunk));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  for (let at = 0; at < bytes.length; at += size) {
    socket.write(bytes.subarray(at, at + size));
    if (size < bytes.length) await sleep(0);
  }
  socket.end();
  await closed;
  return Buffer.concat(answer);
}

describe.skipIf(corpus === undefined)('the streams recorded from libbinder clients', () => {
  test.each([
    ['special_transaction', 1],
    ['transact_on_binder', 2],
  ])('%s is answered', async (name, replies) => {
    const stream = readFileSync(corpusPath('binder', name));
    for (const chunk of [stream.length, 7, 1]) {
      const { path } = await serve();
      const answer = await exchange(path, stream, chunk);
      expect(answer.readUInt32LE(0), 'agreed version').toBe(2);
      const seen: number[] = [];
      for (let at = 8; at < answer.length; at += 16 + answer.readUInt32LE(at + 4)) {
        seen.push(answer.readUInt32LE(at));
      }
      expect(seen.filter((command) => command === 1)).toHaveLength(replies);
    }
  });
});

const HANDSHAKE = Buffer.from('02000000000000000000000000000000' + '6363690000000000', 'hex');

test.each([
  ['an unknown command', '09000000000000000000000000000000'],
  ['a body above the limit', '00000000016009000000000000000000'],
  ['a reply to nothing', '01000000140000000000000000000000' + '00'.repeat(20)],
  [
    'an object of ours that was never sent',
    '00000000280000000000000000000000' + '0300000009000000' + '00'.repeat(32),
  ],
  ['a short DEC_STRONG', '02000000080000000000000000000000' + '00'.repeat(8)],
])('%s ends the session with a typed error', async (_name, hex) => {
  const { path, errors } = await serve();
  await exchange(path, Buffer.concat([HANDSHAKE, Buffer.from(hex, 'hex')]));
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatchObject({ code: 'rpc-protocol' });
});

test('an address with unknown option bits is answered with BAD_VALUE and the session lives', async () => {
  const { path } = await serve();
  const frame = Buffer.from(
    '00000000280000000000000000000000' + '0400000000000000' + '00'.repeat(32),
    'hex',
  );
  const answer = await exchange(path, Buffer.concat([HANDSHAKE, frame, frame]));
  expect([answer.readInt32LE(24), answer.readInt32LE(24 + 36)]).toEqual([-22, -22]);
});

test('one-way calls are acknowledged with the next reply, in one', async () => {
  const { path } = await serve();
  const frame = (flags: number, number: number): Buffer => {
    const bytes = Buffer.alloc(16 + 40);
    bytes.writeUInt32LE(40, 4);
    bytes.writeUInt32LE(3, 16);
    bytes.writeUInt32LE(0x5f504e47, 24);
    bytes.writeUInt32LE(flags, 28);
    bytes.writeUInt32LE(number, 32);
    return bytes;
  };
  const getRoot = Buffer.alloc(56);
  getRoot.writeUInt32LE(40, 4);
  const calls = [frame(1, 0), frame(1, 1), frame(1, 2), frame(0, 0)];
  const answer = await exchange(path, Buffer.concat([HANDSHAKE, getRoot, ...calls]));
  expect(answer.subarray(8 + 56).toString('hex')).toBe(
    '02000000100000000000000000000000' +
      '03000000000000000400000000000000' +
      '01000000140000000000000000000000' +
      '00'.repeat(20),
  );
});

test('a connection more than there are threads ends the session, as since Android 16', async () => {
  const { path, errors } = await serve({ maxThreads: 1 });
  const client = await open(path);
  const id = (await client.session.special(2)).byteArray() ?? new Uint8Array(0);
  const header = Buffer.from('02000000000000000000000000002000', 'hex');
  await exchange(path, Buffer.concat([header, id, HANDSHAKE.subarray(16)]));
  expect(errors).toHaveLength(1);
  await expect(client.root.ping()).rejects.toMatchObject({ code: 'rpc-closed' });
});

test('junk never hangs the server and never escapes as another error', async () => {
  const { path, errors } = await serve();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (junk, framed) => {
      await exchange(path, framed ? Buffer.concat([HANDSHAKE, junk]) : junk);
    }),
    { numRuns: 150 },
  );
  for (const error of errors) {
    expect(error).toHaveProperty('code');
    expect(error).not.toBeInstanceOf(TypeError);
  }
  await (await open(path)).root.ping();
});

test('junk never hangs the client and is a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), async (junk) => {
      let sent = false;
      const stream = new Duplex({
        read() {
          if (!sent) this.push(Buffer.concat([Buffer.from('0200000000000000', 'hex'), junk]));
          if (!sent) this.push(null);
          sent = true;
        },
        write: (_c, _e, done) => done(),
      });
      await expect(openRpcClient(stream)).rejects.toHaveProperty('code');
    }),
  );
});
