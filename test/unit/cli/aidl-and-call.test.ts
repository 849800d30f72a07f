// `microbuild aidl` on files, and `microbuild call` to a service that stands where a VM's would.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aidlSources, readAidlFiles } from '../../../src/runner/aidl/files.ts';
import { compileAidl } from '../../../src/runner/aidl/compile.ts';
import { aidlStub } from '../../../src/runner/aidl/objects.ts';
import { claimVm, writeVmRecord } from '../../../src/runner/registry.ts';
import { processStart } from '../../../src/runner/process-identity.ts';
import { BinderException } from '../../../src/runner/rpc/errors.ts';
import { RpcServer } from '../../../src/runner/rpc/server.ts';
import { loadAidlGroup } from '../../../src/cli/commands/aidl/group.ts';
import { callCommand } from '../../../src/cli/commands/call.ts';
import { type Command, runCommandLine } from '../../../src/cli/command.ts';
import { interfaceOf } from '../../support/aidl.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(...argv: readonly string[]): Promise<Result> {
  const lines: Record<'out' | 'err', string[]> = { out: [], err: [] };
  const commands: readonly Command[] = [await loadAidlGroup(), callCommand];
  const status = await runCommandLine(argv, commands, {
    terminal: {
      interactive: false,
      out: (text) => void lines.out.push(text),
      err: (text) => void lines.err.push(text),
      style: (_style, text) => text,
    },
    env: process.env,
    signal: new AbortController().signal,
    version: '0',
  });
  return { status, stdout: lines.out.join('\n'), stderr: lines.err.join('\n') };
}

const ITYPES = 'test/fixtures/aidl/dev/microbuild/test/ITypes.aidl';

describe('aidl check', () => {
  test('says what is right', async () => {
    const { status, stdout } = await run('aidl', 'check', ITYPES);
    expect([status, stdout]).toEqual([0, 'dev.microbuild.test.ITypes\nno problems in 9 files']);
  });

  test('tells all problems of all files at once, with the lines they stand in', async () => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'p'));
    writeFileSync(join(folder, 'p/Q.aidl'), 'package p;\nparcelable Q { Nope n; }\n');
    writeFileSync(
      join(folder, 'p/I.aidl'),
      'package p;\nimport p.Q;\ninterface I {\n  void a(int[] x);\n  void b(in Map m);\n  int c(in Q q) = 1;\n}\n',
    );
    const { status, stderr } = await run('aidl', 'check', join(folder, 'p/I.aidl'));
    expect(status).toBe(2);
    expect(stderr).toContain('p/I.aidl:4:16');
    expect(stderr).toContain('void a(int[] x);');
    expect(stderr).toContain('"a" without an id');
    expect(stderr).toContain('p/Q.aidl:2:16');
  });

  test('what vsock cannot carry is a problem too', async () => {
    const folder = tmpDir();
    const file = join(folder, 'I.aidl');
    writeFileSync(file, 'interface I { void a(in ParcelFileDescriptor f); }');
    const { status, stderr } = await run('aidl', 'check', file);
    expect(status).toBe(2);
    expect(stderr).toContain('no file descriptor travels over vsock');
  });

  test('imports come from the folders of -I', async () => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'lib/q'), { recursive: true });
    writeFileSync(join(folder, 'lib/q/Q.aidl'), 'package q; parcelable Q { int x; }');
    const file = join(folder, 'I.aidl');
    writeFileSync(file, 'import q.Q; interface I { void a(in Q q); }');
    expect((await run('aidl', 'check', file)).status).toBe(2);
    expect((await run('aidl', 'check', file, '-I', join(folder, 'lib'))).status).toBe(0);
  });
});

test('aidl ts and aidl rust write the same files each time', async () => {
  const folder = tmpDir();
  const first = await run('aidl', 'ts', ITYPES, '--out', folder, '--json');
  const { files } = JSON.parse(first.stdout) as { files: readonly string[] };
  expect(files).toContain(join(folder, 'dev/microbuild/test/Everything.ts'));
  expect(files).toHaveLength(9);
  expect((await run('aidl', 'ts', ITYPES)).stderr).toContain('Add --out DIR');
  const rust = await run('aidl', 'rust', ITYPES, '--out', folder);
  expect(rust.stdout).toBe(join(folder, 'aidl.rs'));
  const printed = await run('aidl', 'rust', ITYPES, '--runtime', 'vm_payload::aidl');
  expect(printed.stdout).toContain('use ::vm_payload::aidl as _aidl;');
  expect((await run('aidl', 'rust', ITYPES, '--runtime', 'vm_payload::aidl')).stdout).toBe(
    printed.stdout,
  );
});

const AIDL: Readonly<Record<string, string>> = {
  'p/Mode.aidl': 'package p; @Backing(type="int") enum Mode { FAST, SLOW = 10 }',
  'p/Order.aidl':
    'package p; import p.Mode; parcelable Order { String name; long count = 3; Mode mode = Mode.SLOW; byte[] data; }',
  'p/IShop.aidl': `package p; import p.Mode; import p.Order;
    interface IShop {
      Order place(in Order order);
      int fill(out int[] numbers, inout Order order, in Mode[] modes);
      void refuse(int code);
      void send(in ParcelFileDescriptor file);
    }`,
};

