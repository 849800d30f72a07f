import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  type MethodHandler,
  callMethod,
  serveInterface,
} from '../../../../src/runner/aidl/call.ts';
import { parseAidl } from '../../../../src/runner/aidl/parse.ts';
import { toJsonValue } from '../../../../src/runner/aidl/values.ts';
import { openRpcClient } from '../../../../src/runner/rpc/client.ts';
import { BinderException } from '../../../../src/runner/rpc/errors.ts';
import { RpcServer } from '../../../../src/runner/rpc/server.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const DESCRIPTION = parseAidl(`package t; interface I {
  String string(@nullable String x); byte[] bytes(in byte[] x); long longs(long x); int ints(int x);
  double doubles(double x); float floats(float x); boolean booleans(boolean x); char chars(char x);
  byte oneByte(byte x); String[] strings(in String[] x); long[] longArray(in long[] x);
  void nothing(); oneway void tell(int x); int fail(int x); @nullable String none(); }`);

async function open(overrides: Readonly<Record<string, MethodHandler>> = {}): Promise<{
  call: (name: string, ...args: unknown[]) => Promise<unknown>;
  errors: unknown[];
}> {
  const echo: MethodHandler = ([x]) => x ?? null;
  const handlers = Object.fromEntries(DESCRIPTION.methods.map(({ name }) => [name, echo]));
  const errors: unknown[] = [];
  const server = new RpcServer({
    root: serveInterface(DESCRIPTION, { ...handlers, ...overrides }),
    onError: (error) => errors.push(error),
  });
  const path = join(tmpDir(), 's');
  await server.listen(path);
  const client = await openRpcClient(connect(path));
  onTestFinished(async () => {
    client.close();
    await server.close();
  });
  return {
    call: async (name, ...args) => callMethod(client.root, DESCRIPTION, name, args),
    errors,
  };
}

test.each([
  ['string', 'héllo😀', 'héllo😀'],
  ['bytes', 'AP+A', new Uint8Array([0, 255, 128])],
  ['bytes', [0, 255, -1], new Uint8Array([0, 255, 255])],
  ['longs', '9223372036854775807', 9223372036854775807n],
  ['longs', -5, -5n],
  ['ints', -2147483648, -2147483648],
  ['doubles', 0.1, 0.1],
  ['floats', 0.5, 0.5],
  ['booleans', true, true],
  ['chars', 'ß', 'ß'],
  ['oneByte', -128, -128],
  ['strings', ['a', ''], ['a', '']],
  ['longArray', [1, '2'], [1n, 2n]],
])('%s takes %j and gives it back', async (name, value, expected) => {
  const { call } = await open();
  expect(await call(name, value)).toEqual(expected);
});

test('void, oneway and null answers are null', async () => {
  const told: unknown[] = [];
  const { call } = await open({ tell: ([x]) => told.push(x) });
  expect(await call('tell', 7)).toBeNull();
  expect(await call('nothing')).toBeNull();
  expect(await call('none')).toBeNull();
  expect(told).toEqual([7]);
});

test.each([
  ['ints', [2 ** 31]],
  ['ints', ['x']],
  ['ints', [1.5]],
  ['ints', []],
  ['ints', [1, 2]],
  ['longs', [2 ** 60]],
  ['booleans', [1]],
  ['chars', ['ab']],
  ['bytes', ['not base64!']],
  ['bytes', [[256]]],
  ['strings', [['a', null]]],
  ['strings', [null]],
  ['absent', []],
])('%s refuses %j before anything is sent', async (name, args) => {
  const { call } = await open();
  await expect(call(name, ...args)).rejects.toMatchObject({ code: 'usage' });
});

test('an exception of the handler reaches the caller, a fault becomes a status and is reported', async () => {
  const { call, errors } = await open({
    fail: ([x]) => {
      if (x === 1) throw new BinderException(-8, 'service', 42);
      throw new Error('bug');
    },
  });
  await expect(call('fail', 1)).rejects.toMatchObject({ exception: -8, serviceSpecific: 42 });
  await expect(call('fail', 2)).rejects.toMatchObject({ code: 'binder-status' });
  expect(errors).toHaveLength(1);
});

test('a handler that returns the wrong type is a fault of the service', async () => {
  const { call, errors } = await open({ ints: () => 'no number' });
  await expect(call('ints', 1)).rejects.toMatchObject({ code: 'binder-status' });
  expect(errors).toHaveLength(1);
});

test('a missing handler is found when the object is made', () => {
  expect(() => serveInterface(DESCRIPTION, {})).toThrow(TypeError);
});

test('JSON holds large longs as text and bytes as base64', () => {
  expect(toJsonValue([5n, 2n ** 60n])).toEqual([5, '1152921504606846976']);
  expect(toJsonValue(new Uint8Array([1, 2, 3]))).toBe('AQID');
});
