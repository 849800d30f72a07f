import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { VmCallbacks } from '../../src/runner/life-cycle.ts';
import { findVm } from '../../src/runner/registry.ts';
import { LOG_BYTES } from '../../src/runner/rotating-log.ts';
import { startVm, type Vm } from '../../src/runner/session.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { filesLeft, processesNaming } from '../support/leftovers.ts';
import type { TinyGuest } from '../support/tiny-guest.ts';
import { bootTiny, openGuestRpc, prepareTiny } from '../support/tiny-vm.ts';

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

/** A machine of this process among those that the command line sees. */
async function start(name: string, guest: TinyGuest, debuggable = false): Promise<Vm> {
  const { options, registry } = prepareTiny(guest, name, sandbox.runFolder);
  const vm = await startVm({ ...options, debuggable, bundle: '/b/tiny' }, { registry });
  onTestFinished(async () => {
    await vm.stop();
  });
  return vm;
}

/** What the guest's manager does with the payload's output. */
async function writeLog(vm: Vm, text: string | Uint8Array): Promise<void> {
  const socket = connect(join(vm.runDir, 'vm.vsock_2001'));
  await new Promise((done) => socket.end(text, () => done(undefined)));
  await new Promise((done) => socket.once('close', done).resume());
}

function recorder(): { said: string[]; callbacks: VmCallbacks } {
  const said: string[] = [];
  return {
    said,
    callbacks: {
      onPayloadStarted: () => void said.push('started'),
      onPayloadReady: () => void said.push('ready'),
      onPayloadFinished: (exitCode) => void said.push(`finished ${exitCode}`),
      onError: (code, message) => void said.push(`error ${code} ${message}`),
      onDied: (reason) => void said.push(`died ${reason}`),
    },
  };
}

describe('the life of a machine', () => {
  test('goes through Android’s states, each callback is called once and in order', async () => {
    const { said, callbacks } = recorder();
    const { vm, registry } = await bootTiny(
      { end: 'hang' },
      { callbacks, timeouts: { powerOffMilliseconds: 50 } },
    );
    const guest = await openGuestRpc(vm);
    const states = [vm.state];
    for (const call of ['notifyPayloadStarted', 'notifyPayloadReady', 'notifyPayloadStarted']) {
      await guest.notify(call);
      states.push(vm.state);
    }
    await expect
      .poll(() => findVm('tiny', registry))
      .toMatchObject({ state: 'READY', runnerPid: process.pid });
    await guest.notify('notifyPayloadFinished', 300);
    states.push(vm.state);
    await guest.notify('notifyPayloadFinished', 1).catch(() => undefined);
    expect(await vm.verdict).toEqual({ kind: 'finished', exitCode: 300, death: 'KILLED' });
    states.push(vm.state);
    expect(states).toEqual(['STARTING', 'STARTED', 'READY', 'READY', 'FINISHED', 'DEAD']);
    expect(said).toEqual(['started', 'ready', 'finished 300', 'died KILLED']);
    const record = await findVm('tiny', registry);
    expect(record).toMatchObject({ state: 'DEAD', exitCode: 300, death: 'KILLED' });
  });

  test.each([
    [{ end: 'poweroff' }, 'SHUTDOWN'],
    [{ end: 'reset' }, 'REBOOT'],
    [{ end: 'reset', console: 'Kernel panic - not syncing: x\n' }, 'CRASH'],
    [
      { end: 'poweroff', reason: 'MICRODROID_PAYLOAD_HAS_CHANGED|x' },
      'MICRODROID_PAYLOAD_HAS_CHANGED',
    ],
    [{ end: 'poweroff', reason: 'SOMETHING_ELSE|x' }, 'SHUTDOWN'],
  ] as const)('a guest that does %j dies of %s', async (guest, death) => {
    const { said, callbacks } = recorder();
    const { vm } = await bootTiny(guest, { callbacks });
    expect((await vm.verdict).death).toBe(death);
    expect(said).toEqual([`died ${death}`]);
  });

  test('a guest that does not start its payload in time hangs; one that did has all the time', async () => {
    // Long enough for a busy machine to say what must come before.
    const timeouts = { startMilliseconds: 2000 };
    const { vm } = await bootTiny({ end: 'hang' }, { timeouts });
    const { vm: other } = await bootTiny({ end: 'hang' }, { timeouts });
    await (await openGuestRpc(other)).notify('notifyPayloadStarted');
    expect(await vm.verdict).toMatchObject({ kind: 'died', death: 'HANGUP' });
    await sleep(2000);
    expect(other.state).toBe('STARTED');
  });

  test('an error reaches its callback without control characters', async () => {
    const { said, callbacks } = recorder();
    const { vm } = await bootTiny(
      { end: 'hang' },
      { callbacks, timeouts: { powerOffMilliseconds: 50 } },
    );
    await (await openGuestRpc(vm)).notify('notifyError', 2, 'was\u0007 other');
    expect(await vm.verdict).toMatchObject({
      kind: 'refused',
      death: 'MICRODROID_PAYLOAD_HAS_CHANGED',
    });
    expect(said).toEqual(['error 2 was\ufffd other', 'died MICRODROID_PAYLOAD_HAS_CHANGED']);
  });

  test('eight machines at once do not meet', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `one-of-8-${i}`);
    const vms = await Promise.all(
      names.map((name) => start(name, { end: 'hang', console: `this is ${name}\n` })),
    );
    expect(new Set(vms.map(({ cid }) => cid)).size).toBe(8);
    await Promise.all(
      vms.map(async (vm, i) => {
        const guest = await openGuestRpc(vm);
        await guest.notify('notifyPayloadStarted');
        if (i % 2 === 0) await guest.notify('notifyPayloadReady');
      }),
    );
    const { stdout } = await sandbox.microbuild(['ps', '--json']);
    const listed = (JSON.parse(stdout) as { vms: { name: string; state: string }[] }).vms;
    expect(listed.map(({ name, state }) => `${name} ${state}`)).toEqual(
      names.map((name, i) => `${name} ${i % 2 === 0 ? 'READY' : 'STARTED'}`),
    );
    for (const vm of vms) {
      await expect
        .poll(() => readFileSync(vm.consoleFile, 'utf8'))
        .toContain(`this is ${vm.name}\n`);
    }
    await Promise.all(vms.map((vm) => vm.stop()));
    expect(filesLeft(sandbox.runFolder)).toEqual([]);
    expect(processesNaming(sandbox.runFolder)).toEqual([]);
  });
});

