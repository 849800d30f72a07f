import { describe, expect, test } from 'vitest';
import { formatCommand } from '../../../../src/runner/command-line.ts';
import { checkLimits } from '../../../../src/runner/vmm/limits.ts';
import { VMM_NAMES, vmmNamed } from '../../../../src/runner/vmm/named.ts';
import { LIMITS, type VmmSpec } from '../../../../src/runner/vmm/vmm.ts';

const SPEC: VmmSpec = {
  name: 'hello',
  kernel: '/b/kernel',
  initrd: '/b/initrd.img',
  disks: [
    { path: '/b/os.img', serial: 'os' },
    { path: '/b/payload.img', serial: 'payload' },
  ],
  memoryMib: 256,
  cpus: 2,
  accelerator: 'kvm',
  sandbox: false,
  startPaused: false,
  rng: true,
  vsock: { cid: 3000, vhostSocket: '/run/vhost.sock', hostSocket: '/run/vm.vsock' },
  control: { path: '/run/vmm.sock' },
  console: { path: '/run/console.log' },
  reason: { path: '/run/reason.log' },
  configFile: '/run/vmm.json',
  extraArguments: ['--more'],
};
const COMMAND_LINE = "'console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests noreplace-smp'";

const shown = (name: 'crosvm' | 'cloud-hypervisor', more: Partial<VmmSpec> = {}): string => {
  const vmm = vmmNamed(name);
  const words = vmm.command({ ...SPEC, ...more }).arguments;
  return formatCommand([vmm.program('x86_64'), ...words]).replaceAll(' --', '\n--');
};

describe('crosvm', () => {
  // Android's virtmgr (crosvm.rs, run_vm) in its order; vsock and the disks' id are what differs on Linux.
  test('is told what virtmgr tells it', () => {
    expect(shown('crosvm')).toBe(`crosvm
--extended-status
--log-level info,disk=warn run
--disable-sandbox
--no-balloon
--no-usb
--name microbuild-hello
--mem 256
--cpus 2
--serial=type=file,path=/run/console.log,hardware=serial,num=1
--serial=type=file,path=/run/reason.log,hardware=serial,num=2
--initrd /b/initrd.img
--params ${COMMAND_LINE}
--block path=/b/os.img,ro=true,lock=false,id=os
--block path=/b/payload.img,ro=true,lock=false,id=payload
--vhost-user type=vsock,socket=/run/vhost.sock
--socket /run/vmm.sock
--more /b/kernel`);
  });

  // `crosvm run --help` of 2026-08: cmdline.rs, DiskOption, SerialParameters, VhostUserFrontendOption.
  const OPTIONS =
    'disable-sandbox no-balloon no-usb no-rng name mem cpus serial initrd params block vhost-user socket';
  const KEYS = {
    serial: 'type hardware name num path input console earlycon stdin pci-address max-queue-sizes',
    block: 'path ro root sparse block-size id direct lock async-executor multiple-workers',
    'vhost-user': 'type socket max-queue-size pci-address',
  };

  test('is told nothing that its documentation does not have', () => {
    const words = vmmNamed('crosvm').command({ ...SPEC, extraArguments: [], rng: false }).arguments;
    const run = words.slice(words.indexOf('run') + 1);
    for (const word of run.filter((each) => each.startsWith('--'))) {
      expect(OPTIONS.split(' ')).toContain(word.slice(2).split('=')[0]);
    }
    const valuesOf = (name: string): string[] =>
      run.flatMap((word, i) =>
        word === `--${name}`
          ? [run[i + 1] ?? '']
          : word.startsWith(`--${name}=`)
            ? [word.slice(name.length + 3)]
            : [],
      );
    for (const [name, keys] of Object.entries(KEYS)) {
      const given = valuesOf(name).flatMap((value) =>
        value.split(',').map((pair) => pair.split('=')[0]),
      );
      expect(given.length).toBeGreaterThan(0);
      for (const key of given) expect(keys.split(' ')).toContain(key);
    }
  });

  test.each([
    [0, 'SHUTDOWN'],
    [1, 'START_FAILED'],
    [32, 'REBOOT'],
    [33, 'CRASH'],
    [36, 'WATCHDOG_REBOOT'],
  ])('ends with %d for %s, as virtmgr reads it', (code, death) => {
    expect(vmmNamed('crosvm').exitReasons[code]).toBe(death);
  });
});

