// Rust that is generated, compiled and run: values of every type go there and come back, in both protocols
// that Android has today, by the run-time codec and by generated TypeScript.

import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { generateRust } from '../../src/runner/aidl/generate/rust.ts';
import { aidlProxy, type AidlProxy, aidlStub } from '../../src/runner/aidl/objects.ts';
import { BINDER } from '../../src/runner/aidl/transact.ts';
import type { AidlValue } from '../../src/runner/aidl/values.ts';
import { openRpcClient, type RpcClient } from '../../src/runner/rpc/client.ts';
import { BinderException } from '../../src/runner/rpc/errors.ts';
import { RpcServer } from '../../src/runner/rpc/server.ts';
import { everyType, interfaceOf } from '../support/aidl.ts';
import { arbitraryOf } from '../support/aidl-values.ts';
import { runTool } from '../support/tools.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const PROGRAM = everyType();
const TYPES = interfaceOf(PROGRAM, 'ITypes');
const CALLBACK = interfaceOf(PROGRAM, 'ICallback');
/** Methods that take one value and give it back. */
const ECHOES = TYPES.methods.filter(
  ({ name, args, returns }) =>
    returns !== null && args.length === 1 && args[0]?.name === 'x' && name !== 'callbackArrays',
);

let program: string;
const children: ChildProcess[] = [];

/** Builds the crate of `test/fixtures/aidl/rust` with what is generated now. */
beforeAll(() => {
  const folder = resolve('target/aidl-test');
  mkdirSync(join(folder, 'src'), { recursive: true });
  cpSync('test/fixtures/aidl/rust', join(folder, 'src'), { recursive: true });
  writeFileSync(join(folder, 'src/aidl.rs'), generateRust(PROGRAM, { version: 3, hash: 'abc' }));
  writeFileSync(
    join(folder, 'Cargo.toml'),
    `[package]
name = "aidl-test"
version = "0.0.0"
edition = "2021"
[workspace]
[dependencies]
microbuild-aidl-runtime = { path = ${JSON.stringify(resolve('guest/aidl-runtime'))} }
microbuild-rpc = { path = ${JSON.stringify(resolve('guest/rpc'))} }
[profile.dev]
debug = false
`,
  );
  const env = { ...process.env, CARGO_TARGET_DIR: join(folder, 'target'), RUSTFLAGS: '-Dwarnings' };
  const built = runTool('cargo', ['build', '--quiet', '--offline'], { cwd: folder, env });
  if (built.status !== 0) throw new Error(built.stderr);
  program = join(folder, 'target/debug/aidl-test');
}, 300_000);

afterAll(() => {
  for (const child of children) child.kill();
});

/** Starts the Rust server; resolves with its socket when it listens. */
async function startRust(other?: string): Promise<string> {
  const socket = join(tmpDir(), 's');
  const args = other === undefined ? ['echo', socket] : ['relay', socket, other];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await new Promise<void>((done, fail) => {
    child.stdout.once('data', () => done());
    child.once('close', (status) => fail(new Error(`the Rust program ended with ${status}`)));
  });
  return socket;
}

async function openTypes(
  socket: string,
  version: number,
): Promise<{ types: AidlProxy; client: RpcClient }> {
  const client = await openRpcClient(connect(socket), { version });
  onTestFinished(() => client.close());
  expect(client.version).toBe(version);
  return { types: aidlProxy(client.root, TYPES), client };
}

const call = async (proxy: AidlProxy, name: string, ...args: unknown[]): Promise<AidlValue> => {
  const method = proxy[name];
  if (method === undefined) throw new TypeError(`There is no method ${name}`);
  return method(...args);
};

