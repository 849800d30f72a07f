/** Objects sent both ways: calls back, identity, lifetime, several connections, the end of a session. */

import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type LocalBinder, RemoteBinder } from '../../../../src/runner/rpc/binder.ts';
import {
  type RpcClient,
  type RpcClientOptions,
  openRpcClient,
} from '../../../../src/runner/rpc/client.ts';
import { RpcServer } from '../../../../src/runner/rpc/server.ts';
import { readStatus, writeOk } from '../../../../src/runner/rpc/status.ts';
import {
  CALLBACK,
  OBJECT,
  callPeer,
  callbackObject,
  peerService,
} from '../../../support/rpc-peer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

interface TestServer {
  readonly path: string;
  readonly server: RpcServer;
  readonly errors: unknown[];
}

async function serve(root: LocalBinder = peerService(), maxThreads = 4): Promise<TestServer> {
  const path = join(tmpDir(), 's');
  const errors: unknown[] = [];
  const server = new RpcServer({ root, maxThreads, onError: (error) => errors.push(error) });
  onTestFinished(async () => server.close());
  await server.listen(path);
  return { path, server, errors };
}

async function open(path: string, options: RpcClientOptions = {}): Promise<RpcClient> {
  const client = await openRpcClient(connect(path), options);
  onTestFinished(() => client.close());
  return client;
}

const several = (path: string, maxOutgoing: number, maxIncoming: number): RpcClientOptions => ({
  connect: async () => connect(path),
  maxOutgoing,
  maxIncoming,
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await condition()) return;
    await sleep(5);
  }
  expect.fail('never');
}

const proxyOf = (object: LocalBinder | RemoteBinder | null): RemoteBinder => {
  if (object instanceof RemoteBinder) return object;
  throw new TypeError('not a proxy');
};

/** Whether the root alone is left; what the server gave back since its last reply is read first. */
const settled = (client: RpcClient) => async (): Promise<boolean> => {
  await client.root.ping();
  return client.session.objectCount === 1;
};

describe.each([0, 1, 2])('at protocol %i', (version) => {
  test('10,000 calls with objects both ways leave nothing behind on either side', async () => {
    const { path, server } = await serve();
    const client = await open(path, { version });
    const { root, session } = client;
    const callback = callbackObject([]);
    for (let i = 0; i < 2500; i++) {
      await callPeer(root, 7, (p) => p.object(callback).string16('x'));
      const object = proxyOf(session.readBinder(await callPeer(root, 8, (p) => p.string16('o'))));
      const back = session.readBinder(await callPeer(root, 9, (p) => p.object(object)));
      expect(back).toBe(object);
      proxyOf(back).release();
      object.release();
    }
    await until(settled(client));
    await until(() => server.sessions[0]?.objectCount === 1);
  });

  test('a proxy whose last use is to be sent back to its owner arrives all the same', async () => {
    const { path } = await serve();
    const { root, session } = await open(path, { version });
    const object = proxyOf(session.readBinder(await callPeer(root, 8, (p) => p.string16('o'))));
    const reply = callPeer(root, 9, (p) => p.object(object));
    object.release();
    const again = proxyOf(session.readBinder(await reply));
    expect((await callPeer(again, 1, undefined, { token: OBJECT })).string16()).toBe('o');
  });
});

test('calls back within a call need no further connection, and find theirs by themselves', async () => {
  const { path } = await serve();
  const { root } = await open(path);
  const heard: string[] = [];
  const callback = callbackObject(heard);
  await callPeer(root, 16, (p) => p.object(peerService()).int32(20));
  await callPeer(root, 17, (p) => p.object(callback).string16('one-way'));
  await callPeer(root, 7, (p) => p.object(callback).string16('two-way'));
  expect(heard).toEqual(['one-way', 'two-way']);
});

