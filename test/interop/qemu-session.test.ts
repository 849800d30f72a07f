import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { BuildEvent } from '../../src/core/events.ts';
import { chooseAccelerator, runProbe } from '../../src/runner/accel.ts';
import { callMethod } from '../../src/runner/aidl/call.ts';
import { parseAidl } from '../../src/runner/aidl/parse.ts';
import { processStart } from '../../src/runner/process-identity.ts';
import { findVm, listVms } from '../../src/runner/registry.ts';
import { openRpcClient } from '../../src/runner/rpc/client.ts';
import { type Vm, type VmContext, startVm } from '../../src/runner/session.ts';
import type { VmOptions } from '../../src/runner/vm-options.ts';
import { describeFailure, verdictExitCode } from '../../src/runner/verdict.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { type TinyGuest, writeTinyGuest } from './qemu-tiny-guest.ts';

const SERVICE = parseAidl(`package android.system.virtualmachineservice;
  interface IVirtualMachineService {
    void notifyPayloadStarted(); void notifyPayloadReady();
    void notifyPayloadFinished(int exitCode); void notifyError(int errorCode, String message); }`);

interface Bench {
  readonly vm: Vm;
  readonly registry: string;
  readonly events: BuildEvent[];
}

function prepare(guest: TinyGuest): { registry: string; options: VmOptions; kernel: string } {
  const folder = tmpDir();
  const registry = join(folder, 'r');
  mkdirSync(registry, { mode: 0o700 });
  const [kernel, initrd, disk] = ['kernel', 'initrd', 'disk,1'].map((name) => join(folder, name));
  if (kernel === undefined || initrd === undefined || disk === undefined) throw new TypeError();
  writeTinyGuest(kernel, guest);
  writeFileSync(initrd, 'initrd');
  writeFileSync(disk, new Uint8Array(65536));
  const disks = [{ file: disk, serial: 'os' }];
  const machine = { memoryMib: 64, cpus: 1, accelerator: 'tcg' } as const;
  return { registry, kernel, options: { name: 'tiny', kernel, initrd, disks, ...machine } };
}

async function boot(
  guest: TinyGuest,
  context: VmContext = {},
  extra: Partial<VmOptions> = {},
): Promise<Bench> {
  const { registry, options } = prepare(guest);
  const events: BuildEvent[] = [];
  const reporter = { report: (event: BuildEvent) => void events.push(event) };
  const vm = await startVm({ ...options, ...extra }, { registry, reporter, ...context });
  onTestFinished(async () => {
    await vm.stop();
  });
  return { vm, registry, events };
}

const phases = (events: readonly BuildEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'vm-phase' ? [event.phase] : []));

test('a guest that refuses gives its reason, its link and exit code 126', async () => {
  const { vm, registry, events } = await boot({
    console:
      'microbuild: phase init +5\nmicrobuild: phase apk +9\n' +
      'microbuild: refused MICRODROID_PAYLOAD_VERIFICATION_FAILED payload-certificate: no trust\n',
    reason: 'MICRODROID_PAYLOAD_VERIFICATION_FAILED|no trust',
    end: 'poweroff',
  });
  const verdict = await vm.verdict;
  expect(verdict).toMatchObject({
    kind: 'refused',
    reason: 'MICRODROID_PAYLOAD_VERIFICATION_FAILED',
    link: 'payload-certificate',
    message: 'no trust',
  });
  expect(verdictExitCode(verdict)).toBe(126);
  expect(describeFailure(verdict)).toContain('broken link: payload-certificate');
  expect(phases(events)).toEqual(['starting', 'dead']);
  expect(processStart(vm.pid)).toBeUndefined();
  expect(readdirSync(vm.runDir).toSorted()).toEqual([
    'console.log',
    'log',
    'reason.log',
    'vm.json',
    'vmm.log',
    'vsock.log',
  ]);
  expect(await findVm('tiny', registry)).toMatchObject({ state: 'DEAD', running: false });
});

