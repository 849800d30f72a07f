/** Monitors without QMP and inherited channels, by a stand-in that takes their arguments: no KVM is needed. */

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { claimVm } from '../../src/runner/registry.ts';
import { Run } from '../../src/runner/run.ts';
import type { Vm, VmContext } from '../../src/runner/session.ts';
import { planMonitor } from '../../src/runner/vm-options.ts';
import { vmmNamed } from '../../src/runner/vmm/named.ts';
import type { VmmName } from '../../src/runner/vmm/vmm.ts';
import { findVsockBackend } from '../../src/runner/vsock.ts';
import { filesLeft, processesNaming } from '../support/leftovers.ts';
import { prepareTiny } from '../support/tiny-vm.ts';

const MONITORS = ['crosvm', 'cloud-hypervisor', 'firecracker'] as const;

interface Script {
  readonly console?: string;
  readonly reason?: string;
  readonly ready?: boolean;
  readonly finish?: number;
  readonly hang?: boolean;
  readonly exit?: number;
}

async function run(
  name: VmmName,
  script: Script,
  context: VmContext = {},
): Promise<{ vm: Vm; registry: string }> {
  const { options, kernel, registry } = prepareTiny({ end: 'hang' });
  writeFileSync(kernel, JSON.stringify(script));
  const disk = join(registry, '..', 'disk');
  writeFileSync(disk, new Uint8Array(4096));
  const program = join(registry, '..', 'monitor');
  writeFileSync(
    program,
    `#!/bin/sh\nexec ${process.execPath} ${resolve('test/fixtures/stand-in-monitor.mjs')} "$@"\n`,
  );
  chmodSync(program, 0o755);
  const vmm = vmmNamed(name);
  const backend = vmm.vsock === 'vhost-user' ? findVsockBackend() : undefined;
  const prepared = { vmm, program, backend, accelerator: 'kvm', sandbox: false } as const;
  const claim = await claimVm(options.name, registry);
  const given = { ...options, disks: [{ file: disk, serial: 'os' }], vmm: name };
  const plan = planMonitor(given, vmm, { ...prepared, runDir: claim.runDir }, 'descriptors');
  const vm = await new Run(given, prepared, plan, claim, { registry, ...context }).start();
  onTestFinished(async () => {
    await vm.stop();
  });
  return { vm, registry };
}

describe.each(MONITORS)('%s', (name) => {
  test('runs a payload to its exit code; console and record are kept, nothing else', async () => {
    const { vm, registry } = await run(name, {
      console: 'microbuild: phase payload +7\n',
      finish: 7,
    });
    expect(await vm.reached('ready')).toBe(true);
    expect(await vm.verdict).toEqual({ kind: 'finished', exitCode: 7, death: 'SHUTDOWN' });
    const console = name === 'firecracker' ? join(vm.runDir, 'vmm.log') : vm.consoleFile;
    expect(readFileSync(console, 'utf8')).toBe('microbuild: phase payload +7\n');
    expect(filesLeft(registry)).toEqual([]);
    expect(processesNaming(registry)).toEqual([]);
  });

  test('is read from its console and its exit code when the guest says nothing over RPC', async () => {
    const refused = 'microbuild: refused MICRODROID_PAYLOAD_VERIFICATION_FAILED idsig: root\n';
    const { vm } = await run(name, { console: refused });
    expect(await vm.verdict).toMatchObject({
      kind: 'refused',
      link: 'idsig',
      death: 'MICRODROID_PAYLOAD_VERIFICATION_FAILED',
    });
    const { vm: failing } = await run(name, { exit: 1 });
    expect(await failing.verdict).toMatchObject({
      kind: 'died',
      death: 'START_FAILED',
      reason: `${name} failed (exit code 1)`,
    });
  });

  test('is stopped, and ended when it hangs', async () => {
    const { vm, registry } = await run(name, { ready: true, hang: true });
    expect(await vm.reached('ready')).toBe(true);
    expect(await vm.stop()).toMatchObject({ kind: 'died', death: 'KILLED' });
    expect(processesNaming(registry)).toEqual([]);
    const { vm: hanging } = await run(
      name,
      { hang: true },
      { timeouts: { startMilliseconds: 500 } },
    );
    expect(await hanging.verdict).toMatchObject({ death: 'HANGUP' });
    expect(filesLeft(registry)).toEqual([]);
  });
});

test.each([
  [32, 'REBOOT'],
  [33, 'CRASH'],
  [36, 'WATCHDOG_REBOOT'],
])('crosvm’s exit code %d is %s', async (exit, death) => {
  const { vm } = await run('crosvm', { exit });
  expect(await vm.verdict).toMatchObject({ kind: 'died', death });
});

test('crosvm’s second serial port gives the reason', async () => {
  const { vm } = await run('crosvm', { reason: 'MICRODROID_INVALID_PAYLOAD_CONFIG|no library' });
  expect(await vm.verdict).toMatchObject({
    kind: 'refused',
    message: 'no library',
    death: 'MICRODROID_INVALID_PAYLOAD_CONFIG',
  });
});

test('a guest that panics is ended where the monitor would boot it again and again', async () => {
  const panic = 'Kernel panic - not syncing: dm-verity device corrupted\n';
  const { vm } = await run('cloud-hypervisor', { console: panic, hang: true });
  expect(await vm.verdict).toMatchObject({
    kind: 'died',
    death: 'CRASH',
    reason: expect.stringContaining('panic'),
  });
});
