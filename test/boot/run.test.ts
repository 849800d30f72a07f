/** `microbuild run` and what looks after a machine that runs, with the real guest. */

import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runKernelProbe } from '../../src/runner/accel.ts';
import { callMethod } from '../../src/runner/aidl/call.ts';
import { parseAidl } from '../../src/runner/aidl/parse.ts';
import { openRpcClient } from '../../src/runner/rpc/client.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { filesLeft, processesNaming } from '../support/leftovers.ts';
import { copyHello, payloadRecipe } from '../support/recipes.ts';

let sandbox: Sandbox;
let bundle: string;
beforeAll(async () => {
  sandbox = openSandbox();
  bundle = await image(copyHello(join(sandbox.folder, 'hello')), 'hello');
});
afterAll(() => sandbox.dispose());

async function image(recipe: string, name: string): Promise<string> {
  const path = join(sandbox.folder, `${name}-bundle`);
  const { status, stderr } = await sandbox.microbuild(['image', recipe, '-o', path]);
  expect([status, stderr]).toEqual([0, expect.not.stringContaining('error:')]);
  return path;
}

const cli = (...args: readonly string[]): Promise<CliResult> => sandbox.microbuild(args);

interface Listed {
  readonly name: string;
  readonly state: string;
  readonly runnerPid: number;
  readonly bundle: string;
}
const ps = async (): Promise<Listed[]> =>
  (JSON.parse((await cli('ps', '--json')).stdout) as { vms: Listed[] }).vms;

describe('a machine in the background', () => {
  test('runs on when run --wait ready returns; it can be called, forwarded, watched and stopped', async () => {
    const socket = join(sandbox.folder, 'hello.sock');
    const started = await cli('run', bundle, '--wait', 'ready', '--forward', `5678:${socket}`);
    expect(started.stdout).toMatch(
      /^hello is ready after \d+ ms \(pid \d+, cid \d+\); .*stop hello\n$/,
    );
    expect(started.status).toBe(0);
    expect(await ps()).toMatchObject([{ name: 'hello', state: 'READY', bundle }]);

    const called = await cli('call', 'hello', '5678', 'IHello.hello', '"you"');
    expect(called.stdout).toContain('Hello, you!');
    const client = await openRpcClient(connect(socket));
    const file = join(bundle, 'interfaces/dev/microbuild/hello/IHello.aidl');
    const iface = parseAidl(readFileSync(file, 'utf8'), file);
    expect(await callMethod(client.root, iface, 'hello', ['socket'])).toContain('Hello, socket!');
    client.close();

    expect((await cli('logs', 'hello')).stdout).toBe(
      'hello: serving dev.microbuild.hello.IHello on vsock port 5678\n',
    );
    expect((await cli('logs', 'hello', '--console')).stdout).toContain('microbuild: phase payload');
    const again = await cli('run', bundle);
    expect([again.status, again.stderr]).toEqual([2, expect.stringContaining('running already')]);

    expect((await cli('stop', 'hello')).stdout).toBe('hello has stopped\n');
    expect(await ps()).toEqual([]);
    expect(existsSync(socket)).toBe(false);
    expect(filesLeft(sandbox.runFolder)).toEqual([]);
    expect(processesNaming(sandbox.runFolder)).toEqual([]);
  });

  test('is one of eight that serve at once, each its own', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `vm${index}`);
    const started = await Promise.all(
      names.map((name) => cli('run', bundle, '--wait=ready', '--name', name, '--ephemeral')),
    );
    expect(started.map(({ status }) => status)).toEqual(names.map(() => 0));
    const machines = await ps();
    expect(machines.map(({ name, state }) => [name, state])).toEqual(
      names.map((name) => [name, 'READY']),
    );
    const answers = await Promise.all(
      names.map((name) => cli('call', name, '5678', 'IHello.hello', JSON.stringify(name))),
    );
    for (const [index, { stdout }] of answers.entries()) {
      expect(stdout).toContain(`Hello, ${names[index]}!`);
    }
    await Promise.all(names.map((name) => cli('stop', name)));
    expect(await ps()).toEqual([]);
    expect(processesNaming(sandbox.runFolder)).toEqual([]);
  });

  test('goes with its runner when that is killed, and with nothing else', async () => {
    const started = await cli('run', bundle, '--detach', '--name', 'orphan', '--ephemeral');
    expect([started.status, started.stdout]).toEqual([0, expect.stringContaining('is starting')]);
    const [vm] = await ps();
    expect(vm).toMatchObject({ name: 'orphan' });
    process.kill(vm?.runnerPid ?? 0, 'SIGKILL');
    await expect.poll(() => processesNaming(join(sandbox.runFolder, 'orphan'))).toEqual([]);
    expect(await ps()).toEqual([]);
    const { stdout } = await cli('ps', '--all');
    expect(stdout).toMatch(/^orphan +DEAD \(VIRTUALIZATION_SERVICE_DIED\)/m);
    expect(filesLeft(sandbox.runFolder)).toEqual([]);
    expect(existsSync(join(sandbox.folder, 'state', 'microbuild', 'instances', 'orphan'))).toBe(
      false,
    );
  });

  test('that ends before it is ready gives its exit code', async () => {
    const path = await image(payloadRecipe(join(sandbox.folder, 'exit42'), 'exit42'), 'exit42');
    const run = await cli('run', path, '--wait', 'ready', '--ephemeral');
    expect([run.status, run.stdout]).toEqual([42, 'payload finished with exit code 42\n']);
    const json = await cli('run', path, '--wait', 'ready', '--ephemeral', '--json');
    expect(json.status).toBe(42);
    expect(JSON.parse(json.stdout)).toMatchObject({
      verdict: { kind: 'finished', exitCode: 42, death: 'SHUTDOWN' },
    });
    const phases = json.stderr.split('\n').flatMap((line) => {
      if (!line.startsWith('{')) return [];
      const event = JSON.parse(line) as { kind: string; phase?: string };
      return event.kind === 'vm-phase' ? [event.phase] : [];
    });
    expect(phases).toEqual(['verified', 'starting', 'started', 'finished', 'dead']);
  });

  test.each([
    ['--detach', '--console'],
    ['--wait=ready', '--call=IHello.hello'],
    ['--detach', '--print-cmd'],
    ['--instance=x', '--ephemeral'],
  ])('%s and %s contradict each other', async (...options) => {
    const run = await cli('run', bundle, ...options);
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining('error: Cannot use')]);
  });
});