test('both serial ports of a microvm reach their files', async () => {
  const { vm } = await boot(
    {
      console: 'microbuild: phase init +1\n',
      reason: 'MICRODROID_UNKNOWN_RUNTIME_ERROR|why',
      end: 'hang',
    },
    {},
    { machine: 'microvm', tscKhz: 1_000_000 },
  );
  await expect
    .poll(() => readFileSync(join(vm.runDir, 'reason.log'), 'utf8'), { timeout: 10_000 })
    .toBe('MICRODROID_UNKNOWN_RUNTIME_ERROR|why');
  expect(readFileSync(vm.consoleFile, 'utf8')).toContain('phase init');
  expect(await vm.stop()).toMatchObject({ kind: 'died', reason: 'it was stopped', phase: 'init' });
});

test('a corrupt block is a refusal of the link that it belongs to', async () => {
  const { vm } = await boot({
    console:
      'microbuild: verity 254:18 microdroid-apk\n[    1.5] device-mapper: verity: 254:18: data block 12 is corrupted\n' +
      '[    1.6] Kernel panic - not syncing: dm-verity device corrupted\n[    1.7] Call Trace:\n',
    end: 'reset',
  });
  const verdict = await vm.verdict;
  expect(verdict).toMatchObject({ kind: 'refused', link: 'idsig' });
  expect(verdictExitCode(verdict)).toBe(126);
  expect(describeFailure(verdict)).not.toContain('Call Trace');
});

test.each([
  ['poweroff', 'the guest powered off without a result'],
  ['reset', 'the guest reset itself without a reason'],
] as const)('a guest that ends by %s died, with its phase and last lines', async (end, reason) => {
  const { vm } = await boot({ console: 'microbuild: phase manager +7\nlast words', end });
  const verdict = await vm.verdict;
  expect(verdict).toMatchObject({ kind: 'died', reason, phase: 'manager' });
  expect(verdictExitCode(verdict)).toBe(125);
  expect(describeFailure(verdict)).toContain('last words');
});

describe('a guest that hangs', () => {
  test('is ended by the total time limit with exit code 124', async () => {
    const { vm } = await boot({ end: 'hang' }, { timeouts: { totalMilliseconds: 300 } });
    expect(verdictExitCode(await vm.verdict)).toBe(124);
    expect(await vm.reached('started')).toBe(false);
  });

  test('is ended when it does not start its payload in time', async () => {
    const { vm } = await boot({ end: 'hang' }, { timeouts: { startMilliseconds: 300 } });
    expect(await vm.verdict).toMatchObject({
      kind: 'died',
      reason: expect.stringContaining('in time'),
    });
  });

  test('is ended by the signal, and its name is free again', async () => {
    const abort = new AbortController();
    const { vm, registry } = await boot({ end: 'hang' }, { signal: abort.signal });
    expect(await findVm('tiny', registry)).toMatchObject({
      pid: vm.pid,
      cid: vm.cid,
      running: true,
    });
    expect((await listVms(registry)).map(({ name }) => name)).toEqual(['tiny']);
    expect(statSync(vm.runDir).mode & 0o777).toBe(0o700);
    abort.abort();
    expect(await vm.verdict).toMatchObject({ kind: 'died', reason: 'the run was interrupted' });
    expect(readdirSync(vm.runDir)).not.toContain('lock');
  });

  test('keeps its name to itself', async () => {
    const { registry, options } = prepare({ end: 'hang' });
    const vm = await startVm(options, { registry });
    await expect(startVm(options, { registry })).rejects.toMatchObject({ code: 'lock' });
    expect(processStart(vm.pid)).toBeDefined();
    await vm.stop();
    await (await startVm(options, { registry })).stop();
  });

  test('gives up connecting to its ports when it is stopped', async () => {
    const { vm } = await boot({ end: 'hang' });
    const connecting = vm.connect(5678).catch((error: unknown) => error);
    const signal = AbortSignal.timeout(100);
    await expect(vm.connect(5678, { signal })).rejects.toMatchObject({ code: 'rpc-aborted' });
    await vm.stop();
    expect(await connecting).toMatchObject({ code: 'rpc-connect' });
  });
});

