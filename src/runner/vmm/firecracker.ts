/**
 * Firecracker's command line and configuration file.
 *
 * A guest of ours cannot find its disks there: Firecracker makes the serial of a disk from the numbers of
 * its file (st_dev, st_rdev, st_ino) and takes no other. So it is described, printed, and refused by `run`.
 *
 * @see https://github.com/firecracker-microvm/firecracker/tree/main/docs
 */

import { kernelCommandLine } from './kernel-command-line.ts';
import type { Channel, Vmm, VmmCommand, VmmSpec } from './vmm.ts';

export const firecracker: Vmm = {
  name: 'firecracker',
  program: () => 'firecracker',
  install: 'https://github.com/firecracker-microvm/firecracker/releases (one static program)',
  limits: [
    'emulation',
    'aarch64',
    'machine',
    'disk-serials',
    'disk-parts',
    'console-input',
    'reason-port',
    'inherited-channels',
    'paused-start',
  ],
  vsock: 'own',
  qmp: false,
  consoleIsOutput: true,
  // FcExitCode: a reset ends it like a power-off. 152 and 153 are a bad configuration or command line.
  exitReasons: {
    0: 'SHUTDOWN',
    1: 'START_FAILED',
    148: 'CRASH',
    152: 'START_FAILED',
    153: 'START_FAILED',
  },
  command: firecrackerCommand,
};

function firecrackerCommand(spec: VmmSpec): VmmCommand {
  const { cid, hostSocket } = spec.vsock;
  const config = {
    'boot-source': {
      kernel_image_path: spec.kernel,
      initrd_path: spec.initrd,
      boot_args: kernelCommandLine(spec),
    },
    drives: spec.disks.map(({ path }, i) => ({
      drive_id: `disk${i}`,
      path_on_host: path,
      is_root_device: false,
      is_read_only: true,
    })),
    'machine-config': { vcpu_count: spec.cpus, mem_size_mib: spec.memoryMib },
    vsock: { guest_cid: cid, uds_path: hostSocket },
    ...(spec.rng === true ? { entropy: {} } : {}),
  };
  return {
    arguments: [
      '--api-sock',
      pathOf(spec.control),
      '--config-file',
      spec.configFile,
      ...(spec.extraArguments ?? []),
    ],
    files: [{ path: spec.configFile, content: `${JSON.stringify(config, undefined, 2)}\n` }],
  };
}

const pathOf = (channel: Channel): string =>
  'path' in channel ? channel.path : `/proc/self/fd/${channel.descriptor}`;
