/** Our vsock backend between programs of this machine and a real guest's: Linux's driver under QEMU. */

import { mkdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { BUNDLE_FILES } from '../../src/bundle/layout.ts';
import { measureTscKhz } from '../../src/native/clock.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { startVm, type Vm } from '../../src/runner/session.ts';
import { connectVsock } from '../../src/runner/vsock.ts';
import { writeBareInitrd } from '../support/bare-initrd.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { runTool } from '../support/tools.ts';

/** The ports of test/fixtures/guest/vsock.c; nobody listens on the last one. */
const [ECHO, SINK, SOURCE, QUEUE, DIAL, PEER, SLOW, ABSENT] = [1, 2, 3, 4, 5, 6, 7, 8];
const MIB = 2 ** 20;
const CHUNK = 64 << 10;

let sandbox: Sandbox;
let vm: Vm;
let hostSocket: string;

beforeAll(async () => {
  sandbox = openSandbox();
  const { folder } = sandbox;
  const bundle = join(folder, 'bundle');
  const recipe = copyHello(join(folder, 'hello'));
  const built = await sandbox.microbuild(['image', recipe, '-o', bundle, '--quiet']);
  expect(built).toMatchObject({ status: 0 });
  const program = join(folder, 'guest');
  const compiler = ['-std=gnu11', '-O2', '-static', '-o', program, 'test/fixtures/guest/vsock.c'];
  expect(runTool('musl-gcc', compiler)).toMatchObject({ status: 0 });
  const initrd = join(folder, 'initrd');
  await writeBareInitrd(initrd, program, join(bundle, BUNDLE_FILES.initrdNormal));
  const registry = join(folder, 'r');
  mkdirSync(registry, { mode: 0o700 });
  const library = await loadNativeLibrary();
  vm = await startVm(
    {
      name: 'streams',
      kernel: join(bundle, BUNDLE_FILES.kernel),
      initrd,
      disks: [],
      memoryMib: 192,
      cpus: 1,
      tscKhz: library && (await measureTscKhz(library, 20)),
    },
    { registry, timeouts: { startMilliseconds: 600_000 } },
  );
  hostSocket = join(vm.runDir, 'vm.vsock');
  // The last port that the guest listens on.
  (await vm.connect(SLOW)).destroy();
});
afterAll(async () => {
  await vm?.stop();
  sandbox.dispose();
});

const dial = async (port: number): Promise<Socket> => connectVsock(hostSocket, port);

/** Words that count up from a place in the sequence. */
function sequence(offset: number, size: number): Buffer {
  const words = new Uint32Array(size / 4);
  for (let index = 0; index < words.length; index += 1) words[index] = offset / 4 + index;
  return Buffer.from(words.buffer);
}

/** Sends the sequence, and the end. */
async function sendSequence(socket: Socket, bytes: number): Promise<void> {
  for (let offset = 0; offset < bytes; offset += CHUNK) {
    const more = socket.write(sequence(offset, Math.min(CHUNK, bytes - offset)));
    if (!more) await new Promise((resolve) => socket.once('drain', resolve));
  }
  socket.end();
}

/** Reads to the end. @returns how many bytes came, all of them right. */
function receiveSequence(socket: Socket): Promise<number> {
  let received = 0;
  let rest: Buffer = Buffer.alloc(0);
  // Not as an iterator, whose end would close the other half, too.
  return new Promise((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      const data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const whole = data.length & ~3;
      if (!data.subarray(0, whole).equals(sequence(received, whole))) {
        reject(new Error(`Other bytes between ${received} and ${received + whole}`));
      }
      received += whole;
      rest = data.subarray(whole);
    });
    socket.once('end', () => resolve(received + rest.length));
    socket.once('error', reject);
  });
}

async function readText(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Sends a line and returns everything that comes back. */
async function ask(port: number, line: string): Promise<string> {
  const socket = await dial(port);
  socket.write(`${line}\n`);
  return (await readText(socket)).trim();
}

/** Sends the sequence to a port that counts it, which answers after its end. */
async function fill(port: number, bytes: number): Promise<number> {
  const socket = await dial(port);
  const [, answer] = await Promise.all([sendSequence(socket, bytes), readText(socket)]);
  return Number(answer);
}

/** Sends the sequence to the port that returns it, and compares. */
async function echo(bytes: number): Promise<number> {
  const socket = await dial(ECHO);
  const [, received] = await Promise.all([sendSequence(socket, bytes), receiveSequence(socket)]);
  return received;
}

/** Listens where the guest's connections to a port arrive. */
async function listen(port: number, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => server.listen(`${hostSocket}_${port}`, resolve));
  onTestFinished(() => void server.close());
}