test('what the guest reports over RPC becomes phases, and its exit code the verdict', async () => {
  const { vm, events } = await boot({ end: 'hang' }, { timeouts: { powerOffMilliseconds: 100 } });
  const guest = await openRpcClient(connect(join(vm.runDir, `vm.vsock_${vm.cid}`)));
  const notify = async (name: string, ...args: unknown[]): Promise<unknown> =>
    callMethod(guest.root, SERVICE, name, args);
  await notify('notifyPayloadStarted');
  expect(await vm.reached('started')).toBe(true);
  await notify('notifyPayloadReady');
  expect(await vm.reached('ready')).toBe(true);
  await notify('notifyPayloadFinished', 7);
  const verdict = await vm.verdict;
  expect(verdict).toEqual({ kind: 'finished', exitCode: 7, death: 'KILLED' });
  expect(verdictExitCode(verdict)).toBe(7);
  expect(phases(events)).toEqual(['starting', 'started', 'ready', 'finished', 'dead']);
  expect(await guest.closed).toMatchObject({ code: 'rpc-closed' });
});

test('an error reported over RPC is a refusal when it is about verification', async () => {
  const { vm } = await boot({ end: 'hang' }, { timeouts: { powerOffMilliseconds: 100 } });
  const guest = await openRpcClient(connect(join(vm.runDir, `vm.vsock_${vm.cid}`)));
  await callMethod(guest.root, SERVICE, 'notifyError', [1, 'wrong\u001b[31m signer']);
  expect(await vm.verdict).toMatchObject({
    kind: 'refused',
    reason: 'MICRODROID_PAYLOAD_VERIFICATION_FAILED',
    message: 'wrong\ufffd[31m signer',
  });
});

test('a kernel that QEMU cannot start is a failure in its words', async () => {
  const { registry, options, kernel } = prepare({ end: 'hang' });
  writeFileSync(kernel, 'no kernel');
  const vm = await startVm(options, { registry });
  const verdict = await vm.verdict;
  expect(verdict).toMatchObject({ kind: 'died', reason: expect.stringContaining('QEMU failed') });
  expect(verdictExitCode(verdict)).toBe(125);
});

test('nothing survives a runner that is killed, and the name can be taken over', async () => {
  const { registry, options } = prepare({ end: 'hang' });
  const script = join(registry, '..', 'run.mjs');
  const session = resolve('dist/runner/session.js');
  writeFileSync(
    script,
    `import { startVm } from ${JSON.stringify(session)};
     const vm = await startVm(${JSON.stringify(options)}, { registry: ${JSON.stringify(registry)} });
     console.log(vm.pid);
     await vm.verdict;`,
  );
  const runner = spawn(process.execPath, [script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((done) => {
    runner.stdout.once('data', (text: Buffer) => done(Number(text.toString())));
  });
  const children = readFileSync(`/proc/${runner.pid}/task/${runner.pid}/children`, 'utf8');
  const pids = children.trim().split(' ').map(Number);
  expect(pids).toContain(pid);
  expect(pids).toHaveLength(2);
  runner.kill('SIGKILL');
  await expect.poll(() => pids.filter((each) => processStart(each) !== undefined)).toEqual([]);
  expect(await findVm('tiny', registry)).toMatchObject({ running: false });
  await (await startVm(options, { registry })).stop();
});

describe('the accelerator', () => {
  test('a probe machine runs its firmware', async () => {
    expect(await runProbe('qemu-system-x86_64', 'tcg', 'qemu64')).toBeUndefined();
  });

  test('KVM is used only where a machine ran under it; else the reason is given', async () => {
    const choice = await chooseAccelerator('auto');
    if (choice.accelerator === 'tcg') expect(choice.reason).toMatch(/kvm|probe machine/);
    expect(await chooseAccelerator('tcg')).toEqual({ accelerator: 'tcg' });
  });

  test.each([
    ['/dev/absent', 'does not exist'],
    ['/proc/version', 'cannot be opened|failed'],
  ])('%s is no KVM', async (device, reason) => {
    expect(await chooseAccelerator('auto', { device })).toMatchObject({
      accelerator: 'tcg',
      reason: expect.stringMatching(reason),
    });
    await expect(chooseAccelerator('kvm', { device })).rejects.toMatchObject({ missing: 'kvm' });
  });

  test('a program that is no QEMU is no KVM either, within the limit', async () => {
    const folder = tmpDir();
    const slow = join(folder, 'slow');
    writeFileSync(slow, '#!/bin/sh\nexec sleep 30\n', { mode: 0o755 });
    const began = Date.now();
    expect(await runProbe(slow, 'kvm', 'host')).toMatch(/did not run within/);
    expect(Date.now() - began).toBeLessThan(5000);
    expect(await runProbe('/absent/qemu', 'kvm', 'host')).toMatch(/not installed/);
  });
});
