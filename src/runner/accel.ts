/**
 * Whether KVM can be used. That /dev/kvm exists says little: containers show it without access, and
 * some hosts offer a KVM on which a real CPU model cannot be set up, or on which no kernel gets anywhere.
 * So a machine is started with the CPU model that a real run would use, and must say that its first
 * instruction was executed; then the guest's kernel, which must come as far as to look for its root.
 */

import { constants } from 'node:fs';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError } from '../core/errors.ts';
import { inTheMaking } from '../io/in-the-making.ts';
import { openProbeCache, remembered } from './probe-cache.ts';
import { FIRST_DESCRIPTOR, findProgram, readTail, startChild } from './child.ts';
import type { VmFile } from './vm-options.ts';
import { qemuProgram } from './vmm/qemu.ts';
import type { Accelerator, GuestArch } from './vmm/vmm.ts';

const PROBE_MILLISECONDS = 3000;
/** Even the slowest kernel of ours comes to its root in a tenth of this under a KVM that works. */
const KERNEL_MILLISECONDS = 15_000;
const FIRMWARE_SIZE = 65536;
const RESET_VECTOR = 0xfff0;
const DEBUG_EXIT_PORT = 0xf4;
/** isa-debug-exit ends QEMU with `value << 1 | 1`. */
const PROBE_VALUE = 0x2a;

export interface AccelChoice {
  readonly accelerator: Accelerator;
  /** Why it is not KVM; undefined when it is, or when nobody asked for it. */
  readonly reason?: string;
}

export interface AccelOptions {
  /** Of the guest; default x86_64. */
  readonly arch?: GuestArch | undefined;
  readonly qemu?: string | undefined;
  readonly device?: string | undefined;
  /** The guest's kernel, for the second half of the probe. */
  readonly kernel?: VmFile | undefined;
  /** Where the answer is kept; default: it is not. */
  readonly cacheFolder?: string | undefined;
}

/**
 * A firmware of 16-bit code at the reset vector, 16 bytes below 4 GiB: `mov al, 0x2a`,
 * `out 0xf4, al`, and `hlt` for ever.
 */
export function probeFirmware(): Uint8Array {
  const image = new Uint8Array(FIRMWARE_SIZE).fill(0xf4);
  image.set([0xb0, PROBE_VALUE, 0xe6, DEBUG_EXIT_PORT, 0xf4, 0xeb, 0xfd], RESET_VECTOR);
  return image;
}

/**
 * Decides between KVM and emulation.
 *
 * @param wanted `kvm` fails where `auto` falls back.
 * @throws {EnvironmentError} when KVM was asked for by name and does not work.
 */
export async function chooseAccelerator(
  wanted: 'auto' | Accelerator,
  options: AccelOptions = {},
): Promise<AccelChoice> {
  if (wanted === 'tcg') return { accelerator: 'tcg' };
  const reason = await whyNotKvm(options);
  if (reason === undefined) return { accelerator: 'kvm' };
  if (wanted === 'kvm') {
    throw new EnvironmentError('kvm', `Cannot use KVM: ${reason}`, {
      hint: 'Leave the choice to microbuild, which emulates where it must',
    });
  }
  return { accelerator: 'tcg', reason };
}