test('Cloud Hypervisor has a vsock of its own, disks with serials, and one serial port', () => {
  expect(shown('cloud-hypervisor')).toBe(`cloud-hypervisor
--kernel /b/kernel
--initramfs /b/initrd.img
--cmdline ${COMMAND_LINE}
--cpus boot=2
--memory size=256M
--disk path=/b/os.img,readonly=on,serial=os,image_type=raw path=/b/payload.img,readonly=on,serial=payload,image_type=raw
--vsock cid=3000,socket=/run/vm.vsock
--serial file=/run/console.log
--console off
--api-socket path=/run/vmm.sock
--more`);
  expect(vmmNamed('cloud-hypervisor')).toMatchObject({ vsock: 'own', qmp: false });
});

test('Firecracker is told by a file, in the words of its API', () => {
  const { arguments: words, files } = vmmNamed('firecracker').command(SPEC);
  expect(formatCommand(words)).toBe('--api-sock /run/vmm.sock --config-file /run/vmm.json --more');
  expect(files.map(({ path }) => path)).toEqual(['/run/vmm.json']);
  expect(JSON.parse(files[0]?.content ?? '')).toEqual({
    'boot-source': {
      kernel_image_path: '/b/kernel',
      initrd_path: '/b/initrd.img',
      boot_args: COMMAND_LINE.slice(1, -1),
    },
    drives: [
      { drive_id: 'disk0', path_on_host: '/b/os.img', is_root_device: false, is_read_only: true },
      {
        drive_id: 'disk1',
        path_on_host: '/b/payload.img',
        is_root_device: false,
        is_read_only: true,
      },
    ],
    'machine-config': { vcpu_count: 2, mem_size_mib: 256 },
    vsock: { guest_cid: 3000, uds_path: '/run/vm.vsock' },
    entropy: {},
  });
});

describe('what a monitor cannot do', () => {
  const plain = { accelerator: 'kvm', disks: [{}] } as const;

  test.each([
    ['crosvm', { ...plain, accelerator: 'tcg' }, 'emulation'],
    ['crosvm', { ...plain, arch: 'aarch64' }, 'aarch64'],
    ['cloud-hypervisor', { ...plain, machine: 'q35' }, 'machine'],
    ['cloud-hypervisor', { ...plain, disks: [{ offset: 4096, size: 4096 }] }, 'disk-parts'],
    ['firecracker', plain, 'disk-serials'],
  ] as const)('%s is refused by name when it is asked for: %j', (name, asked, limit) => {
    expect(() => checkLimits(vmmNamed(name), asked)).toThrow(
      expect.objectContaining({
        code: 'usage',
        message: `Cannot use ${name}: it cannot ${LIMITS[limit]}`,
      }),
    );
    expect(() => checkLimits(vmmNamed('qemu'), asked)).not.toThrow();
  });

  test('is nothing where nothing special is asked', () => {
    expect(() => checkLimits(vmmNamed('crosvm'), plain)).not.toThrow();
    expect(() => checkLimits(vmmNamed('cloud-hypervisor'), plain)).not.toThrow();
    expect(() => checkLimits(vmmNamed('firecracker'), plain, ['disk-serials'])).not.toThrow();
  });

  test('is said in words for each limit of each monitor', () => {
    for (const name of VMM_NAMES) {
      for (const limit of vmmNamed(name).limits) expect(LIMITS[limit]).toMatch(/\w/);
    }
  });
});

test.each(['crosvm', 'cloud-hypervisor'] as const)(
  '%s has no escape for a comma: such a path is refused, not read as options',
  (name) => {
    const disks = [{ path: '/b/a,ro=false', serial: 'os' }];
    expect(() => vmmNamed(name).command({ ...SPEC, disks })).toThrow(RangeError);
    const bad = [{ path: '/b/a', serial: 'os,ro=false' }];
    expect(() => vmmNamed(name).command({ ...SPEC, disks: bad })).toThrow(RangeError);
  },
);
