/** QEMU's command line for a bundle: x86_64 (microvm, q35) and aarch64 (virt). */

import { execFile } from 'node:child_process';
import { UsageError } from '../../core/errors.ts';
import { checkSerial } from './disk-serial.ts';
import { kernelCommandLine } from './kernel-command-line.ts';
import type { Channel, GuestArch, Machine, Vmm, VmmCommand, VmmSpec } from './vmm.ts';

/** QEMU's name for a guest's architecture is ours. */
export const qemuProgram = (arch: GuestArch): string => `qemu-system-${arch}`;

export const QEMU_PROGRAM = qemuProgram('x86_64');

const PROBE_TIME = '5s';

/** Deny what a running machine has no business doing. */
export const QEMU_SANDBOX =
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/**
 * Emulated: on x86_64 a plain CPU plus what x86-64-v2 binaries need. `max` would cost 0.1 to 0.4 s of
 * boot, most of it translating code that the extra features make the kernel take.
 */
const TCG_CPUS: Readonly<Record<GuestArch, string>> = {
  x86_64: 'qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt',
  aarch64: 'cortex-a57',
};

export const qemu: Vmm = {
  name: 'qemu',
  program: qemuProgram,
  install: 'apt-get install qemu-system-x86 (qemu-system-arm for aarch64 guests)',
  limits: [],
  vsock: 'vhost-user',
  qmp: true,
  consoleIsOutput: false,
  exitReasons: {},
  command: qemuCommand,
};

/**
 * microvm boots fastest but has no timer that an emulated kernel could measure its TSC against, and
 * hangs unless it is told the frequency. KVM has its own clock.
 *
 * @throws {UsageError} for a machine of another architecture.
 */
export function chooseMachine(
  spec: Pick<VmmSpec, 'arch' | 'machine' | 'accelerator' | 'tscKhz'>,
): Machine {
  const { arch = 'x86_64', machine, accelerator, tscKhz } = spec;
  if (machine !== undefined && (machine === 'virt') !== (arch === 'aarch64')) {
    throw new UsageError('usage', `Cannot use machine ${machine} for a guest of ${arch}`);
  }
  if (arch === 'aarch64') return 'virt';
  return machine ?? (accelerator === 'kvm' || tscKhz !== undefined ? 'microvm' : 'q35');
}

function qemuCommand(spec: VmmSpec): VmmCommand {
  const { arch = 'x86_64' } = spec;
  const machine = chooseMachine(spec);
  if (machine === 'microvm' && spec.accelerator === 'tcg' && spec.tscKhz === undefined) {
    throw new UsageError('usage', 'Cannot emulate a microvm: the TSC frequency is not known', {
      hint: 'Use machine q35, which needs none',
    });
  }
  const bus = machine === 'microvm' ? 'device' : 'pci';
  const groups: readonly (readonly string[])[] = [
    // The name is for people who look at the process list.
    ['-name', `microbuild-${escape(spec.name)}`],
    ['-machine', `${machine},memory-backend=memory`, '-accel', spec.accelerator],
    ['-cpu', spec.accelerator === 'kvm' ? 'host' : TCG_CPUS[arch], '-smp', String(spec.cpus)],
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
    ['-chardev', `socket,id=vsock,path=${escape(spec.vsock.vhostSocket)}`],
    ['-device', `vhost-user-vsock-${bus},chardev=vsock`],
    ...serialPorts(spec, arch),
    spec.rng === true ? ['-device', `virtio-rng-${bus}`] : [],
    controlPort(spec.control),
    spec.extraArguments ?? [],
  ];
  return { arguments: groups.flat(), files: [] };
}

/** Arm's virt machine has one port of its own, a PL011; the second is on the bus, and Linux' first of its kind. */
function serialPorts(spec: VmmSpec, arch: GuestArch): string[][] {
  const console = ['-chardev', outputTo(spec.console, 'console')];
  const reason = ['-chardev', outputTo(spec.reason, 'reason'), '-device'];
  return arch === 'aarch64'
    ? [
        [...console, '-serial', 'chardev:console'],
        [...reason, 'pci-serial,chardev=reason'],
      ]
    : [
        [...console, '-device', 'isa-serial,chardev=console'],
        [...reason, 'isa-serial,chardev=reason'],
      ];
}

const outputTo = (channel: Channel, id: string): string =>
  'path' in channel
    ? `file,id=${id},path=${escape(channel.path)}`
    : `socket,id=${id},fd=${channel.descriptor}`;

const controlPort = (channel: Channel): string[] =>
  'path' in channel
    ? ['-qmp', `unix:${escape(channel.path)},server=on,wait=off`]
    : [
        '-chardev',
        `socket,id=control,fd=${channel.descriptor}`,
        '-mon',
        'chardev=control,mode=control',
      ];

/** In QEMU's option lists a comma is written twice. */
const escape = (value: string): string => value.replaceAll(',', ',,');

/**
 * Whether this build of QEMU can confine itself: a machine without a CPU is made and told to quit.
 * Builds without seccomp refuse the option by name.
 */
export async function probeSandbox(program: string): Promise<boolean> {
  const args = ['-machine', 'none', '-display', 'none', '-nodefaults', '-no-user-config'];
  return new Promise((resolve) => {
    // It waits for ever where nobody tells it to quit, as when this process is killed just now.
    const child = execFile(
      'timeout',
      [
        '--signal=KILL',
        PROBE_TIME,
        program,
        ...args,
        '-sandbox',
        QEMU_SANDBOX,
        '-S',
        '-qmp',
        'stdio',
      ],
      (error) => resolve(error === null),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  });
}