describe.each([1, 2])('protocol %i', (version) => {
  test('values of every type come back as they went', async () => {
    const { types } = await openTypes(await startRust(), version);
    expect(ECHOES.length).toBeGreaterThan(28);
    for (const { name, args } of ECHOES) {
      const [argument] = args;
      if (argument === undefined) continue;
      await fc.assert(
        fc.asyncProperty(arbitraryOf(argument.type), async (value) => {
          expect(await call(types, name, value)).toEqual(value);
        }),
        { numRuns: name === 'everythings' ? 60 : 25 },
      );
    }
  });

  test('defaults of both languages are the same', async () => {
    const { types } = await openTypes(await startRust(), version);
    // Left out here, they are made here; Rust compares its own in `check_defaults`.
    const everything = (await call(types, 'everythings', {})) as Readonly<Record<string, unknown>>;
    expect(everything).toMatchObject({
      anInt: 12,
      aLong: 0x123456789abcn,
      kind: 8,
      forty: Array(40).fill(0),
    });
  });

  test('out and inout arguments come back beside the result', async () => {
    const { types } = await openTypes(await startRust(), version);
    expect(await call(types, 'fill', [1, 2, 4], 9, { number: 100 })).toEqual({
      result: 9,
      doubled: [2, 4, 8],
      sum: { number: 7, pair: { left: -1n, right: 0n } },
      total: { number: 107, pair: { left: -1n, right: 0n } },
      names: ['1', '2', '4'],
      ends: [1, 4],
    });
    expect(await call(types, 'swap', ['a', 'b'], null)).toEqual({
      x: ['b', 'a'],
      y: { number: 5, pair: { left: -1n, right: 0n } },
    });
  });

  test('objects travel both ways and can be called', async () => {
    const { types } = await openTypes(await startRust(), version);
    const told: unknown[] = [];
    const callback = { twice: (x: number) => 2 * x, tell: (text: string) => void told.push(text) };
    expect(await call(types, 'callTwice', callback, 10)).toBe(40);
    expect(await call(types, 'callbacks', callback)).toBe(callback);
    expect(await call(types, 'callbacks', null)).toBeNull();
    const made = (await call(types, 'make', 7)) as unknown as AidlProxy;
    expect(await call(made, 'twice', 6)).toBe(42);
    expect(await call(types, 'callTwice', made, 1)).toBe(49);
    const again = (await call(types, 'callbacks', made)) as unknown as AidlProxy;
    expect(again[BINDER]).toBe(made[BINDER]);
    expect(await call(types, 'callbackArrays', [callback, made])).toHaveLength(2);
    expect(await call(types, 'tellAll', [callback, callback], 'news')).toBe(2);
    await expect.poll(() => told).toEqual(['news', 'news']);
    const held = { maybeCallback: callback, value: { callback }, maybeCallbacks: [null, callback] };
    expect(await call(types, 'everythings', held)).toMatchObject(held);
  });

  test('exceptions keep their code, their message and the code of the service', async () => {
    const { types } = await openTypes(await startRust(), version);
    const failure = call(types, 'fail', -8, 4711, 'no more');
    await expect(failure).rejects.toThrow(BinderException);
    await expect(failure).rejects.toMatchObject({
      exception: -8,
      serviceSpecific: 4711,
      serviceMessage: 'no more',
    });
    await expect(call(types, 'fail', -5, 0, '')).rejects.toMatchObject({ exception: -5 });
  });

  test('one-way calls arrive, and the version and hash of the interface are told', async () => {
    const { types } = await openTypes(await startRust(), version);
    await call(types, 'forget', 5, new Uint8Array([1, 2, 3]));
    expect(await call(types, 'forgotten')).toBe(11);
    expect(await call(types, 'getInterfaceVersion')).toBe(3);
    expect(await call(types, 'getInterfaceHash')).toBe('abc');
  });

  test('calls from Rust to TypeScript carry every type too', async () => {
    const socket = join(tmpDir(), 's');
    const echo = (x: unknown): unknown => x;
    const served = {
      ...Object.fromEntries(TYPES.methods.map(({ name }) => [name, echo])),
      fill: (x: readonly number[], asked: number, total: { number: number }) => ({
        result: asked,
        doubled: x.map((each) => 2 * each),
        sum: {},
        total: { ...total, number: total.number + 1 },
        names: x.map(String),
        ends: [0, 1],
      }),
      swap: (x: readonly string[], y: unknown) => ({ x: [...x, 'new'], y }),
      type: (a: number, b: number) => a - b,
      forget: () => undefined,
      fail: (exception: number, code: number, message: string) => {
        throw new BinderException(exception, message, code);
      },
    };
    const server = new RpcServer({ root: aidlStub(TYPES, served), version });
    await server.listen(socket);
    onTestFinished(() => server.close());
    const { types } = await openTypes(await startRust(socket), 2);
    for (const { name, args } of ECHOES) {
      const [argument] = args;
      if (argument === undefined) continue;
      await fc.assert(
        fc.asyncProperty(arbitraryOf(argument.type), async (value) => {
          expect(await call(types, name, value)).toEqual(value);
        }),
        { numRuns: 10 },
      );
    }
    expect(await call(types, 'fill', [3], 4, {})).toMatchObject({
      result: 4,
      doubled: [6],
      total: { number: 6 },
      ends: [0, 1],
    });
    expect(await call(types, 'swap', ['a'], null)).toEqual({ x: ['a', 'new'], y: null });
    expect(await call(types, 'type', 5, 7)).toBe(-2);
    await expect(call(types, 'fail', -8, 12, 'far')).rejects.toMatchObject({ serviceSpecific: 12 });
  });
});

test('a callback interface serves alone too', async () => {
  const socket = join(tmpDir(), 's');
  const server = new RpcServer({
    root: aidlStub(CALLBACK, { twice: (x: number) => 2 * x, tell: () => undefined }),
  });
  await server.listen(socket);
  const client = await openRpcClient(connect(socket));
  onTestFinished(async () => {
    client.close();
    await server.close();
  });
  expect(await call(aidlProxy(client.root, CALLBACK), 'twice', 21)).toBe(42);
});
