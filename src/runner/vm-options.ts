/** What a run is asked for, and what the monitor is told then. Pure. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { FIRST_DESCRIPTOR, type Inherited } from './child.ts';
import type { VmInstance } from './instance/instance.ts';
import type {
  Accelerator,
  Channel,
  GuestArch,
  Machine,
  Vmm,
  VmmDisk,
  VmmName,
  VmmSpec,
} from './vmm/vmm.ts';

/** AVF gives guests the CIDs from 2048; those below are special or taken by others. */
const FIRST_CID = 2048;
const LAST_CID = 65535;

/** A file by its name, or one that is open here: then it is that very file, whatever its name leads to. */
export type VmFile = string | { readonly descriptor: number };

export interface VmDisk extends Omit<VmmDisk, 'path'> {
  readonly file: VmFile;
}

/** A port of the guest that is served at a Unix socket of the host. */
export interface VmForward {
  readonly port: number;
  readonly path: string;
}

export interface VmOptions {
  readonly name: string;
  /** Default `qemu`. */
  readonly vmm?: VmmName | undefined;
  /** Default `x86_64`. */
  readonly arch?: GuestArch | undefined;
  readonly kernel: VmFile;
  readonly initrd: VmFile;
  readonly disks: readonly VmDisk[];
  readonly memoryMib: number;
  readonly cpus: number;
  /** Default `auto`: KVM where a probe machine ran, else emulation. */
  readonly accelerator?: 'auto' | Accelerator;
  readonly machine?: Machine | undefined;
  readonly tscKhz?: number | undefined;
  readonly kernelArguments?: readonly string[] | undefined;
  /** For the monitor, as they are. */
  readonly extraArguments?: readonly string[] | undefined;
  readonly forwards?: readonly VmForward[] | undefined;
  /** Whether the guest lets people look inside: then its console takes input. */
  readonly debuggable?: boolean | undefined;
  /**
   * Opens the identity whose secrets the guest gets, once the name is claimed; it is closed with the
   * machine. Default: one that nobody keeps.
   */
  readonly openInstance?: (() => Promise<VmInstance>) | undefined;
  /** Where it came from, for `ps`. */
  readonly bundle?: string | undefined;
}

/** The same directory always gets the same CID. Each backend has one guest, so none can clash. */
export function chooseCid(runDir: string): number {
  const hash = createHash('sha256').update(runDir).digest().readUInt32BE(0);
  return FIRST_CID + (hash % (LAST_CID - FIRST_CID + 1));
}

/** The names in a run directory. */
export const runFiles = (
  runDir: string,
): Readonly<Record<'console' | 'reason' | 'log' | 'vmmLog' | 'vsockLog', string>> => ({
  console: join(runDir, 'console.log'),
  reason: join(runDir, 'reason.log'),
  log: join(runDir, 'log'),
  vmmLog: join(runDir, 'vmm.log'),
  vsockLog: join(runDir, 'vsock.log'),
});

export interface MonitorPlan {
  readonly spec: VmmSpec;
  /** What the monitor inherits, in the order of its descriptors. */
  readonly inherit: readonly Inherited[];
}

/**
 * What a monitor is told for a run in `runDir`.
 *
 * @param how `descriptors` where the monitor inherits its channels: then nothing can come between it and
 *   the runner, and no socket stays behind. `paths` for other monitors, and to be printed.
 */
export function planMonitor(
  options: VmOptions,
  vmm: Pick<Vmm, 'limits' | 'qmp' | 'consoleIsOutput'>,
  where: { readonly runDir: string; readonly accelerator: Accelerator; readonly sandbox: boolean },
  how: 'descriptors' | 'paths',
): MonitorPlan {
  const { runDir, accelerator, sandbox } = where;
  const inherit: Inherited[] = [];
  const add = (each: Inherited): number => FIRST_DESCRIPTOR + inherit.push(each) - 1;
  const inherits = how === 'descriptors' && !vmm.limits.includes('inherited-channels');
  const channel = (path: string): Channel => (inherits ? { descriptor: add('socket') } : { path });
  const pathOf = (file: VmFile): string =>
    typeof file === 'string' ? file : `/proc/self/fd/${add(file.descriptor)}`;
  const files = runFiles(runDir);
  const {
    disks,
    kernel,
    initrd,
    forwards: _forwards,
    debuggable,
    bundle: _bundle,
    openInstance: _openInstance,
    ...machine
  } = options;
  const spec: VmmSpec = {
    ...machine,
    console: channel(vmm.consoleIsOutput ? files.vmmLog : files.console),
    reason: channel(files.reason),
    control: channel(join(runDir, vmm.qmp ? 'qmp.sock' : 'vmm.sock')),
    kernel: pathOf(kernel),
    initrd: pathOf(initrd),
    disks: disks.map(({ file, ...disk }) => ({ ...disk, path: pathOf(file) })),
    accelerator,
    sandbox,
    rng: true,
    startPaused: vmm.qmp && how === 'descriptors',
    consoleInput: debuggable === true && inherits,
    vsock: {
      cid: chooseCid(runDir),
      vhostSocket: join(runDir, 'vhost.sock'),
      hostSocket: join(runDir, 'vm.vsock'),
    },
    configFile: join(runDir, 'vmm.json'),
  };
  return { spec, inherit };
}
