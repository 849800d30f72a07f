/**
 * The guest's launcher and library as they go into the system image, on this machine: musl, a payload
 * in C, and our own RPC client and server at the other ends. Unix sockets stand in for vsock.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { arch } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { callMethod, serveInterface } from '../../src/runner/aidl/call.ts';
import { parseAidl } from '../../src/runner/aidl/parse.ts';
import { BinderException, BinderStatusError, STATUS } from '../../src/runner/rpc/errors.ts';
import { openRpcClient } from '../../src/runner/rpc/client.ts';
import { RpcServer } from '../../src/runner/rpc/server.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const guest = resolve('target/guest/x86_64');
const headers = resolve('guest/vm-payload/include');

const manager = parseAidl(`
  package android.system.virtualization.payload;
  interface IVmPayloadService { void notifyPayloadReady(); }
`);

/** Builds the test payloads; returns where one is. */
function buildPayload(folder: string, name: string): string {
  const made = runTool('make', [
    '-s',
    '-C',
    'test/fixtures/payloads',
    `OUT=${folder}`,
    `MICROBUILD_INCLUDE=${headers}`,
    join(folder, `lib${name}.so`),
  ]);
  expect(made.stderr).toBe('');
  return join(folder, `lib${name}.so`);
}

/** Builds the example in a folder of its own, as a recipe's build step would. */
function buildHello(folder: string): string {
  runTool('cp', ['-r', 'recipes/hello/Makefile', 'recipes/hello/src', folder]);
  const env = { ...process.env, MICROBUILD_INCLUDE: headers, MICROBUILD_LIB: guest };
  const made = runTool('make', ['-s', '-C', folder], { env });
  expect(made.stderr).toBe('');
  return join(folder, 'build/libhello.so');
}

function launch(args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  if (!existsSync(join(guest, 'microdroid_launcher'))) {
    throw new Error(`${guest} is not built: scripts/build-guest builds it`);
  }
  const child = spawn(join(guest, 'microdroid_launcher'), args, {
    env: { LD_LIBRARY_PATH: guest, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** How a payload ended and what it said. */
async function run(
  args: readonly string[],
): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
  const child = launch(args);
  const text = { stdout: '', stderr: '' };
  child.stdout?.on('data', (data: Buffer) => (text.stdout += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (text.stderr += data.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, ...text };
}

describe.skipIf(arch() !== 'x64')('the launcher', () => {
  it('ends with the code that the payload returns', async () => {
    const ended = await run([buildPayload(tmpDir(), 'exit42')]);
    expect(ended).toMatchObject({ code: 42, stdout: 'exit42: about to return 42\n', stderr: '' });
  });

  it('dies of the signal that the payload dies of', async () => {
    const ended = await run([buildPayload(tmpDir(), 'segv')]);
    expect(ended).toMatchObject({ signal: 'SIGSEGV', stdout: 'segv: about to crash\n' });
  });

  it('says what is wrong with a library that is no payload, is not there, or was not named', async () => {
    const noEntry = await run([buildPayload(tmpDir(), 'noentry')]);
    expect(noEntry.code).toBe(1);
    expect(noEntry.stderr).toMatch(/^Failed to find entrypoint `AVmPayload_main`: .+\n$/);
    const absent = await run(['/nowhere/lib\n.so']);
    expect(absent.code).toBe(1);
    expect(absent.stderr).toMatch(/^Failed to load \/nowhere\/lib\\n\.so: Failed to dlopen: .+\n$/);
    for (const args of [[], ['a', 'b']]) {
      expect(await run(args)).toMatchObject({
        code: 1,
        stderr: 'Usage: microdroid_launcher LIBRARY\n',
      });
    }
  });

  it('needs no library but the libc of the image, and nothing that only glibc has', () => {
    for (const file of ['microdroid_launcher', 'libvm_payload.so']) {
      const { stdout } = runTool('readelf', ['-W', '-d', '--dyn-syms', join(guest, file)]);
      const needed = [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]);
      expect(needed).toEqual(['libc.so']);
      expect(stdout).not.toContain('GLIBC');
    }
  });
});

describe.skipIf(arch() !== 'x64')('the example payload', () => {
  it('is the same bytes when built in another folder', async () => {
    const [one, other] = [
      await readFile(buildHello(tmpDir())),
      await readFile(buildHello(tmpDir())),
    ];
    expect(one.equals(other)).toBe(true);
  });

  it.each([0, 1, 2])(
    'greets our client at protocol %i, once its manager knows',
    async (version) => {
      const folder = tmpDir();
      let ready: () => void;
      const isReady = new Promise<void>((done) => (ready = done));
      const server = new RpcServer({
        root: serveInterface(manager, { notifyPayloadReady: () => ready() }),
        version,
      });
      await server.listen(join(folder, 'vm_payload_service'));
      onTestFinished(() => server.close());
      launch([buildHello(folder)], {
        LD_PRELOAD: buildPayload(folder, 'vsock-over-unix'),
        MICROBUILD_TEST_SOCKETS: folder,
      });
      await isReady;

      const file = 'recipes/hello/aidl/dev/microbuild/hello/IHello.aidl';
      const hello = parseAidl(await readFile(file, 'utf8'), file);
      const client = await openRpcClient(connect(join(folder, 'vsock-5678')), { version });
      onTestFinished(() => client.close());
      expect(client.version).toBe(version);
      for (const name of ['world', 'wörld 😀', 'x'.repeat(20_000)]) {
        expect(await callMethod(client.root, hello, 'hello', [name])).toBe(
          `Hello, ${name}! This is dev.microbuild.hello in a verified micro-VM.`,
        );
      }
      await expect(callMethod(client.root, hello, 'hello', [''])).rejects.toMatchObject({
        exception: -3,
        serviceMessage: 'The name is empty',
      });
      await expect(callMethod(client.root, hello, 'hello', [''])).rejects.toThrow(BinderException);
      const unknown = client.root.transact(2, (parcel) => parcel.string16(hello.descriptor));
      await expect(unknown).rejects.toMatchObject({ status: STATUS.UNKNOWN_TRANSACTION });
      const stranger = client.root.transact(1, (parcel) => parcel.string16('some.other.Interface'));
      await expect(stranger).rejects.toThrow(BinderStatusError);
    },
  );
});
