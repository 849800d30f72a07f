/**
 * Cloud Hypervisor's command line. Its vsock is Firecracker's hybrid one, so no backend is started.
 *
 * @see https://github.com/cloud-hypervisor/cloud-hypervisor/tree/main/docs
 */

import { checkPath, checkSerial } from './disk-serial.ts';
import { kernelCommandLine } from './kernel-command-line.ts';
import type { Channel, Vmm, VmmCommand, VmmSpec } from './vmm.ts';

export const cloudHypervisor: Vmm = {
  name: 'cloud-hypervisor',
  program: () => 'cloud-hypervisor',
  install: 'https://github.com/cloud-hypervisor/cloud-hypervisor/releases (one static program)',
  limits: [
    'emulation',
    'aarch64',
    'machine',
    'disk-parts',
    'console-input',
    'reason-port',
    'inherited-channels',
    'ends-on-reset',
    'paused-start',
  ],
  vsock: 'own',
  qmp: false,
  consoleIsOutput: false,
  exitReasons: { 0: 'SHUTDOWN', 1: 'START_FAILED' },
  command: cloudHypervisorCommand,
};

function cloudHypervisorCommand(spec: VmmSpec): VmmCommand {
  const { cid, hostSocket } = spec.vsock;
  const groups: readonly (readonly string[])[] = [
    ['--kernel', spec.kernel, '--initramfs', spec.initrd],
    ['--cmdline', kernelCommandLine(spec)],
    ['--cpus', `boot=${spec.cpus}`, '--memory', `size=${spec.memoryMib}M`],
    spec.disks.length === 0
      ? []
      : [
          '--disk',
          ...spec.disks.map(
            ({ path, serial }) =>
              `path=${checkPath(path)},readonly=on,serial=${checkSerial(serial)},image_type=raw`,
          ),
        ],
    ['--vsock', `cid=${cid},socket=${checkPath(hostSocket)}`],
    ['--serial', `file=${checkPath(pathOf(spec.console))}`, '--console', 'off'],
    ['--api-socket', `path=${checkPath(pathOf(spec.control))}`],
    spec.extraArguments ?? [],
  ];
  return { arguments: groups.flat(), files: [] };
}

const pathOf = (channel: Channel): string =>
  'path' in channel ? channel.path : `/proc/self/fd/${channel.descriptor}`;
