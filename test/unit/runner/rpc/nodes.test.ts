import { beforeEach, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { type LocalBinder, RemoteBinder } from '../../../../src/runner/rpc/binder.ts';
import { NodeTable } from '../../../../src/runner/rpc/nodes.ts';
import { RpcSession } from '../../../../src/runner/rpc/session.ts';

const session = new RpcSession(2, null);
const mine: LocalBinder = { descriptor: 'mine', onTransact: () => undefined };
/** An object of a server's, as a client sees it; and the first object a client sends. */
const ROOT = 3n;
const FIRST = 1n;

let nodes: NodeTable;
beforeEach(() => {
  nodes = new NodeTable(false, (address) => new RemoteBinder(session, address));
});

test('an object keeps its address while it is known, and gets a new one afterwards', () => {
  expect([nodes.leaving(mine), nodes.leaving(mine)]).toEqual([FIRST, FIRST]);
  nodes.decStrong(FIRST, 2);
  expect(nodes.size).toBe(0);
  expect(nodes.leaving(mine)).toBe(FIRST | (1n << 32n));
});

test('a proxy gives back what it received, once', () => {
  const proxy = nodes.entering(ROOT);
  expect(nodes.entering(ROOT)).toBe(proxy);
  if (!(proxy instanceof RemoteBinder)) throw new TypeError('not a proxy');
  expect([nodes.release(ROOT, proxy), nodes.release(ROOT, proxy)]).toEqual([2, 0]);
  expect(nodes.size).toBe(0);
});

test('a proxy that was sent back is kept until the peer has acknowledged every sending', () => {
  const proxy = nodes.entering(ROOT);
  nodes.leaving(proxy);
  nodes.leaving(proxy);
  if (!(proxy instanceof RemoteBinder)) throw new TypeError('not a proxy');
  expect(nodes.release(ROOT, proxy)).toBe(0);
  expect(nodes.decStrong(ROOT, 1)).toBe(0);
  expect(nodes.size).toBe(1);
  expect(nodes.decStrong(ROOT, 1)).toBe(1);
  expect(nodes.size).toBe(0);
});

test('a DEC_STRONG of too much or of nothing known is ignored, as in libbinder', () => {
  nodes.leaving(mine);
  nodes.decStrong(FIRST, 2);
  nodes.decStrong(99n, 1);
  expect(nodes.size).toBe(1);
});

test('an address that only we could have made, and did not, breaks the session', () => {
  expect(() => nodes.entering(FIRST)).toThrow(FormatError);
  expect(() => nodes.entering(4n)).toThrow(expect.objectContaining({ status: -22 }));
});

test('one-way calls that come early wait for those before them', () => {
  nodes.leaving(mine);
  const call = (n: bigint): Parameters<NodeTable['admitOneway']>[0] => ({
    address: FIRST,
    code: 1,
    flags: 1,
    asyncNumber: n,
    data: new Uint8Array(0),
    objects: [],
  });
  expect([nodes.admitOneway(call(2n)), nodes.admitOneway(call(1n))]).toEqual([false, false]);
  expect(nodes.admitOneway(call(0n))).toBe(true);
  expect([1, 2, 3].map(() => nodes.nextOneway(FIRST)?.asyncNumber)).toEqual([1n, 2n, undefined]);
  expect(() => nodes.admitOneway(call(0n))).toThrow(FormatError);
});
