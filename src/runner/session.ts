/**
 * Starts a virtual machine: what is asked for is checked, the programs are found, the name is claimed. The
 * run itself is in run.ts.
 */

import { EnvironmentError, UsageError } from '../core/errors.ts';
import type { Reporter } from '../core/events.ts';
import { chooseAccelerator } from './accel.ts';
import { findProgram } from './child.ts';
import type { Duplex } from 'node:stream';
import type { VmCallbacks, VmState } from './life-cycle.ts';
import { claimVm, registryPath } from './registry.ts';
import { openProbeCache, remembered } from './probe-cache.ts';
import { Run } from './run.ts';
import { sweepRegistry } from './sweep.ts';
import type { Verdict } from './verdict.ts';
import { type VmOptions, planMonitor } from './vm-options.ts';
import { checkLimits } from './vmm/limits.ts';
import { vmmNamed } from './vmm/named.ts';
import { probeSandbox } from './vmm/qemu.ts';
import type { Accelerator, Vmm } from './vmm/vmm.ts';
import { type VsockConnectOptions, findVsockBackend } from './vsock.ts';

export type { VmOptions } from './vm-options.ts';

export interface VmTimeouts {
  /** Of the whole run; none by default. */
  readonly totalMilliseconds?: number | undefined;
  /**
   * Until the guest reports that its payload was started. Default Android's: 30 seconds, and 300 where the
   * guest is emulated.
   */
  readonly startMilliseconds?: number | undefined;
  /** Between the payload's exit code and the guest's power-off; default ten seconds. */
  readonly powerOffMilliseconds?: number | undefined;
}

export interface VmContext {
  /** Where the folders of running machines are; default `registryPath()`. */
  readonly registry?: string | undefined;
  readonly reporter?: Reporter | undefined;
  readonly callbacks?: VmCallbacks | undefined;
  /** Ends the run. */
  readonly signal?: AbortSignal | undefined;
  readonly timeouts?: VmTimeouts | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
}

export type VmPhase = 'started' | 'ready';

export interface Vm {
  readonly name: string;
  /** The monitor's process. */
  readonly pid: number;
  readonly cid: number;
  readonly runDir: string;
  readonly consoleFile: string;
  readonly logFile: string;
  readonly accelerator: Accelerator;
  readonly state: VmState;
  /** Resolves, never rejects, when the machine is gone and everything is cleaned up. */
  readonly verdict: Promise<Verdict>;
  /** Resolves to true at the phase, to false when the machine ended without reaching it. */
  reached(phase: VmPhase): Promise<boolean>;
  /** Connects to a port of the guest; tries again while the machine runs. */
  connect(port: number, options?: Pick<VsockConnectOptions, 'signal'>): Promise<Duplex>;
  /** Ends the machine and waits until it is gone. */
  stop(): Promise<Verdict>;
}

/** What a machine would be started with. */
export interface Prepared {
  readonly vmm: Vmm;
  /** The monitor's program, with its path. */
  readonly program: string;
  /** The vsock backend's; undefined where the monitor has its own. */
  readonly backend: string | undefined;
  readonly accelerator: Accelerator;
  readonly sandbox: boolean;
}

/**
 * What of `prepareVm` takes no time, for those who have something to do that does.
 *
 * @throws as `prepareVm` does.
 */
export function findPrograms(
  options: Omit<VmOptions, 'kernel' | 'initrd'>,
  purpose: 'run' | 'print' = 'run',
): Pick<Prepared, 'vmm' | 'backend'> & { readonly name: string; readonly program?: string } {
  const vmm = vmmNamed(options.vmm ?? 'qemu');
  const { arch = 'x86_64' } = options;
  // Before anything is looked for: a monitor that is not installed should not hide that it could not.
  const accelerator = options.accelerator === 'tcg' ? 'tcg' : 'kvm';
  checkLimits(vmm, { ...options, accelerator }, purpose === 'print' ? ['disk-serials'] : []);
  const name = vmm.program(arch);
  const program = findProgram(name);
  if (program === undefined && purpose === 'run') {
    throw new EnvironmentError(name, `Cannot find ${name}`, { hint: `Install it: ${vmm.install}` });
  }
  const backend = vmm.vsock === 'vhost-user' ? findVsockBackend() : undefined;
  return { vmm, name, backend, ...(program === undefined ? {} : { program }) };
}

/**
 * Finds the programs, and decides what is not asked for.
 *
 * @param purpose `print` shows what would be started also where it could not be: programs need not be
 *   there, KVM need not work, and a guest need not find its disks.
 * @throws {UsageError} for what the monitor cannot do; {EnvironmentError} when a program is missing.
 */
export async function prepareVm(
  options: VmOptions,
  context: VmContext = {},
  purpose: 'run' | 'print' = 'run',
): Promise<Prepared> {
  const { vmm, name, program, backend } = findPrograms(options, purpose);
  const { arch = 'x86_64', accelerator: wanted = 'auto' } = options;
  const registry = context.registry ?? registryPath(context.env);
  const emulates = !vmm.limits.includes('emulation');
  const takenForGranted = purpose === 'print' && (wanted === 'kvm' || !emulates);
  const { accelerator, reason } = takenForGranted
    ? { accelerator: 'kvm' as const, reason: undefined }
    : await chooseAccelerator(wanted, {
        arch,
        kernel: options.kernel,
        cacheFolder: registry,
      });
  if (accelerator === 'tcg' && !emulates) {
    throw new UsageError('usage', `Cannot use ${name}, which needs KVM: ${reason}`, {
      hint: 'Use --vmm qemu, which emulates where it must',
    });
  }
  if (reason !== undefined) {
    context.reporter?.report({ kind: 'warning', message: `Emulating, which is slow: ${reason}` });
  }
  const sandbox =
    vmm.name === 'qemu' && program !== undefined && (await canConfine(program, registry));
  return { vmm, program: program ?? name, backend, accelerator, sandbox };
}

/** Asked once for each QEMU: starting it to learn that takes longer than all else before the boot. */
async function canConfine(program: string, registry: string): Promise<boolean> {
  const cache = await openProbeCache(registry, program);
  const probe = async (): Promise<string> => ((await probeSandbox(program)) ? '' : 'no seccomp');
  return (await remembered(cache, 'sandbox', probe)) === '';
}

/**
 * Starts a machine and returns when it runs (not when the guest is ready).
 *
 * @throws {UsageError} `lock` when a machine of that name runs; {EnvironmentError} when a program is
 *   missing; {ToolError} when one fails. Nothing is left behind then.
 */
export async function startVm(options: VmOptions, context: VmContext = {}): Promise<Vm> {
  const prepared = await prepareVm(options, context);
  context.signal?.throwIfAborted();
  const registry = context.registry ?? registryPath(context.env);
  const claim = await claimVm(options.name, registry);
  // What others left is none of this run's, but it is found when somebody looks: now.
  void sweepRegistry(registry).catch(() => undefined);
  const plan = planMonitor(
    options,
    prepared.vmm,
    { ...prepared, runDir: claim.runDir },
    'descriptors',
  );
  const run = new Run(options, prepared, plan, claim, context);
  try {
    return await run.start();
  } catch (error) {
    await run.abandon();
    throw error;
  }
}
