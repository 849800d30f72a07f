/** What a run is asked for, and what the monitor is told then. Pure. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Accelerator, Machine, VmmDisk, VmmSpec } from './vmm/vmm.ts';

/** AVF gives guests the CIDs from 2048; those below are special or taken by others. */
const FIRST_CID = 2048;
const LAST_CID = 65535;

export interface VmOptions {
  readonly name: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly disks: readonly VmmDisk[];
  readonly memoryMib: number;
  readonly cpus: number;
  /** Default `auto`: KVM where a probe machine ran, else emulation. */
  readonly accelerator?: 'auto' | Accelerator;
  readonly machine?: Machine | undefined;
  readonly tscKhz?: number | undefined;
  readonly kernelArguments?: readonly string[] | undefined;
  readonly extraArguments?: readonly string[] | undefined;
}

/** The same directory always gets the same CID. Each backend has one guest, so none can clash. */
export function chooseCid(runDir: string): number {
  const hash = createHash('sha256').update(runDir).digest().readUInt32BE(0);
  return FIRST_CID + (hash % (LAST_CID - FIRST_CID + 1));
}

/** What QEMU is told for a run in `runDir`; pure, for `--print-cmd` too. */
export function vmmSpec(
  options: VmOptions,
  runDir: string,
  accelerator: Accelerator,
  sandbox: boolean,
): VmmSpec {
  return {
    ...options,
    accelerator,
    sandbox,
    rng: true,
    startPaused: true,
    vsockSocket: join(runDir, 'vhost.sock'),
    controlSocket: join(runDir, 'qmp.sock'),
    consoleFile: join(runDir, 'console.log'),
    reasonFile: join(runDir, 'reason.log'),
  };
}