/** Undefined when the probes ran under KVM, else the reason in a few words. */
async function whyNotKvm(options: AccelOptions): Promise<string | undefined> {
  const { arch = 'x86_64', device = '/dev/kvm', kernel, cacheFolder } = options;
  const host = hostArch();
  if (arch !== host)
    return `the guest is made for ${arch}, this machine is ${host ?? process.arch}`;
  try {
    await access(device, constants.R_OK | constants.W_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `${device} does not exist` : `${device} cannot be opened (${code})`;
  }
  const qemu = options.qemu ?? qemuProgram(arch);
  const program = findProgram(qemu);
  if (program === undefined) return `${qemu} is not installed`;
  const cache =
    cacheFolder === undefined ? undefined : await openProbeCache(cacheFolder, program, device);
  const probes: readonly (readonly [string, () => Promise<string | undefined>])[] = [
    // Arm's virt machine has no port to end at; there the kernel is the probe.
    ...(arch === 'x86_64' ? [['firmware', () => runProbe(program, 'kvm', 'host')] as const] : []),
    ...(kernel === undefined
      ? []
      : [['kernel', () => runKernelProbe(program, 'kvm', 'host', kernel)] as const]),
  ];
  for (const [name, probe] of probes) {
    const reason = await remembered(cache, name, async () => (await probe()) ?? '');
    if (reason !== '') return reason;
  }
  return undefined;
}

const hostArch = (): GuestArch | undefined =>
  process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : undefined;

/**
 * Runs the probe firmware. Exported so that a test can see it succeed under emulation.
 *
 * @returns Undefined when the firmware ran, else what happened instead.
 */
export async function runProbe(
  qemu: string,
  accelerator: Accelerator,
  cpu: string,
): Promise<string | undefined> {
  return inScratch(async (folder) => {
    const firmware = join(folder, 'firmware');
    await writeFile(firmware, probeFirmware());
    const args = [
      ['-machine', 'q35', '-accel', accelerator, '-cpu', cpu, '-m', '16M', ...BARE],
      ['-bios', firmware],
      ['-device', `isa-debug-exit,iobase=${DEBUG_EXIT_PORT},iosize=1`],
    ].flat();
    const { code, failure } = await runToEnd(qemu, args, folder, PROBE_MILLISECONDS);
    return code === ((PROBE_VALUE << 1) | 1) ? undefined : failure;
  });
}

/**
 * Boots a kernel that finds no root: it must come as far as to say so and to end the machine.
 *
 * @returns Undefined when it did, else what happened instead.
 */
export async function runKernelProbe(
  qemu: string,
  accelerator: Accelerator,
  cpu: string,
  kernel: VmFile,
): Promise<string | undefined> {
  return inScratch(async (folder) => {
    const console = join(folder, 'console');
    const path = typeof kernel === 'string' ? kernel : `/proc/self/fd/${FIRST_DESCRIPTOR}`;
    const args = [
      ['-machine', 'q35', '-accel', accelerator, '-cpu', cpu, '-m', '128M', ...BARE],
      ['-kernel', path, '-append', 'console=ttyS0 panic=-1 reboot=t cryptomgr.notests'],
      ['-chardev', `file,id=console,path=${console}`, '-device', 'isa-serial,chardev=console'],
    ].flat();
    const inherit = typeof kernel === 'string' ? [] : [kernel.descriptor];
    const { failure } = await runToEnd(qemu, args, folder, KERNEL_MILLISECONDS, inherit);
    const said = await readFile(console, 'latin1').catch(() => '');
    return said.includes('Kernel panic - not syncing: VFS')
      ? undefined
      : `${failure}, booting the kernel`;
  });
}

const BARE = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'];

async function inScratch<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const scratch = await inTheMaking(join(tmpdir(), 'microbuild-probe'));
  const folder = scratch.path;
  try {
    await mkdir(folder, { mode: 0o700 });
    return await work(folder);
  } finally {
    await scratch.discard();
  }
}

async function runToEnd(
  qemu: string,
  args: readonly string[],
  folder: string,
  limit: number,
  inherit: readonly number[] = [],
): Promise<{ readonly code: number | null; readonly failure: string }> {
  const program = findProgram(qemu);
  if (program === undefined) return { code: null, failure: `${qemu} is not installed` };
  const log = join(folder, 'log');
  const child = await startChild(program, args, log, { inherit });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void child.terminate(0);
  }, limit);
  const { code, signal } = await child.exited;
  clearTimeout(timer);
  if (late) return { code: null, failure: `a probe machine did not run within ${limit} ms` };
  const said = (await readTail(log)).split('\n')[0] ?? '';
  const how = signal === null ? `exit code ${code}` : signal;
  const what = said === '' ? '' : `: ${said.slice(0, 200)}`;
  return { code, failure: `a probe machine failed (${how})${what}` };
}