test('a payload that is not started in time is a hang-up', async () => {
  const run = await cli('run', bundle, '--start-timeout', '1', '--ephemeral');
  expect(run.status).toBe(125);
  expect(run.stderr).toContain('did not start its payload in time');
  expect(run.stderr).toContain('death reason: HANGUP (16)');
});

test('a probe boots the kernel of a bundle, and tells one that does not come up', async () => {
  const probe = (kernel: string): Promise<string | undefined> =>
    runKernelProbe('qemu-system-x86_64', 'tcg', 'qemu64', join(bundle, kernel));
  expect(await probe('kernel')).toBeUndefined();
  expect(await probe('manifest.json')).toMatch(/probe machine failed.*booting the kernel/);
});

describe('run --print-cmd', () => {
  test('prints what a shell can start, with what stands behind --', async () => {
    const { stdout, status } = await cli('run', bundle, '--print-cmd', '--', '-d', 'guest_errors');
    expect(status).toBe(0);
    const [backend, qemu, ...others] = stdout.trimEnd().split('\n');
    expect(others).toEqual([]);
    expect(backend).toMatch(/vsock .*--socket .*vhost\.sock.* &$/);
    expect(qemu).toMatch(new RegExp(`-kernel ${bundle}/kernel .*-d guest_errors$`));
    expect(await ps()).toEqual([]);
  });

  test.each([
    ['crosvm', /^.*vsock .*&\ncrosvm .* run /],
    ['cloud-hypervisor', /^cloud-hypervisor --kernel /],
    ['firecracker', /^cat > .*vmm\.json <<'EOF'\n\{[^]*\}\nEOF\nfirecracker --api-sock /],
  ])('for %s needs none of it here', async (vmm, expected) => {
    const printed = await cli('run', bundle, '--print-cmd', '--vmm', vmm);
    expect([printed.status, printed.stdout]).toEqual([0, expect.stringMatching(expected)]);
  });

  test.each([
    [['--vmm', 'crosvm', '--accel', 'tcg'], 'cannot emulate'],
    [['--vmm', 'firecracker'], 'cannot name its disks'],
    [['--vmm', 'cloud-hypervisor', '--machine', 'q35'], 'cannot choose its machine'],
  ])('run %j is refused by the name of what it cannot do', async (options, said) => {
    const run = await cli('run', bundle, ...options);
    expect([run.status, run.stderr]).toEqual([2, expect.stringContaining(said)]);
  });
});