describe('a machine’s logs', () => {
  test('hold what the payload prints, and are printed by logs', async () => {
    const vm = await start('talks', { end: 'hang', console: 'from the kernel\n' });
    await writeLog(vm, 'one\ntwo\n');
    expect((await sandbox.microbuild(['logs', 'talks'])).stdout).toBe('one\ntwo\n');
    expect((await sandbox.microbuild(['logs', 'talks', '--console'])).stdout).toContain(
      'from the kernel',
    );
    const following = sandbox.microbuild(['logs', 'talks', '-f']);
    await sleep(400);
    await writeLog(vm, 'three\n');
    await vm.stop();
    const { stdout, status } = await following;
    expect([stdout, status]).toEqual(['one\ntwo\nthree\n', 0]);
    expect((await sandbox.microbuild(['logs', 'talks'])).stdout).toBe('one\ntwo\nthree\n');
  });

  test('are bounded however much comes, and keep the end', async () => {
    const vm = await start('floods', { end: 'hang' });
    const line = Buffer.from(`${'x'.repeat(1023)}\n`);
    const flood = Buffer.alloc(3 * LOG_BYTES, line);
    await writeLog(vm, flood);
    await writeLog(vm, 'the end\n');
    await vm.stop();
    const sizes = readdirSync(vm.runDir)
      .filter((name) => name.startsWith('log'))
      .map((name) => statSync(join(vm.runDir, name)).size);
    expect(sizes.length).toBe(2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LOG_BYTES);
    const { stdout } = await sandbox.microbuild(['logs', 'floods']);
    expect(stdout.length).toBeLessThanOrEqual(2 * LOG_BYTES);
    expect(stdout.slice(-10)).toBe('x\nthe end\n');
  });

  test('take one connection at a time', async () => {
    const vm = await start('guarded', { end: 'hang' });
    const open = (): ReturnType<typeof connect> =>
      connect(join(vm.runDir, 'vm.vsock_2001')).on('error', () => undefined);
    const first = open();
    first.write('first\n');
    await expect.poll(() => readFileSync(vm.logFile, 'utf8')).toBe('first\n');
    const second = open();
    second.write('second\n');
    await sleep(100);
    const third = open();
    await new Promise((closed) => third.once('close', closed).resume());
    first.end('more\n');
    await expect.poll(() => readFileSync(vm.logFile, 'utf8')).toBe('first\nmore\nsecond\n');
    second.destroy();
  });
});

