/** A machine of a few instructions with all that a run needs, and the guest's end of its RPC. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BuildEvent } from '../../src/core/events.ts';
import { callMethod } from '../../src/runner/aidl/call.ts';
import { parseAidl } from '../../src/runner/aidl/parse.ts';
import { openRpcClient } from '../../src/runner/rpc/client.ts';
import { type Vm, type VmContext, startVm } from '../../src/runner/session.ts';
import type { VmOptions } from '../../src/runner/vm-options.ts';
import { type TinyGuest, writeTinyGuest } from './tiny-guest.ts';
import { tmpDir } from './tmp-dir.ts';

const SERVICE = parseAidl(`package android.system.virtualmachineservice;
  interface IVirtualMachineService {
    void notifyPayloadStarted(); void notifyPayloadReady();
    void notifyPayloadFinished(int exitCode); void notifyError(int errorCode, String message); }`);

export interface PreparedTiny {
  readonly registry: string;
  readonly kernel: string;
  readonly options: VmOptions;
}

/** @param registry Default one of its own. */
export function prepareTiny(
  guest: TinyGuest,
  name = 'tiny',
  registry = join(tmpDir(), 'r'),
): PreparedTiny {
  const folder = tmpDir();
  mkdirSync(registry, { mode: 0o700, recursive: true });
  const kernel = join(folder, 'kernel');
  const initrd = join(folder, 'initrd');
  const disk = join(folder, 'disk,1');
  writeTinyGuest(kernel, guest);
  writeFileSync(initrd, 'initrd');
  writeFileSync(disk, new Uint8Array(65536));
  const disks = [{ file: disk, serial: 'os' }];
  const machine = { memoryMib: 64, cpus: 1, accelerator: 'tcg' } as const;
  return { registry, kernel, options: { name, kernel, initrd, disks, ...machine } };
}

export interface TinyBench {
  readonly vm: Vm;
  readonly registry: string;
  readonly events: BuildEvent[];
}

export async function bootTiny(
  guest: TinyGuest,
  context: VmContext = {},
  extra: Partial<VmOptions> = {},
): Promise<TinyBench> {
  const { registry, options } = prepareTiny(guest);
  const events: BuildEvent[] = [];
  const reporter = { report: (event: BuildEvent) => void events.push(event) };
  const vm = await startVm({ ...options, ...extra }, { registry, reporter, ...context });
  onTestFinished(async () => {
    await vm.stop();
  });
  return { vm, registry, events };
}

/** Says something as the guest would, over a connection of its own. */
export async function openGuestRpc(vm: Pick<Vm, 'runDir' | 'cid'>): Promise<{
  readonly closed: Promise<unknown>;
  notify(name: string, ...args: unknown[]): Promise<unknown>;
}> {
  const client = await openRpcClient(connect(join(vm.runDir, `vm.vsock_${vm.cid}`)));
  return {
    closed: client.closed,
    notify: async (name, ...args) => callMethod(client.root, SERVICE, name, args),
  };
}
