// TypeScript that is generated, compiled by tsc in its strictest form, and run against the codec that works
// at run time: what one writes, the other reads.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { compileAidl } from '../../../../src/runner/aidl/compile.ts';
import { generateRust } from '../../../../src/runner/aidl/generate/rust.ts';
import { generateTs } from '../../../../src/runner/aidl/generate/ts.ts';
import type { AidlInterface } from '../../../../src/runner/aidl/generated.ts';
import { type AidlProxy, aidlProxy, aidlStub } from '../../../../src/runner/aidl/objects.ts';
import type { LocalBinder } from '../../../../src/runner/rpc/binder.ts';
import { openRpcClient, type RpcClient } from '../../../../src/runner/rpc/client.ts';
import { RpcServer } from '../../../../src/runner/rpc/server.ts';
import { everyType, interfaceOf } from '../../../support/aidl.ts';
import { arbitraryOf } from '../../../support/aidl-values.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { runTool } from '../../../support/tools.ts';

const PROGRAM = everyType();
const TYPES = interfaceOf(PROGRAM, 'ITypes');
const RUNTIME = resolve('src/index.ts');

type Call = (...args: readonly unknown[]) => unknown;
type Methods = Readonly<Record<string, Call>>;

const folder = mkdtempSync(join(tmpdir(), 'microbuild-aidl-'));
let generated: AidlInterface<Methods>;

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A program that uses what is generated, for the compiler to judge. */
const USER = `
import { Everything } from './dev/microbuild/test/Everything.ts';
import { ICallback } from './dev/microbuild/test/ICallback.ts';
import { ITypes } from './dev/microbuild/test/ITypes.ts';
import { Inner, Inner_Pair } from './dev/microbuild/test/Inner.ts';
import { Kind } from './dev/microbuild/test/Kind.ts';
import type { Value } from './dev/microbuild/test/Value.ts';

export const callback = ICallback.stub({ twice: (x) => 2 * x, tell: async () => undefined });

export async function use(types: ITypes): Promise<string> {
  const everything = await types.everythings(Everything.of({ kind: Kind.LARGE, aLong: 1n }));
  const value: Value = { text: 'a' };
  const back = await types.values(value);
  const { doubled, sum } = await types.fill([1], 2, Inner.of({ pair: Inner_Pair.of() }));
  // @ts-expect-error a long is a bigint
  await types.longs(1);
  // @ts-expect-error null is not allowed here
  await types.strings(null);
  // @ts-expect-error there is no such field
  Everything.of({ nope: 1 });
  // @ts-expect-error an implementation has all methods
  ICallback.stub({ twice: (x) => x });
  const text: string = 'text' in back ? back.text : everything.aString;
  const first: number | undefined = doubled[0];
  return text + sum.number + first + ITypes.GREETING + ITypes.PORT + everything.bytes.length;
}
`;

beforeAll(async () => {
  for (const { path, text } of generateTs(PROGRAM, { runtime: RUNTIME, extension: '.ts' })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  writeFileSync(join(folder, 'user.ts'), USER);
  const types = join(folder, 'dev/microbuild/test/ITypes.ts');
  const module = (await import(types)) as { ITypes: AidlInterface<Methods> };
  generated = module.ITypes;
});

test('what is generated compiles in the strictest form, and its types mean what they say', () => {
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: resolve('tsconfig.json'),
      compilerOptions: { allowImportingTsExtensions: true, rewriteRelativeImportExtensions: false },
      include: ['**/*.ts'],
    }),
  );
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  const { status, stdout } = runTool('node_modules/.bin/tsc', ['-p', folder]);
  expect(stdout).toBe('');
  expect(status).toBe(0);
}, 60_000);

test('the same files give the same text, whatever their order', () => {
  const texts = (program: ReturnType<typeof everyType>): readonly unknown[] => [
    ...generateTs(program),
  ];
  expect(texts(everyType())).toEqual(texts(PROGRAM));
  const a = { path: 'p/A.aidl', text: 'package p; parcelable A { int x; }' };
  const b = { path: 'p/B.aidl', text: 'package p; parcelable B { p.A a; }' };
  expect(texts(compileAidl([a, b]))).toEqual(texts(compileAidl([b, a])));
});