describe('streams from the host', () => {
  test('200 one after the other carry a byte there and back', async () => {
    for (let index = 0; index < 200; index += 1) expect(await echo(4)).toBe(4);
  });

  test('64 at once carry a mebibyte each there and back', async () => {
    const echoes = Array.from({ length: 64 }, async () => echo(MIB));
    expect(await Promise.all(echoes)).toEqual(echoes.map(() => MIB));
  });

  test('a gibibyte goes through, half of it each way, with every byte in its place', async () => {
    expect(await fill(SINK, 512 * MIB)).toBe(512 * MIB);
    const socket = await dial(SOURCE);
    socket.write(`${512 * MIB}\n`);
    expect(await receiveSequence(socket)).toBe(512 * MIB);
  });

  test('what the host sent before it ended its half arrives, and the answer after that comes back', async () => {
    for (const bytes of [0, 4, 64 << 10, MIB + 4]) expect(await fill(SINK, bytes)).toBe(bytes);
  });

  test('8 with a mebibyte each reach a guest that serves one after the other', async () => {
    const fills = Array.from({ length: 8 }, async () => fill(QUEUE, MIB));
    expect(await Promise.all(fills)).toEqual(fills.map(() => MIB));
  });

  test('to a port where nobody listens are refused at once', async () => {
    const began = performance.now();
    await expect(dial(ABSENT)).rejects.toMatchObject({ code: 'rpc-connect' });
    expect(performance.now() - began).toBeLessThan(1000);
  });

  test('come from the host’s own CID', async () => {
    expect(await readText(await dial(PEER))).toBe('2\n');
  });

  test('that are closed before they have said what they want leave nothing behind', async () => {
    for (const text of ['', 'CONN', 'CONNECT 1', 'CONNECT x\n', `CONNECT ${ECHO}\n`]) {
      const socket = connect(hostSocket);
      socket.end(text, () => socket.destroy());
      await new Promise((resolve) => socket.once('close', resolve));
    }
    expect(await echo(4)).toBe(4);
  });
});

describe('streams from the guest', () => {
  test('the host’s answer to the end of a stream is heard', async () => {
    await listen(5001, (socket) => {
      void receiveSequence(socket).then(async (bytes) => sendSequence(socket, bytes));
    });
    for (const bytes of [0, 4, MIB + 4]) {
      expect(await ask(DIAL, `5001 ${bytes}`)).toBe(`sent ${bytes} received ${bytes}`);
    }
  });

  test('64 at once are served side by side', async () => {
    await listen(5002, (socket) => socket.pipe(socket));
    const answers = Array.from({ length: 64 }, async () => ask(DIAL, `5002 ${64 << 10}`));
    expect(await Promise.all(answers)).toEqual(answers.map(() => 'sent 65536 received 65536'));
  });

  test('to a port where nobody listens are refused at once', async () => {
    const [, errno, milliseconds] = /^errno (\d+) after (\d+) ms$/.exec(await ask(DIAL, '5999 0'))!;
    // ECONNRESET, as vsock has no other word for it.
    expect(errno).toBe('104');
    expect(Number(milliseconds)).toBeLessThan(1000);
  });
});

describe('a side that is slow', () => {
  test('a host that does not read holds up its own stream only, and the backend’s memory stays small', async () => {
    const slow = await dial(SOURCE);
    slow.write(`${32 * MIB}\n`);
    await sleep(300);
    expect(await echo(MIB)).toBe(MIB);
    expect(backendMemory()).toBeLessThan(16 * MIB);
    expect(await receiveSequence(slow)).toBe(32 * MIB);
  });

  test('a guest that does not read holds up its own stream only', async () => {
    let done = false;
    const slow = fill(SLOW, 4 * MIB).finally(() => (done = true));
    expect(await echo(MIB)).toBe(MIB);
    expect(done).toBe(false);
    expect(await slow).toBe(4 * MIB);
  });
});

/** Of what the backend holds privately, in bytes: guest memory is not its own. */
function backendMemory(): number {
  const children = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8');
  for (const pid of children.trim().split(' ')) {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('microbuild-vsock')) continue;
    const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(kilobytes?.[1]) * 1024;
  }
  throw new Error('The backend does not run');
}
