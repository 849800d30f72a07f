import { expect, test } from 'vitest';
import { formatCommand } from '../../../../src/runner/command-line.ts';
import { kernelCommandLine } from '../../../../src/runner/vmm/kernel-command-line.ts';
import { chooseMachine, qemu } from '../../../../src/runner/vmm/qemu.ts';
import type { VmmSpec } from '../../../../src/runner/vmm/vmm.ts';

const SPEC: VmmSpec = {
  name: 'hello',
  kernel: '/b/kernel',
  initrd: '/b/initrd.img',
  disks: [
    { path: '/b/os.img', serial: 'os' },
    { path: '/b,c/payload.img', serial: 'payload' },
  ],
  memoryMib: 256,
  cpus: 2,
  accelerator: 'tcg',
  sandbox: true,
  startPaused: true,
  vsock: { cid: 3000, vhostSocket: '/run/vhost.sock', hostSocket: '/run/vm.vsock' },
  control: { path: '/run/qmp.sock' },
  console: { path: '/run/console.log' },
  reason: { path: '/run/reason.log' },
  configFile: '/run/vmm.json',
};
const argumentsFor = (more: Partial<VmmSpec>): readonly string[] =>
  qemu.command({ ...SPEC, ...more }).arguments;

test('an emulated q35 has PCI devices and asks for no TSC', () => {
  expect(formatCommand([qemu.program('x86_64'), ...argumentsFor({})]).replaceAll(' -', '\n-'))
    .toBe(`qemu-system-x86_64
-name microbuild-hello
-machine q35,memory-backend=memory
-accel tcg
-cpu qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt
-smp 2
-m 256M
-object memory-backend-memfd,id=memory,size=256M,share=on
-nodefaults
-no-user-config
-no-reboot
-display none
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-S
-kernel /b/kernel
-initrd /b/initrd.img
-append 'console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests noreplace-smp'
-drive file=/b/os.img,if=none,id=disk0,format=raw,readonly=on
-device virtio-blk-pci,drive=disk0,serial=os
-drive file=/b,,c/payload.img,if=none,id=disk1,format=raw,readonly=on
-device virtio-blk-pci,drive=disk1,serial=payload
-chardev socket,id=vsock,path=/run/vhost.sock
-device vhost-user-vsock-pci,chardev=vsock
-chardev file,id=console,path=/run/console.log
-device isa-serial,chardev=console
-chardev file,id=reason,path=/run/reason.log
-device isa-serial,chardev=reason
-qmp unix:/run/qmp.sock,server=on,wait=off`);
});

test('a microvm has virtio-mmio devices and knows the TSC', () => {
  const args = argumentsFor({ tscKhz: 2_445_426, rng: true }).join(' ');
  expect(args).toContain('-machine microvm,');
  expect(args).toContain('virtio-blk-device,drive=disk0,serial=os');
  expect(args).toContain('vhost-user-vsock-device');
  expect(args).toContain('virtio-rng-device');
  expect(args).toContain('tsc_early_khz=2445426 tsc=reliable');
  expect(args).not.toContain('-pci');
});

test.each([
  [{ accelerator: 'tcg' }, 'q35'],
  [{ accelerator: 'tcg', tscKhz: 1 }, 'microvm'],
  [{ accelerator: 'kvm' }, 'microvm'],
  [{ accelerator: 'kvm', machine: 'q35' }, 'q35'],
  [{ accelerator: 'tcg', tscKhz: 1, machine: 'q35' }, 'q35'],
] as const)('%j becomes a %s', (given, machine) => {
  expect(chooseMachine(given)).toBe(machine);
});

test('under KVM the CPU is the host and no TSC is named', () => {
  const args = argumentsFor({ accelerator: 'kvm', tscKhz: 5 });
  expect(args).toContain('host');
  expect(kernelCommandLine({ accelerator: 'kvm', tscKhz: 5 })).not.toContain('tsc');
});

test('an emulated microvm without a TSC would hang, so it is refused', () => {
  expect(() => argumentsFor({ machine: 'microvm' })).toThrow(/TSC/);
});

test('a serial that QEMU would read as options is refused', () => {
  const disks = [{ path: '/d', serial: 'os,readonly=off' }];
  expect(() => argumentsFor({ disks })).toThrow(RangeError);
});

test('a user adds words to the kernel command line and to QEMU', () => {
  const args = argumentsFor({
    kernelArguments: ['quiet=0'],
    extraArguments: ['-d', 'int'],
  });
  expect(args.join(' ')).toMatch(/noreplace-smp quiet=0 .* -d int$/);
});

test('a printed command can be pasted into a shell', () => {
  expect(formatCommand(['a', "it's", '', '$x', 'b=c,d'])).toBe(`a 'it'\\''s' '' '$x' b=c,d`);
});

test('a disk may be a part of a file', () => {
  const disks = [{ path: '/b/hello.mbundle', offset: 58_503_168, size: 3_911_680, serial: 'os' }];
  expect(argumentsFor({ disks })).toContain(
    'file=/b/hello.mbundle,if=none,id=disk0,format=raw,readonly=on,offset=58503168,size=3911680',
  );
});

test('channels that are inherited have no names', () => {
  const args = argumentsFor({
    console: { descriptor: 3 },
    reason: { descriptor: 4 },
    control: { descriptor: 5 },
    kernel: '/proc/self/fd/6',
  }).join(' ');
  expect(args).toContain('-chardev socket,id=console,fd=3 -device isa-serial,chardev=console');
  expect(args).toContain('-chardev socket,id=reason,fd=4 -device isa-serial,chardev=reason');
  expect(args).toContain('-chardev socket,id=control,fd=5 -mon chardev=control,mode=control');
  expect(args).toContain('-kernel /proc/self/fd/6');
  expect(args).not.toContain('/run/console.log');
});

test('a guest of aarch64 has Arm’s machine, PCI, a serial port of its own and one on the bus', () => {
  const args = argumentsFor({ arch: 'aarch64' }).join(' ');
  expect(qemu.program('aarch64')).toBe('qemu-system-aarch64');
  expect(args).toContain('-machine virt,memory-backend=memory -accel tcg -cpu cortex-a57');
  expect(args).toContain('virtio-blk-pci');
  expect(args).toContain('-append console=ttyAMA0 quiet panic=-1 cryptomgr.notests cma=0 -drive');
  expect(args).toContain('-chardev file,id=console,path=/run/console.log -serial chardev:console');
  expect(args).toContain('-device pci-serial,chardev=reason');
  expect(args).not.toContain('isa-serial');
});

test.each([
  { arch: 'aarch64', machine: 'q35' },
  { arch: 'x86_64', machine: 'virt' },
] as const)('%j do not go together', (given) => {
  expect(() => argumentsFor(given)).toThrow(expect.objectContaining({ code: 'usage' }));
});
