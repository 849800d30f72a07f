/**
 * crosvm's command line: the one that Android's virtmgr uses, in its order, with what differs on Linux.
 *
 * Android's crosvm has the kernel's vhost-vsock; here vsock is our backend's, over vhost-user, because the
 * host's side are Unix sockets. And disks have an `id`, by which the guest finds them.
 *
 * @see https://crosvm.dev/book/ and `crosvm run --help`
 */

import { checkPath, checkSerial } from './disk-serial.ts';
import { kernelCommandLine } from './kernel-command-line.ts';
import type { Channel, Vmm, VmmCommand, VmmSpec } from './vmm.ts';

export const crosvm: Vmm = {
  name: 'crosvm',
  program: () => 'crosvm',
  install: 'Build it from source: https://crosvm.dev/book/building_crosvm/',
  limits: [
    'emulation',
    'aarch64',
    'machine',
    'disk-parts',
    'console-input',
    'inherited-channels',
    'paused-start',
  ],
  vsock: 'vhost-user',
  qmp: false,
  consoleIsOutput: false,
  // CommandStatus in crosvm's main.rs; virtmgr knows all but 34 and 35.
  exitReasons: {
    0: 'SHUTDOWN',
    1: 'START_FAILED',
    32: 'REBOOT',
    33: 'CRASH',
    34: 'CRASH',
    35: 'START_FAILED',
    36: 'WATCHDOG_REBOOT',
  },
  command: crosvmCommand,
};

function crosvmCommand(spec: VmmSpec): VmmCommand {
  const groups: readonly (readonly string[])[] = [
    ['--extended-status', '--log-level', 'info,disk=warn', 'run'],
    // The jail wants folders and user namespaces that hosts other than ChromeOS do not have.
    ['--disable-sandbox', '--no-balloon', '--no-usb'],
    spec.rng === true ? [] : ['--no-rng'],
    ['--name', `microbuild-${checkPath(spec.name)}`],
    ['--mem', String(spec.memoryMib), '--cpus', String(spec.cpus)],
    [`--serial=${outputTo(spec.console)},hardware=serial,num=1`],
    [`--serial=${outputTo(spec.reason)},hardware=serial,num=2`],
    ['--initrd', spec.initrd],
    ['--params', kernelCommandLine(spec)],
    ...spec.disks.map(({ path, serial }) => [
      '--block',
      `path=${checkPath(path)},ro=true,lock=false,id=${checkSerial(serial)}`,
    ]),
    ['--vhost-user', `type=vsock,socket=${checkPath(spec.vsock.vhostSocket)}`],
    ['--socket', pathOf(spec.control)],
    spec.extraArguments ?? [],
    [spec.kernel],
  ];
  return { arguments: groups.flat(), files: [] };
}

const outputTo = (channel: Channel): string => `type=file,path=${checkPath(pathOf(channel))}`;

const pathOf = (channel: Channel): string =>
  'path' in channel ? channel.path : `/proc/self/fd/${channel.descriptor}`;
