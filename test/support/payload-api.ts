/**
 * What a payload that implements IPayloadApi has to do, whoever runs it: the launcher on this machine, or a VM. The client
 * is ours, and so is what the payload calls back.
 */

import type { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { aidlSources, readAidlFiles } from '../../src/runner/aidl/files.ts';
import { compileAidl } from '../../src/runner/aidl/compile.ts';
import { callMethod } from '../../src/runner/aidl/call.ts';
import { aidlStub } from '../../src/runner/aidl/objects.ts';
import type { InterfaceDescription } from '../../src/runner/aidl/types.ts';
import type { AidlValue } from '../../src/runner/aidl/values.ts';
import type { LocalBinder } from '../../src/runner/rpc/binder.ts';
import { ByteReader } from '../../src/runner/rpc/byte-reader.ts';
import { type RpcClient, openRpcClient } from '../../src/runner/rpc/client.ts';
import { BinderException, BinderStatusError, STATUS } from '../../src/runner/rpc/errors.ts';
import {
  RPC_CONNECTION_OPTION_INCOMING,
  RPC_SPECIAL,
  encodeConnectionHeader,
} from '../../src/runner/rpc/wire.ts';

const AIDL = 'test/fixtures/payloads/aidl';

function load(name: string): InterfaceDescription {
  const files = readAidlFiles([`${AIDL}/dev/microbuild/test/${name}.aidl`]);
  const [description] = compileAidl(files, { sources: aidlSources([AIDL]) }).types;
  if (description?.kind !== 'interface') throw new Error(`${name} is no interface`);
  return description;
}

const API = load('IPayloadApi');
const CALLBACK = load('ICallback');

/** Opens a connection to the payload. */
export type Dial = () => Promise<Duplex>;

/** A session with the payload. */
export interface PayloadApi {
  readonly client: RpcClient;
  /** Calls a method of IPayloadApi. */
  call(this: void, name: string, ...args: readonly unknown[]): Promise<AidlValue>;
}

export async function openPayloadApi(dial: Dial): Promise<PayloadApi> {
  const client = await openRpcClient(await dial());
  return { client, call: (name, ...args) => callMethod(client.root, API, name, args) };
}

/** Adds a connection on which the payload calls back of its own accord. */
export async function addIncoming({ client }: PayloadApi, dial: Dial): Promise<void> {
  const { session } = client;
  const id = (await session.special(RPC_SPECIAL.GET_SESSION_ID)).byteArray() ?? new Uint8Array();
  const stream = await dial();
  stream.write(encodeConnectionHeader(session.version, RPC_CONNECTION_OPTION_INCOMING, id));
  const reader = new ByteReader(stream);
  expect(Buffer.from(await reader.read(8)).toString('latin1')).toBe('cci\0\0\0\0\0');
  session.attach(stream, reader, true);
}

/** A callback that answers `TEXT?` with `TEXT!` and notes what it is told. */
export function callback(): { readonly binder: LocalBinder; readonly told: number[] } {
  const told: number[] = [];
  const binder = aidlStub(CALLBACK, {
    ask: (text: string) => {
      if (text === 'refuse') throw new BinderException(-5, 'not now');
      return `${text}!`;
    },
    tell: (value: number) => void told.push(value),
  });
  return { binder, told };
}

const status = (code: number): object => ({ status: code });

/** The tests that need nothing but the payload. */
export function testPayloadApi(dial: Dial): void {
  const open = async (): Promise<PayloadApi> => openPayloadApi(dial);

  test('functions that need no peer answer as their headers say', async () => {
    const { client, call } = await open();
    expect(await call('checkLocally')).toBe('');
    client.close();
  });

  test('values go in and come out, up to what a call can hold', async () => {
    const { client, call } = await open();
    expect(await call('add', 2147483647, 1)).toBe(-2147483648);
    for (const size of [0, 1, 5, 100_000, 600_000]) {
      const data = Buffer.alloc(size, 'microbuild');
      expect(Buffer.compare((await call('echo', data)) as Buffer, data)).toBe(0);
    }
    await expect(call('echo', Buffer.alloc(614_400))).rejects.toMatchObject(
      status(STATUS.FAILED_TRANSACTION),
    );
    client.close();
  });

  test('a method ends as the payload says', async () => {
    const { client, call } = await open();
    await expect(call('fail', 0, -22, '')).rejects.toMatchObject(status(STATUS.BAD_VALUE));
    await expect(call('fail', 1, -3, 'no')).rejects.toMatchObject({
      exception: -3,
      message: expect.stringContaining('no') as string,
    });
    await expect(call('fail', 2, 77, 'why')).rejects.toMatchObject({ serviceSpecific: 77 });
    await expect(client.root.transact(99)).rejects.toBeInstanceOf(BinderStatusError);
    client.close();
  });

  test('the object says what it is, is its own, and has an extension', async () => {
    const { client, call } = await open();
    expect(await client.root.interfaceDescriptor()).toBe(API.descriptor);
    await client.root.ping();
    expect(await call('identity')).toMatch(
      /^uid \d+ own-pid 1 handling 0 sid none alive 1 remote 0$/,
    );
    expect(await call('describe', client.root)).toBe(
      'dev.microbuild.test.IPayloadApi ping 0 extension 0 there local',
    );
    client.close();
  });

  test('a payload calls back from within a call, and sees exceptions of the callback', async () => {
    const { client, call } = await open();
    const { binder } = callback();
    expect(await call('callBack', binder, 'nested')).toBe('nested!');
    expect(await call('callBack', binder, 'refuse')).toContain('not now');
    expect(await call('describe', binder)).toContain('dev.microbuild.test.ICallback ping 0');
    await expect(call('callBack', client.root, 'x')).rejects.toMatchObject(status(STATUS.BAD_TYPE));
    client.close();
  });

  test('an object that went in comes out as itself', async () => {
    const { client, call } = await open();
    const { binder } = callback();
    expect(await call('same', binder)).toBe(binder);
    expect(await call('same', client.root)).toBe(client.root);
    expect(await call('same', null)).toBeNull();
    client.close();
  });

  test('a payload calls back later from any thread where it was given a connection for that', async () => {
    const opened = await open();
    const { client, call } = opened;
    const { binder, told } = callback();
    await call('keep', binder);
    await expect(call('callKept', 'x')).rejects.toMatchObject(status(STATUS.WOULD_BLOCK));
    await addIncoming(opened, dial);
    expect(await call('callKept', 'later')).toBe('later!');
    await call('tellKept', 500);
    await expect.poll(() => told.length, { timeout: 20_000 }).toBe(500);
    expect(told).toEqual(Array.from({ length: 500 }, (_, index) => index));
    await call('keep', null);
    client.close();
  });

  test('a payload is told when the peer of an object has gone', async () => {
    const [watched, other] = [await open(), await open()];
    const before = (await other.call('deaths')) as number[];
    await watched.call('keep', callback().binder);
    watched.client.close();
    const after = [(before[0] ?? 0) + 1, (before[1] ?? 0) + 1];
    await expect.poll(() => other.call('deaths'), { timeout: 20_000 }).toEqual(after);
    await expect(other.call('callKept', 'x')).rejects.toMatchObject(status(STATUS.DEAD_OBJECT));
    await other.call('keep', null);
    other.client.close();
  });

  test('one-way calls are executed in their order', async () => {
    const { client, call } = await open();
    const values = Array.from({ length: 2000 }, (_, index) => index);
    await Promise.all(values.map((value) => call('record', value)));
    const seen: number[] = [];
    const take = async (): Promise<number> => {
      seen.push(...((await call('takeRecord')) as number[]));
      return seen.length;
    };
    await expect.poll(take, { timeout: 20_000 }).toBe(2000);
    expect(seen).toEqual(values);
    client.close();
  });

  test('a thousand calls one after the other, and 64 sessions at once', async () => {
    const { client, call } = await open();
    for (let index = 0; index < 1000; index++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other is the point
      expect(await call('add', index, index)).toBe(2 * index);
    }
    client.close();
    const sessions = await Promise.all(Array.from({ length: 60 }, open));
    const calls = Array.from({ length: 64 }, async (_, index) => {
      const session = sessions[index % sessions.length];
      return session === undefined ? undefined : session.call('add', index, 1);
    });
    const answers = await Promise.all(calls);
    expect(answers).toEqual(Array.from({ length: 64 }, (_, index) => index + 1));
    for (const { client: each } of sessions) each.close();
  });
}

/** Sends bytes through `echo` in chunks of 512 KiB; returns how many came back as they were. */
export async function echoMany({ call }: PayloadApi, mebibytes: number): Promise<number> {
  const chunk = Buffer.alloc(512 * 1024);
  let same = 0;
  for (let index = 0; index < mebibytes * 2; index++) {
    chunk.writeUInt32LE(index, (index * 4) % (chunk.length - 4));
    // oxlint-disable-next-line no-await-in-loop -- each call carries the next chunk
    const answer = (await call('echo', chunk)) as Uint8Array;
    if (chunk.equals(answer)) same += chunk.length;
  }
  return same;
}
