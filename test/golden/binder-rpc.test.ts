/** Bytes of Binder RPC as libbinder puts them on the wire, at each protocol. */

import { connect } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { LocalBinder } from '../../src/runner/rpc/binder.ts';
import { openRpcClient } from '../../src/runner/rpc/client.ts';
import { BinderException } from '../../src/runner/rpc/errors.ts';
import { RpcServer } from '../../src/runner/rpc/server.ts';
import { writeOk } from '../../src/runner/rpc/status.ts';
import { corpus, corpusPath } from '../support/corpus.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const PEER = 'microbuild.test.IPeer';

const service: LocalBinder = {
  descriptor: PEER,
  onTransact(code, data, reply) {
    data.enforceInterface(PEER);
    if (code === 3) throw new BinderException(-8, 'boom', 77);
    const text = data.string16();
    writeOk(reply);
    reply.string16(text);
  },
};

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const word = (value: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes.toString('hex');
};
const hello = (version: number): string =>
  `${word(version)} 0000 0000000000000000 0000 63636900 00000000`;
/** A frame; addresses, codes and so on in `body` as libbinder's capture shows them. */
const frame = (command: number, body: string): string =>
  `${word(command)} ${word(hex(body).length)} 0000000000000000 ${body}`;
const transact = (address: string, code: number, parcel: string): string =>
  frame(
    0,
    `${address} ${word(code)} 00000000 0000000000000000 ${word(hex(parcel).length)} ${'00'.repeat(12)} ${parcel}`,
  );
const reply = (version: number, status: number, parcel: string, table = ''): string => {
  const head = version === 0 ? '' : `${word(hex(parcel).length)} ${'00'.repeat(12)}`;
  return frame(1, `${word(status)} ${head} ${parcel} ${table}`);
};
const decStrong = (address: string, amount: number): string =>
  frame(2, `${address} ${word(amount)} 00000000`);

const NULL = '0000000000000000';
const ROOT = '0300000000000000';
const ROOT_BINDER = `01000000 ${ROOT} 0c000000`;
/** The interface token and "ab". */
const TOKEN = `15000000 ${Buffer.from(`${PEER}\0`, 'utf16le').toString('hex')}`;
const AB = '02000000 61006200 00000000';

async function serve(version: number): Promise<string> {
  const path = join(tmpDir(), 's');
  const server = new RpcServer({ root: service, version });
  onTestFinished(async () => server.close());
  await server.listen(path);
  return path;
}

/** What the server answers to a client that says all of this and goes. */
async function exchange(path: string, bytes: Buffer): Promise<string> {
  const socket = connect(path);
  const answer: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => answer.push(chunk));
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.end(bytes);
  await closed;
  return Buffer.concat(answer).toString('hex');
}

describe.each([0, 1, 2])('at protocol %i', (version) => {
  test('the server answers byte for byte as libbinder', async () => {
    const path = await serve(2);
    const said = [
      hello(version),
      transact(NULL, 0, ''),
      transact(NULL, 1, ''),
      transact(ROOT, 1, `${TOKEN} ${AB}`),
      transact(ROOT, 3, TOKEN),
      transact(ROOT, 0x5f4e5446, ''),
      transact(ROOT, 0x5f504e47, ''),
      transact(ROOT, 0x01000000, ''),
      transact(NULL, 3, ''),
      transact('0400000000000000', 1, ''),
    ];
    const heard = [
      `${word(version)} 00000000`,
      reply(version, 0, ROOT_BINDER, version === 2 ? '00000000' : ''),
      reply(version, 0, '01000000'),
      decStrong(ROOT, 1),
      reply(version, 0, `00000000 ${AB}`),
      decStrong(ROOT, 1),
      reply(version, 0, 'f8ffffff 04000000 62006f006f006d00 00000000 00000000 4d000000'),
      decStrong(ROOT, 1),
      reply(version, 0, TOKEN),
      decStrong(ROOT, 1),
      reply(version, 0, ''),
      decStrong(ROOT, 1),
      reply(version, -74, ''),
      reply(version, -74, ''),
      reply(version, -22, ''),
    ];
    expect(await exchange(path, hex(said.join('')))).toBe(hex(heard.join('')).toString('hex'));
  });

  test('the client says byte for byte what libbinder says', async () => {
    const path = await serve(version);
    const socket = connect(path);
    const spy = vi.spyOn(socket, 'write');
    const client = await openRpcClient(socket, { version });
    await client.root.transact(1, (p) => p.string16(PEER).string16('ab'));
    client.root.release();
    await client.closed;
    const expected = [
      hello(version),
      transact(NULL, 0, ''),
      transact(ROOT, 1, `${TOKEN} ${AB}`),
      decStrong(ROOT, 1),
    ];
    const said = Buffer.concat(spy.mock.calls.map(([chunk]) => Buffer.from(chunk)));
    expect(said.toString('hex')).toBe(hex(expected.join('')).toString('hex'));
  });
});

test.each([
  ['a session id of 5 bytes', `02000000 0000 0000000000000000 0500 0000000000`, ''],
  ['an unknown session', `02000000 0000 0000000000000000 2000 ${'07'.repeat(32)}`, ''],
  [
    'a new session by an incoming connection',
    `02000000 0100 0000000000000000 0000`,
    '0200000000000000',
  ],
  ['file descriptors', `02000000 0001 0000000000000000 0000`, '0200000000000000'],
  [
    'another first message',
    `02000000 0000 0000000000000000 0000 63636a00 00000000`,
    '0200000000000000',
  ],
  [
    'a protocol of the future',
    `${word(99)} 0000 0000000000000000 0000 63636a00 00000000`,
    '0200000000000000',
  ],
])('%s is answered as by libbinder, and closed', async (_name, said, heard) => {
  expect(await exchange(await serve(2), hex(said))).toBe(heard);
});

describe.skipIf(corpus === undefined)('the streams recorded from libbinder clients', () => {
  test('special transactions are answered', async () => {
    const recorded = readFileSync(corpusPath('binder', 'special_transaction'));
    const answer = await exchange(await serve(2), recorded);
    expect(answer).toBe(
      hex(`${word(2)} 00000000 ${reply(2, 0, ROOT_BINDER, '00000000')}`).toString('hex'),
    );
  });
});