test('calls back made at once are answered each with its own reply', async () => {
  const root: LocalBinder = {
    descriptor: 'all',
    async onTransact(_code, data, reply, { session }) {
      const callback = proxyOf(session.readBinder(data));
      const ask = async (text: string): Promise<string | null> =>
        (await callPeer(callback, 1, (p) => p.string16(text), { token: CALLBACK })).string16();
      const answers = await Promise.all(['a', 'b', 'c'].map(ask));
      writeOk(reply);
      reply.vector(answers, (each, value) => each.string16(value));
    },
  };
  const { path } = await serve(root);
  const client = await open(path);
  const callback = callbackObject([]);
  const reply = await client.root.transact(1, (p) => p.object(callback));
  readStatus(reply);
  expect(reply.vector((each) => each.string16())).toEqual(['a', 'b', 'c']);
});

test('calls outside of a call need an incoming connection', async () => {
  const { path } = await serve();
  const heard: string[] = [];
  const callback = callbackObject(heard);
  const without = await open(path);
  await callPeer(without.root, 26, (p) => p.object(callback).string16('later'));
  await sleep(80);
  expect(heard).toEqual([]);
  const client = await open(path, several(path, 1, 1));
  await callPeer(client.root, 26, (p) => p.object(callback).string16('later'));
  await callPeer(client.root, 18, (p) => p.object(callback).string16('!'), { oneway: true });
  await until(() => heard.length === 2);
});

test('a call that hangs holds up nothing but its own connection', async () => {
  const root: LocalBinder = {
    descriptor: 'hangs',
    async onTransact(code) {
      if (code === 1) await new Promise(() => undefined);
    },
  };
  const { path } = await serve(root, 3);
  const client = await open(path, several(path, 10, 0));
  const hanging = [client.root.transact(1), client.root.transact(1)].map(async (call) =>
    call.catch((error: unknown) => error),
  );
  for (let i = 0; i < 20; i++) await client.root.transact(2);
  expect((await Promise.all([2, 2, 2].map(async (c) => client.root.transact(c)))).length).toBe(3);
  client.close();
  for (const each of hanging) expect(await each).toMatchObject({ code: 'rpc-closed' });
});

test('never more connections are opened than the server takes', async () => {
  const { path, server, errors } = await serve(peerService(), 2);
  const client = await open(path, several(path, 10, 3));
  await client.root.ping();
  expect(server.sessions[0]?.servedConnections).toBe(2);
  expect(errors).toEqual([]);
});

test('one-way calls run in order, on whichever connection they come', async () => {
  const { path } = await serve();
  const { root } = await open(path, several(path, 4, 0));
  const numbers = Array.from({ length: 5000 }, (_, i) => i);
  await Promise.all(
    numbers.map(async (i) => callPeer(root, 5, (p) => p.int32(i), { oneway: true })),
  );
  let recorded: number[] | null = [];
  await until(async () => {
    recorded = (await callPeer(root, 6)).vector((each) => each.int32());
    return recorded?.length === numbers.length;
  });
  expect(recorded).toEqual(numbers);
});

test('one-way calls that wait for an earlier one are bounded', async () => {
  const { path, errors } = await serve();
  const { session, root } = await open(path);
  const socket = connect(path);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  socket.resume();
  expect([session.version, root.address]).toEqual([2, 3n]);
  const call = Buffer.alloc(16 + 40);
  call.writeUInt32LE(40, 4);
  call.writeUInt32LE(3, 16);
  call.writeUInt32LE(5, 24);
  call.writeUInt32LE(1, 28);
  const getRoot = Buffer.alloc(16 + 40);
  getRoot.writeUInt32LE(40, 4);
  socket.write(
    Buffer.concat([
      Buffer.from('0200000000000000000000000000000063636900', 'hex'),
      Buffer.alloc(4),
      getRoot,
    ]),
  );
  for (let number = 1; number <= 10_000; number++) {
    call.writeUInt32LE(number, 32);
    socket.write(Buffer.from(call));
  }
  await closed;
  expect(errors).toMatchObject([{ code: 'rpc-protocol' }]);
});