describe('call', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mb-'));
  const before = process.env['XDG_RUNTIME_DIR'];
  let rpc: RpcServer;
  let host: Server;
  let shop: string;

  /** A record of a VM whose monitor is this process, and a socket that answers as the vsock backend. */
  beforeAll(async () => {
    process.env['XDG_RUNTIME_DIR'] = folder;
    for (const [path, text] of Object.entries(AIDL)) {
      mkdirSync(join(folder, 'aidl/p'), { recursive: true });
      writeFileSync(join(folder, 'aidl', path), text);
    }
    shop = resolve(folder, 'aidl/p/IShop.aidl');
    const files = readAidlFiles([shop]);
    const program = compileAidl(files, { sources: aidlSources([], files), allowUnsupported: true });
    const served = {
      place: (order: { count: bigint }) => ({ ...order, count: order.count + 1n }),
      fill: (length: number, order: object, modes: readonly number[]) => ({
        result: length,
        numbers: modes,
        order,
      }),
      refuse: (code: number) => {
        throw new BinderException(-8, 'closed', code);
      },
      send: () => undefined,
    };
    rpc = new RpcServer({ root: aidlStub(interfaceOf(program, 'IShop'), served) });
    host = createServer((socket) => {
      socket.once('data', (hello: Buffer) => {
        expect(hello.toString()).toBe('CONNECT 77\n');
        socket.write('OK 1\n');
        void rpc.accept(socket);
      });
    });
    const claim = await claimVm('shop');
    const hostSocket = join(claim.runDir, 'vm.vsock');
    await new Promise<void>((done) => host.listen(hostSocket, done));
    await writeVmRecord(claim.runDir, {
      name: 'shop',
      state: 'READY',
      pid: process.pid,
      pidStart: processStart(process.pid) ?? '',
      runnerPid: process.pid,
      runnerStart: processStart(process.pid) ?? '',
      backendPid: 0,
      backendStart: '',
      cid: 3,
      hostSocket,
      consoleFile: '',
      logFile: '',
      vmm: 'none',
      accelerator: 'none',
      memoryMib: 1,
      cpus: 1,
      startedAt: 0,
      debuggable: false,
    });
  });

  afterAll(async () => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR'];
    else process.env['XDG_RUNTIME_DIR'] = before;
    await rpc.close();
    host.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const call = async (...argv: readonly string[]): Promise<Result> =>
    run('call', 'shop', '77', ...argv, '--aidl', shop);

  test('a parcelable is an object: enumerators by name, a long as number or text, what is left out by default', async () => {
    const { stdout, stderr } = await call('IShop.place', '{"name": "tea", "data": "AP8="}');
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ name: 'tea', count: 4, mode: 'SLOW', data: 'AP8=' });
    const large = await call(
      'IShop.place',
      '{"count": "9007199254740993", "mode": "FAST", "data": [1, -1]}',
    );
    expect(JSON.parse(large.stdout)).toEqual({
      name: '',
      count: '9007199254740994',
      mode: 'FAST',
      data: 'Af8=',
    });
  });

  test('out arguments come back by name, and the length of an out array is given', async () => {
    const { stdout } = await call('p.IShop.fill', '5', '{"mode": 10}', '["FAST", 99]');
    expect(JSON.parse(stdout)).toEqual({
      result: 5,
      numbers: [0, 99],
      order: { name: '', count: 3, mode: 'SLOW', data: '' },
    });
  });

  test('arguments can come from a file', async () => {
    const file = join(tmpDir(), 'args.json');
    writeFileSync(file, '[{"name": "from a file"}]');
    const { stdout } = await call('IShop.place', '--args-file', file);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'from a file' });
    writeFileSync(file, '{"name": "no array"}');
    const wrong = await call('IShop.place', '--args-file', file);
    expect([wrong.status, wrong.stderr]).toEqual([2, expect.stringContaining('no JSON array')]);
  });

  test.each([
    ['{"nam": "x"}', 'argument "order.nam": expected one of the fields of Order: name, count'],
    ['{"count": 1.5}', 'argument "order.count": expected long'],
    ['{"mode": "QUICK"}', 'expected one of Mode: FAST, SLOW'],
    ['7', 'argument "order": expected an object of Order'],
    ['{nam', 'it is not JSON'],
  ])('a wrong argument is named by its path: %s', async (argument, message) => {
    const { status, stderr } = await call('IShop.place', argument);
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  test('what a service throws, and methods that no call can carry, fail', async () => {
    const refused = await call('IShop.refuse', '42');
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('42: closed')]);
    const carried = await call('IShop.send', 'null');
    expect([carried.status, carried.stderr]).toEqual([
      2,
      expect.stringContaining('no file descriptor travels over vsock'),
    ]);
  });

  test('--list shows the methods of what is served, with their types', async () => {
    const { stdout } = await run('call', '--list', 'shop', '77', '--aidl', shop);
    expect(stdout.split('\n')).toEqual([
      'p.IShop',
      '  Order place(Order order)',
      '  int fill(out int[] numbers, inout Order order, Mode[] modes)',
      '  void refuse(int code)',
      '  void send(ParcelFileDescriptor file)',
      '      Cannot use ParcelFileDescriptor: no file descriptor travels over vsock',
      'parcelable Order { String name; long count; Mode mode; byte[] data; }',
      'enum Mode { FAST = 0, SLOW = 10 }',
    ]);
    const both = await run('call', '--list', 'shop', '77', 'IShop.place');
    expect(both.status).toBe(2);
  });

  test('without an interface that fits, the hint says how to name one', async () => {
    const { status, stderr } = await run('call', '--list', 'shop', '77');
    expect([status, stderr]).toEqual([2, expect.stringContaining('--aidl FILE')]);
  });
});
