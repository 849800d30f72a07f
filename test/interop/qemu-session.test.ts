import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BuildEvent } from '../../src/core/events.ts';
import { chooseAccelerator, runProbe } from '../../src/runner/accel.ts';
import { processStart } from '../../src/runner/process-identity.ts';
import { findVm, listVms } from '../../src/runner/registry.ts';
import { startVm } from '../../src/runner/session.ts';
import { describeFailure, verdictExitCode } from '../../src/runner/verdict.ts';
import { bootTiny, openGuestRpc, prepareTiny } from '../support/tiny-vm.ts';
import { tmpDir } from '../support/tmp-dir.ts';

const phases = (events: readonly BuildEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'vm-phase' ? [event.phase] : []));

test('a guest that refuses gives its reason, its link and exit code 126', async () => {
  const { vm, registry, events } = await bootTiny({
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
  const { vm } = await bootTiny(
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
  const { vm } = await bootTiny({
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
  const { vm } = await bootTiny({ console: 'microbuild: phase manager +7\nlast words', end });
  const verdict = await vm.verdict;
  expect(verdict).toMatchObject({ kind: 'died', reason, phase: 'manager' });
  expect(verdictExitCode(verdict)).toBe(125);
  expect(describeFailure(verdict)).toContain('last words');
});

describe('a guest that hangs', () => {
  test('is ended by the total time limit with exit code 124', async () => {
    const { vm } = await bootTiny({ end: 'hang' }, { timeouts: { totalMilliseconds: 300 } });
    expect(verdictExitCode(await vm.verdict)).toBe(124);
    expect(await vm.reached('started')).toBe(false);
  });

  test('is ended when it does not start its payload in time', async () => {
    const { vm } = await bootTiny({ end: 'hang' }, { timeouts: { startMilliseconds: 300 } });
    expect(await vm.verdict).toMatchObject({
      kind: 'died',
      reason: expect.stringContaining('in time'),
    });
  });

  test('is ended by the signal, and its name is free again', async () => {
    const abort = new AbortController();
    const { vm, registry } = await bootTiny({ end: 'hang' }, { signal: abort.signal });
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
    const { registry, options } = prepareTiny({ end: 'hang' });
    const vm = await startVm(options, { registry });
    await expect(startVm(options, { registry })).rejects.toMatchObject({ code: 'lock' });
    expect(processStart(vm.pid)).toBeDefined();
    await vm.stop();
    await (await startVm(options, { registry })).stop();
  });

  test('gives up connecting to its ports when it is stopped', async () => {
    const { vm } = await bootTiny({ end: 'hang' });
    const connecting = vm.connect(5678).catch((error: unknown) => error);
    const signal = AbortSignal.timeout(100);
    await expect(vm.connect(5678, { signal })).rejects.toMatchObject({ code: 'rpc-aborted' });
    await vm.stop();
    expect(await connecting).toMatchObject({ code: 'rpc-connect' });
  });
});

test('what the guest reports over RPC becomes phases, and its exit code the verdict', async () => {
  const { vm, events } = await bootTiny(
    { end: 'hang' },
    { timeouts: { powerOffMilliseconds: 100 } },
  );
  const guest = await openGuestRpc(vm);
  await guest.notify('notifyPayloadStarted');
  expect(await vm.reached('started')).toBe(true);
  await guest.notify('notifyPayloadReady');
  expect(await vm.reached('ready')).toBe(true);
  await guest.notify('notifyPayloadFinished', 7);
  const verdict = await vm.verdict;
  expect(verdict).toEqual({ kind: 'finished', exitCode: 7, death: 'KILLED' });
  expect(verdictExitCode(verdict)).toBe(7);
  expect(phases(events)).toEqual(['starting', 'started', 'ready', 'finished', 'dead']);
  expect(await guest.closed).toMatchObject({ code: 'rpc-closed' });
});

test('an error reported over RPC is a refusal when it is about verification', async () => {
  const { vm } = await bootTiny({ end: 'hang' }, { timeouts: { powerOffMilliseconds: 100 } });
  const guest = await openGuestRpc(vm);
  await guest.notify('notifyError', 1, 'wrong\u001b[31m signer');
  expect(await vm.verdict).toMatchObject({
    kind: 'refused',
    reason: 'MICRODROID_PAYLOAD_VERIFICATION_FAILED',
    message: 'wrong\ufffd[31m signer',
  });
});

test('a kernel that QEMU cannot start is a failure in its words', async () => {
  const { registry, options, kernel } = prepareTiny({ end: 'hang' });
  writeFileSync(kernel, 'no kernel');
  const vm = await startVm(options, { registry });
  const verdict = await vm.verdict;
  expect(verdict).toMatchObject({ kind: 'died', reason: expect.stringContaining('QEMU failed') });
  expect(verdictExitCode(verdict)).toBe(125);
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