test('recipients of death are told once, while somebody holds the object', async () => {
  const { path, server } = await serve();
  const { root, session } = await open(path);
  const make = async (): Promise<RemoteBinder> =>
    proxyOf(session.readBinder(await callPeer(root, 8, (p) => p.string16('o'))));
  const [object, released] = [await make(), await make()];
  const died: string[] = [];
  root.linkToDeath(() => died.push('root'));
  object.linkToDeath((reason) => died.push((reason as Error & { code: string }).code));
  released.linkToDeath(() => died.push('released'));
  root.linkToDeath(() => died.push('unlinked'))();
  object.linkToDeath(() => {
    throw new Error('a recipient that fails stops no other');
  });
  released.release();
  await server.close();
  await session.closed;
  expect(died.toSorted()).toEqual(['root', 'rpc-closed']);
  expect(() => root.linkToDeath(() => undefined)).toThrow(expect.objectContaining({ status: -32 }));
});

test('a server is told of the death of a client', async () => {
  const died: Error[] = [];
  const root: LocalBinder = {
    descriptor: 'watch',
    onTransact(_code, data, reply, { session }) {
      proxyOf(session.readBinder(data)).linkToDeath((reason) => died.push(reason));
      writeOk(reply);
    },
  };
  const { path } = await serve(root);
  const client = await open(path);
  await client.root.transact(1, (p) => p.object(callbackObject([])));
  expect(died).toEqual([]);
  client.close();
  await until(() => died.length === 1);
});

test('a proxy that is forgotten instead of released is given back once it is collected', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { path } = await serve();
  const client = await open(path);
  await (async () => {
    for (let i = 0; i < 10; i++) {
      client.session.readBinder(await callPeer(client.root, 8, (p) => p.string16('o')));
    }
  })();
  expect(client.session.objectCount).toBe(11);
  await until(async () => {
    collect();
    return settled(client)();
  });
});

test('a binder that a handler does not read is given back, where the protocol tells of it', async () => {
  const root: LocalBinder = {
    descriptor: 'ignores',
    onTransact: (_c, _d, reply) => writeOk(reply),
  };
  const { path } = await serve(root);
  const client = await open(path);
  for (let i = 0; i < 100; i++) {
    await client.root.transact(1, (p) => p.object(callbackObject([])).object(client.root));
  }
  await until(settled(client));
  expect(client.session.objectCount).toBe(1);
});

test('a call that is not sent costs the peer no reference', async () => {
  const { path } = await serve();
  const client = await open(path, { version: 1 });
  const large = client.root.transact(9, (p) =>
    p.object(callbackObject([])).byteArray(new Uint8Array(100_000)),
  );
  await expect(large).rejects.toMatchObject({ status: -0x7ffffffe });
  expect(client.session.objectCount).toBe(1);
  const other = await open(path);
  await expect(client.root.transact(9, (p) => p.object(other.root))).rejects.toMatchObject({
    status: -38,
  });
  expect(client.session.objectCount).toBe(1);
  await client.root.ping();
});

test('extensions, process ids and what only Android does are answered as by libbinder', async () => {
  const extension = callbackObject([]);
  const { path } = await serve({ ...peerService(), extension });
  const { root } = await open(path);
  expect(proxyOf(await root.extension()).session).toBe(root.session);
  expect(await root.debugPid()).toBe(process.pid);
  await expect(root.transact(0x5f535052)).rejects.toMatchObject({ status: -38 });
  await expect(root.transact(0x01000000)).rejects.toMatchObject({ status: -74 });
  await expect(root.transact(1)).rejects.toMatchObject({ status: -1 });
});

test('a caller that takes no replies is not read on, and fills no memory', async () => {
  const { path } = await serve();
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  socket.pause();
  const calls = Buffer.alloc(56);
  calls.writeUInt32LE(40, 4);
  const hello = Buffer.concat([
    Buffer.from('0200000000000000000000000000000063636900', 'hex'),
    Buffer.alloc(4),
  ]);
  socket.write(hello);
  const many = Buffer.concat(Array.from({ length: 20_000 }, () => calls));
  for (let i = 0; i < 8; i++) socket.write(many);
  await sleep(300);
  expect(socket.writableLength).toBeGreaterThan(0);
});
