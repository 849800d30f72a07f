/** QEMU's command line for a bundle. */

import { execFile } from 'node:child_process';
import { UsageError } from '../../core/errors.ts';
import type { Machine, Vmm, VmmSpec } from './vmm.ts';

export const QEMU_PROGRAM = 'qemu-system-x86_64';

const PROBE_MILLISECONDS = 5000;

/** Deny what a running machine has no business doing. */
export const QEMU_SANDBOX =
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/**
 * Emulated: a plain CPU plus what x86-64-v2 binaries need. `max` would cost 0.1 to 0.4 s of boot,
 * most of it translating code that the extra features make the kernel take.
 */
const TCG_CPU = 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt';

export const qemu: Vmm = {
  name: 'qemu',
  program: QEMU_PROGRAM,
  arguments: qemuArguments,
};

/**
 * microvm boots fastest but has no timer that an emulated kernel could measure its TSC against, and
 * hangs unless it is told the frequency. KVM has its own clock.
 */
export function chooseMachine(spec: Pick<VmmSpec, 'machine' | 'accelerator' | 'tscKhz'>): Machine {
  if (spec.machine !== undefined) return spec.machine;
  return spec.accelerator === 'kvm' || spec.tscKhz !== undefined ? 'microvm' : 'q35';
}

/** Nothing here concerns the guest's checks: console, panic and reboot behaviour, and boot speed. */
export function kernelCommandLine(
  spec: Pick<VmmSpec, 'accelerator' | 'tscKhz' | 'kernelArguments'>,
): string {
  const { accelerator, tscKhz, kernelArguments = [] } = spec;
  return [
    'console=ttyS0',
    'quiet',
    // A panic must end the machine at once; with -no-reboot a reset is an exit.
    'panic=-1',
    'reboot=t',
    // The self tests of the crypto API are the largest single cost of an emulated boot.
    'cryptomgr.notests',
    'noreplace-smp',
    ...(accelerator === 'tcg' && tscKhz !== undefined
      ? [`tsc_early_khz=${tscKhz}`, 'tsc=reliable']
      : []),
    ...kernelArguments,
  ].join(' ');
}

function qemuArguments(spec: VmmSpec): readonly string[] {
  const machine = chooseMachine(spec);
  if (machine === 'microvm' && spec.accelerator === 'tcg' && spec.tscKhz === undefined) {
    throw new UsageError('usage', 'Cannot emulate a microvm: the TSC frequency is not known', {
      hint: 'Use machine q35, which needs none',
    });
  }
  const bus = machine === 'q35' ? 'pci' : 'device';
  const groups: readonly (readonly string[])[] = [
    // The name is for people who look at the process list.
    ['-name', `microbuild-${escape(spec.name)}`],
    ['-machine', `${machine},memory-backend=memory`, '-accel', spec.accelerator],
    ['-cpu', spec.accelerator === 'kvm' ? 'host' : TCG_CPU, '-smp', String(spec.cpus)],
    // Shared, because the vsock backend is another process.
    ['-m', `${spec.memoryMib}M`],
    ['-object', `memory-backend-memfd,id=memory,size=${spec.memoryMib}M,share=on`],
    ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    spec.sandbox ? ['-sandbox', QEMU_SANDBOX] : [],
    spec.startPaused ? ['-S'] : [],
    ['-kernel', spec.kernel, '-initrd', spec.initrd],
    ['-append', kernelCommandLine(spec)],
    ...spec.disks.map(({ path, serial, offset, size }, i) => [
      '-drive',
      `file=${escape(path)},if=none,id=disk${i},format=raw,readonly=on` +
        (offset === undefined ? '' : `,offset=${offset}`) +
        (size === undefined ? '' : `,size=${size}`),
      '-device',
      `virtio-blk-${bus},drive=disk${i},serial=${checkSerial(serial)}`,
    ]),
    ['-chardev', `socket,id=vsock,path=${escape(spec.vsockSocket)}`],
    ['-device', `vhost-user-vsock-${bus},chardev=vsock`],
    ['-chardev', `file,id=console,path=${escape(spec.consoleFile)}`],
    ['-device', 'isa-serial,chardev=console'],
    ['-chardev', `file,id=reason,path=${escape(spec.reasonFile)}`],
    ['-device', 'isa-serial,chardev=reason'],
    spec.rng === true ? ['-device', `virtio-rng-${bus}`] : [],
    ['-qmp', `unix:${escape(spec.controlSocket)},server=on,wait=off`],
    spec.extraArguments ?? [],
  ];
  return groups.flat();
}

/** In QEMU's option lists a comma is written twice. */
const escape = (value: string): string => value.replaceAll(',', ',,');

/** A virtio serial has 20 bytes. */
function checkSerial(serial: string): string {
  if (/^[A-Za-z0-9_-]{1,20}$/.test(serial)) return serial;
  throw new RangeError(`Cannot use "${serial}" as a disk serial`);
}

/**
 * Whether this build of QEMU can confine itself: a machine without a CPU is made and told to quit.
 * Builds without seccomp refuse the option by name.
 */
export async function probeSandbox(program: string): Promise<boolean> {
  const args = ['-machine', 'none', '-display', 'none', '-nodefaults', '-no-user-config'];
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...args, '-sandbox', QEMU_SANDBOX, '-S', '-qmp', 'stdio'],
      { timeout: PROBE_MILLISECONDS, killSignal: 'SIGKILL' },
      (error) => resolve(error === null),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  });
}
