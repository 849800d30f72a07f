/**
 * Android's libbinder at the other end of our Binder RPC. Its sources are no package anywhere, so
 * these run where somebody has built the peers with test/fixtures/libbinder-peer/build.sh and says
 * where: MICROBUILD_LIBBINDER_PEER is the folder with `server` and `client`. With
 * MICROBUILD_LIBBINDER_PROTOCOL=1 the build is one of Android 14 or 15, which knows no protocol 2.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { RemoteBinder } from '../../src/runner/rpc/binder.ts';
import { type RpcClient, openRpcClient } from '../../src/runner/rpc/client.ts';
import { RpcServer } from '../../src/runner/rpc/server.ts';
import { OBJECT, PEER, callPeer, callbackObject, peerService } from '../support/rpc-peer.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const peer = process.env['MICROBUILD_LIBBINDER_PEER'];
const newest = Number(process.env['MICROBUILD_LIBBINDER_PROTOCOL'] ?? 2);
const PROTOCOLS = [0, 1, 2].filter((protocol) => protocol <= newest);

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await condition()) return;
    await sleep(10);
  }
  expect.fail(`never: ${what}`);
}

async function startServer(protocol: number): Promise<{ path: string; child: ChildProcess }> {
  const path = join(tmpDir(), 's');
  const child = spawn(join(peer ?? '', 'server'), [path, String(protocol), '4'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return { path, child };
}

async function open(path: string, version: number, maxIncoming: number): Promise<RpcClient> {
  const client = await openRpcClient(connect(path), {
    version,
    connect: async () => connect(path),
    maxOutgoing: maxIncoming === 0 ? 1 : 4,
    maxIncoming,
  });
  onTestFinished(() => client.close());
  return client;
}

describe.skipIf(peer === undefined).each(PROTOCOLS)('at protocol %i', (protocol) => {
  test.each([0, 2])(
    'our client calls its server, with %i incoming connections',
    async (incoming) => {
      const { path, child } = await startServer(protocol);
      const { root, session } = await open(path, protocol, incoming);
      expect(session.version).toBe(protocol);
      await root.ping();
      expect(await root.interfaceDescriptor()).toBe(PEER);
      expect(await root.extension()).toBeNull();
      expect(await root.debugPid()).toBe(child.pid);
      const echo = async (text: string): Promise<string | null> =>
        (await callPeer(root, 1, (p) => p.string16(text))).string16();
      expect(await echo('héllo😀')).toBe('héllo😀');
      await expect(callPeer(root, 3, (p) => p.int32(77).string16('boom'))).rejects.toMatchObject({
        serviceSpecific: 77,
        serviceMessage: 'boom',
      });
      await expect(root.transact(99)).rejects.toMatchObject({ status: -74 });

      const most = protocol < 2 ? 99_000 : 600_000;
      const sent = await callPeer(root, 19, (p) => p.byteArray(new Uint8Array(most)));
      expect(sent.int32()).toBe(most);
      expect((await callPeer(root, 14, (p) => p.int32(most))).byteArray()?.length).toBe(most);

      const heard: string[] = [];
      const callback = callbackObject(heard);
      for (let i = 0; i < 100; i++) {
        await callPeer(root, 7, (p) => p.object(callback).string16('now'));
      }
      await callPeer(root, 16, (p) => p.object(peerService()).int32(10));
      const oneway = callPeer(root, 17, (p) => p.object(callback).string16('one-way'));
      if (incoming === 0) await expect(oneway).rejects.toMatchObject({ status: -11 });
      else {
        await oneway;
        await callPeer(root, 26, (p) => p.object(callback).string16('later'));
        await callPeer(root, 18, (p) => p.object(callback).string16('!'), { oneway: true });
        await until('the calls back', () => heard.length === 103);
      }

      for (const object of [callback, root, null]) {
        const back = session.readBinder(await callPeer(root, 9, (p) => p.object(object)));
        expect(back).toBe(object);
        if (back instanceof RemoteBinder) back.release();
      }
      for (let i = 0; i < 1000; i++) {
        const object = session.readBinder(await callPeer(root, 8, (p) => p.string16(`o${i}`)));
        if (!(object instanceof RemoteBinder)) throw new TypeError('not a proxy');
        const name = await callPeer(object, 1, undefined, { token: OBJECT });
        expect(name.string16()).toBe(`o${i}`);
        object.release();
      }
      await until('all objects to go', async () => (await callPeer(root, 11)).int32() === 0);
      await until('our own count', async () => {
        await root.ping();
        return session.objectCount === 1;
      });

      for (let i = 0; i < 5000; i++) {
        await callPeer(root, 5, (p) => p.int32(i), { oneway: true });
      }
      let recorded: number[] | null = [];
      await until('all one-way calls', async () => {
        recorded = (await callPeer(root, 6)).vector((each) => each.int32());
        return recorded?.length === 5000;
      });
      expect(recorded).toEqual(Array.from({ length: 5000 }, (_, i) => i));
      const texts = Array.from({ length: 500 }, (_, i) => `text ${i}`);
      expect(await Promise.all(texts.map(echo))).toEqual(texts);

      const died = new Promise((resolve) => root.linkToDeath(resolve));
      child.kill('SIGKILL');
      expect(await died).toHaveProperty('code', 'rpc-closed');
    },
  );

  test.each([
    [1, 0],
    [4, 0],
    [4, 2],
  ])('its client calls our server over %i and %i connections', async (outgoing, incoming) => {
    const path = join(tmpDir(), 's');
    const errors: unknown[] = [];
    const server = new RpcServer({
      root: peerService(),
      maxThreads: 4,
      onError: (error) => errors.push(error),
    });
    onTestFinished(async () => server.close());
    await server.listen(path);
    const large = newest < 2 ? '0' : '1';
    const args = [path, String(protocol), String(outgoing), String(incoming), large];
    const child = promisify(execFile)(join(peer ?? '', 'client'), args);
    // When it fails, what it says tells more than that it failed.
    const { stdout } = await child.catch((error: { stdout: string }) => error);
    expect(stdout).toBe('OK\n');
    expect(errors).toEqual([]);
    await until('the session to end', () => server.sessions.length === 0);
  });
});
