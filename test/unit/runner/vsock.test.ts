import { mkdirSync, writeFileSync } from 'node:fs';
import { type Socket, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { QmpLines } from '../../../src/runner/qmp.ts';
import { connectVsock, findVsockBackend } from '../../../src/runner/vsock.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** A backend that hears one line and does as told. */
async function backend(
  answer: (socket: Socket, line: string, nth: number) => void,
): Promise<string> {
  const path = join(tmpDir(), 's');
  let nth = 0;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (line: Buffer) => answer(socket, line.toString(), nth++));
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  return path;
}

test('the request is one line, and what follows the answer is not lost', async () => {
  let heard = '';
  const path = await backend((socket, line) => {
    heard = line;
    socket.end('OK 1024\nfirst bytes');
  });
  expect(await text(await connectVsock(path, 5678))).toBe('first bytes');
  expect(heard).toBe('CONNECT 5678\n');
});

test('an answer in pieces is put together', async () => {
  const path = await backend((socket) => {
    socket.write('OK');
    setTimeout(() => socket.write(' 7'), 5);
    setTimeout(() => socket.end('\nx'), 10);
  });
  expect(await text(await connectVsock(path, 1))).toBe('x');
});

test('attempts go on until the guest listens', async () => {
  const path = await backend((socket, _line, nth) =>
    nth < 3 ? socket.destroy() : socket.end('OK 1\n'),
  );
  let attempts = 0;
  const keepTrying = (): boolean => ++attempts > 0;
  (await connectVsock(path, 1, { keepTrying })).destroy();
  expect(attempts).toBe(3);
});

test.each([
  ['closes', (socket: Socket): void => void socket.end()],
  ['says something else', (socket: Socket): void => void socket.end('NO 5\n')],
  ['never ends its line', (socket: Socket): void => void socket.write('OK '.repeat(50))],
])('a peer that %s is a typed error', async (_name, answer) => {
  const path = await backend(answer);
  await expect(connectVsock(path, 1)).rejects.toMatchObject({ code: 'rpc-connect' });
});

test('a path without a socket is a typed error', async () => {
  await expect(connectVsock(join(tmpDir(), 'absent'), 1)).rejects.toMatchObject({
    code: 'rpc-connect',
  });
});

test('a peer that is silent is given up on by the signal', async () => {
  const path = await backend(() => undefined);
  const signal = AbortSignal.timeout(30);
  await expect(connectVsock(path, 1, { signal, keepTrying: () => true })).rejects.toMatchObject({
    code: 'rpc-aborted',
  });
});

test('the backend is looked for by variable, then in PATH, and missed with a hint', () => {
  const folder = join(tmpDir(), 'bin');
  mkdirSync(folder);
  const program = join(folder, 'microbuild-vsock');
  writeFileSync(program, '');
  expect(findVsockBackend({ MICROBUILD_VSOCK: program, PATH: '' })).toBe(program);
  expect(findVsockBackend({ PATH: folder })).toMatch(/microbuild-vsock$/);
  expect(() => findVsockBackend({ MICROBUILD_VSOCK: '/absent' })).toThrow(/Cannot find/);
});

test('QMP lines come whole however they are cut', () => {
  const lines = new QmpLines();
  expect(lines.push('{"QMP": {}}\r\n{"event"')).toEqual([{ QMP: {} }]);
  expect(lines.push(': "SHUTDOWN"}\n\n')).toEqual([{ event: 'SHUTDOWN' }]);
  expect(() => lines.push('junk\n')).toThrow(/no JSON/);
  expect(() => lines.push('[1]\n')).toThrow(/no object/);
  expect(() => new QmpLines().push('x'.repeat(2_000_000))).toThrow(/does not end/);
});