test('names that mean something else in TypeScript or Rust are changed', () => {
  const text = `package a; import a.Option;
    interface I {
      void then(int arguments, in Option Option, in a.Promise p, int match, int self);
      enum Ok { Some }
      parcelable Inner { Ok function; }
    }`;
  const program = compileAidl([
    { path: 'a/I.aidl', text },
    { path: 'a/Option.aidl', text: 'package a; parcelable Option { int self; }' },
    { path: 'a/Promise.aidl', text: 'package a; parcelable Promise { int __proto__; }' },
  ]);
  const ts = generateTs(program)
    .map((file) => file.text)
    .join('');
  expect(ts).toContain('then_(arguments_: number, arg_Option: Option, p: Promise_, match: number');
  expect(ts).toContain("readonly ['__proto__']: number;");
  const rust = generateRust(program);
  expect(rust).toContain(
    'fn then(&self, arguments: i32, arg_Option: &Option_, p: &Promise, r#match: i32, self_: i32)',
  );
  expect(rust).toContain('Ok_ : i8 {');
  expect(rust).toContain('pub function: Ok_,');
});

async function open(root: LocalBinder, version = 2): Promise<RpcClient> {
  const path = join(tmpDir(), 's');
  const server = new RpcServer({ root });
  await server.listen(path);
  const client = await openRpcClient(connect(path), { version });
  onTestFinished(async () => {
    client.close();
    await server.close();
  });
  return client;
}

const echo: Call = (x) => x;
const SERVED = {
  ...Object.fromEntries(TYPES.methods.map(({ name }) => [name, echo])),
  fill: (x: readonly number[], asked: number, total: object) => ({
    result: asked,
    doubled: x.map((each) => 2 * each),
    sum: { number: 1, pair: { left: 2n, right: 3n } },
    total,
    names: x.map(String),
    ends: [0, 1],
  }),
  swap: (x: unknown, y: unknown) => ({ x, y }),
  callTwice: async (callback: Methods, x: number) =>
    callback['twice']?.(await callback['twice'](x)),
};

const ECHOES = TYPES.methods.filter(
  ({ name, args, returns }) =>
    returns !== null && args.length === 1 && args[0]?.name === 'x' && name !== 'callbackArrays',
);

describe.each(['generated', 'at run time'])('a stub that is %s', (stub) => {
  describe.each(['generated', 'at run time'])('a proxy that is %s', (proxy) => {
    const start = async (): Promise<Methods & AidlProxy> => {
      const client = await open(
        stub === 'generated' ? generated.stub(SERVED as never) : aidlStub(TYPES, SERVED),
      );
      return (
        proxy === 'generated' ? generated.proxy(client.root) : aidlProxy(client.root, TYPES)
      ) as Methods & AidlProxy;
    };

    test('values of every type come back as they went', async () => {
      const types = await start();
      for (const { name, args } of ECHOES) {
        const [argument] = args;
        if (argument === undefined) continue;
        await fc.assert(
          fc.asyncProperty(arbitraryOf(argument.type), async (value) => {
            expect(await types[name]?.(value)).toEqual(value);
          }),
          { numRuns: 8 },
        );
      }
    });

    test('out arguments and objects too', async () => {
      const types = await start();
      const total = { number: 4, pair: { left: 5n, right: 6n } };
      expect(await types['fill']?.([1, 2], 7, total)).toEqual({
        result: 7,
        doubled: [2, 4],
        sum: { number: 1, pair: { left: 2n, right: 3n } },
        total,
        names: ['1', '2'],
        ends: [0, 1],
      });
      const callback = { twice: (x: number) => 2 * x, tell: () => undefined };
      expect(await types['callTwice']?.(callback, 5)).toBe(20);
      expect(await types['callbacks']?.(callback)).toBe(callback);
      expect(await types['callbacks']?.(null)).toBeNull();
    });
  });
});

test('a value that its type does not allow is named by its path, and nothing is sent', async () => {
  const client = await open(generated.stub(SERVED as never));
  const types = generated.proxy(client.root) as Methods;
  await expect(types['strings']?.(7)).rejects.toThrow(
    'Cannot use 7 as argument "x": expected String',
  );
  await expect(types['longs']?.(7)).rejects.toThrow('as argument "x": expected long');
  await expect(
    types['grids']?.([
      [1, 2, 3],
      [1, 2],
    ]),
  ).rejects.toThrow('argument "x[1]": expected 3 of them');
  await expect(types['inners']?.({ number: 1, pair: { left: 1n, right: 'r' } })).rejects.toThrow(
    'Cannot use "r" as argument "x.pair.right": expected long',
  );
  await expect(types['values']?.({})).rejects.toThrow('expected one of the fields of Value');
  expect(await types['ints']?.(3)).toBe(3);
});