describe('stop', () => {
  test('asks the runner, which ends the machine in order', async () => {
    const vm = await start('stopped', { end: 'hang' });
    const { stdout, status } = await sandbox.microbuild(['stop', 'stopped']);
    expect([stdout, status]).toEqual(['stopped has stopped\n', 0]);
    expect(await vm.verdict).toMatchObject({
      kind: 'died',
      death: 'KILLED',
      reason: 'it was stopped',
    });
    const again = await sandbox.microbuild(['stop', 'stopped']);
    expect([again.stdout, again.status]).toEqual(['stopped is not running\n', 0]);
  });

  test('uses force on a machine whose runner does not answer', async () => {
    const { options, registry } = prepareTiny({ end: 'hang' }, 'stuck', sandbox.runFolder);
    const runner = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import { startVm } from ${JSON.stringify(join(process.cwd(), 'dist/runner/session.js'))};
         const vm = await startVm(${JSON.stringify(options)}, { registry: ${JSON.stringify(registry)} });
         console.log(vm.pid);
         await vm.verdict;`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise((started) => runner.stdout.once('data', started));
    runner.kill('SIGSTOP');
    const { stdout, status } = await sandbox.microbuild(['stop', 'stuck', '--timeout', '0']);
    expect([stdout, status]).toEqual(['stuck was killed\n', 0]);
    expect(processesNaming(join(sandbox.runFolder, 'stuck'))).toEqual([]);
    expect(filesLeft(join(sandbox.runFolder, 'stuck'))).toEqual([]);
    expect(await findVm('stuck', sandbox.runFolder)).toMatchObject({
      state: 'DEAD',
      running: false,
    });
  }, 30_000);

  test('of a machine that never was is a mistake that names the others', async () => {
    await start('there', { end: 'hang' });
    const { stderr, status } = await sandbox.microbuild(['stop', 'absent']);
    expect(status).toBe(2);
    expect(stderr).toContain('there');
  });
});

describe('console', () => {
  test('shows what was and what comes, until the machine ends', async () => {
    const vm = await start('shown', { end: 'echo', console: 'hello\n' });
    const attached = spawn(process.execPath, ['bin/microbuild.js', 'console', 'shown'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, XDG_RUNTIME_DIR: join(sandbox.runFolder, '..') },
    });
    const closed = new Promise((done) => attached.once('close', done));
    let [stdout, stderr] = ['', ''];
    attached.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    attached.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await expect.poll(() => stdout, { timeout: 10_000 }).toContain('hello');
    await vm.stop();
    const status = await closed;
    expect(stderr).toMatch(/takes no input[^]*has ended/);
    expect(status).toBe(0);
  });

  test.each([
    [true, 'typed'],
    [false, ''],
  ])('of a guest that is debuggable (%s) takes what is typed', async (debuggable, echoed) => {
    const vm = await start(`typing-${debuggable}`, { end: 'echo' }, debuggable);
    const socket = connect(join(vm.runDir, 'control.sock'));
    socket.write('{"command":"console"}\ntyped');
    let seen = '';
    socket.on('data', (chunk) => (seen += chunk.toString()));
    const answer = `{"ok":true,"input":${debuggable}}\n`;
    await expect.poll(() => seen, { timeout: 5000 }).toBe(answer + echoed);
    await sleep(100);
    expect(seen).toBe(answer + echoed);
    socket.destroy();
  });

  test.each([
    ['nothing', ''],
    ['another command', '{"command":"explode"}\n'],
    ['junk', 'junk\n'],
    ['a line without end', 'x'.repeat(10_000)],
    ['a list', '[]\n'],
  ])('the control socket refuses %s, and the machine runs on', async (_what, line) => {
    const vm = await start('refusing', { end: 'hang' });
    const socket = connect(join(vm.runDir, 'control.sock'));
    let seen = '';
    socket.on('data', (chunk) => (seen += chunk.toString())).on('error', () => undefined);
    socket.end(line);
    await new Promise((closed) => socket.once('close', closed));
    expect(seen).toMatch(/^(|\{"ok":false,.*\}\n)$/);
    expect(vm.state).toBe('STARTING');
  });
});

test('ps shows each machine in one line, and with --all how the others ended', async () => {
  const vm = await start('listed', { end: 'hang' });
  const { stdout } = await sandbox.microbuild(['ps']);
  expect(stdout).toMatch(/^NAME +STATE +PID +CID +UPTIME +MEMORY +RESIDENT +BUNDLE\n/);
  expect(stdout).toMatch(
    new RegExp(
      `^listed +STARTING +${vm.pid} +${vm.cid} +\\d+ s +64 MiB +[\\d.]+ MiB +/b/tiny$`,
      'm',
    ),
  );
  await vm.stop();
  expect((await sandbox.microbuild(['ps'])).stdout).not.toContain('listed');
  expect((await sandbox.microbuild(['ps', '-a'])).stdout).toMatch(/^listed +DEAD \(KILLED\) +- /m);
});

test('the names of machines complete the commands that want one', async () => {
  await start('completed', { end: 'hang' });
  for (const command of ['stop', 'logs', 'console', 'call']) {
    const words = ['__complete', 'words', '--', command, ''];
    expect((await sandbox.microbuild(words)).stdout.split('\n')).toContain('completed\t');
  }
});
