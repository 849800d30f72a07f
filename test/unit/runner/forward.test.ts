import { existsSync, statSync, writeFileSync } from 'node:fs';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { type Forward, openForward, parseForward } from '../../../src/runner/forward.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

/** A vsock backend whose guest echoes on port 5678, and listens nowhere else. */
async function hybridSocket(isListening: () => boolean = () => true): Promise<string> {
  const path = join(tmpDir(), 'vm.vsock');
  const server: Server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (request: Buffer) => {
      if (request.toString() !== 'CONNECT 5678\n' || !isListening()) {
        socket.destroy();
        return;
      }
      socket.write('OK 1\n');
      socket.pipe(socket);
    });
  });
  await new Promise<void>((done) => server.listen(path, done));
  opened.push(server);
  return path;
}

async function forward(
  hybrid: string,
  port = 5678,
  isRunning = (): boolean => true,
): Promise<{ path: string; it: Forward }> {
  const path = join(tmpDir(), 'out.sock');
  const it = await openForward({ port, path }, hybrid, isRunning);
  opened.push(it);
  return { path, it };
}

async function say(path: string, text: string): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true });
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  socket.end(text);
  await new Promise((done) => socket.once('close', done).on('error', () => undefined));
  return answer;
}

describe('a forward', () => {
  test('joins each client to the guest, to the end of both directions', async () => {
    const { path } = await forward(await hybridSocket());
    const long = 'x'.repeat(1 << 20);
    expect(await Promise.all(['one', 'two', long].map((text) => say(path, text)))).toEqual([
      'one',
      'two',
      long,
    ]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('waits for a guest that does not listen yet', async () => {
    let listens = false;
    const { path } = await forward(await hybridSocket(() => listens));
    const answer = say(path, 'early');
    setTimeout(() => {
      listens = true;
    }, 150);
    expect(await answer).toBe('early');
  });

  test('closes the connection when the machine ends without listening, and goes with it', async () => {
    let runs = true;
    const { path, it } = await forward(await hybridSocket(), 1234, () => runs);
    const answer = say(path, 'x');
    runs = false;
    expect(await answer).toBe('');
    await it.close();
    expect(existsSync(path)).toBe(false);
  });

  test('takes the place of a socket that nobody serves, and of nothing else', async () => {
    const hybrid = await hybridSocket();
    const { path } = await forward(hybrid);
    await expect(openForward({ port: 1, path }, hybrid, () => true)).rejects.toMatchObject({
      code: 'output',
      message: expect.stringContaining('another program'),
    });
    const file = join(tmpDir(), 'file');
    writeFileSync(file, 'mine');
    await expect(openForward({ port: 1, path: file }, hybrid, () => true)).rejects.toMatchObject({
      message: expect.stringContaining('no socket'),
    });
    const absent = join(tmpDir(), 'absent', 'x.sock');
    await expect(openForward({ port: 1, path: absent }, hybrid, () => true)).rejects.toMatchObject({
      code: 'output',
    });
  });
});

test.each([
  ['5678:hello.sock', { port: 5678, path: 'hello.sock' }],
  ['1:/a:b', { port: 1, path: '/a:b' }],
])('%s is a forward', (text, expected) => {
  expect(parseForward(text)).toEqual(expected);
});

test.each([
  '',
  '5678',
  ':x',
  '5678:',
  '0:x',
  'x:y',
  '-1:x',
  '4294967295:x',
  '99999999999:x',
  `1:${'x'.repeat(108)}`,
  '1:a\0',
])('%j is none', (text) => {
  expect(() => parseForward(text)).toThrow(expect.objectContaining({ code: 'usage' }));
});

test('any text is a forward or a mistake', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const { port, path } = parseForward(text);
        expect(`${port}:${path}`).toBe(text.replace(/^0+(?=\d)/, ''));
      } catch (error) {
        expect(error).toMatchObject({ code: 'usage' });
      }
    }),
  );
});
