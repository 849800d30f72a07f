import { expect, test } from 'vitest';
import { formatCommand } from '../../../../src/runner/command-line.ts';
import { chooseMachine, kernelCommandLine, qemu } from '../../../../src/runner/vmm/qemu.ts';
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
  vsockSocket: '/run/vhost.sock',
  controlSocket: '/run/qmp.sock',
  consoleFile: '/run/console.log',
  reasonFile: '/run/reason.log',
};

test('an emulated q35 has PCI devices and asks for no TSC', () => {
  expect(formatCommand([qemu.program, ...qemu.arguments(SPEC)]).replaceAll(' -', '\n-'))
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
  const args = qemu.arguments({ ...SPEC, tscKhz: 2_445_426, rng: true }).join(' ');
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
  const args = qemu.arguments({ ...SPEC, accelerator: 'kvm', tscKhz: 5 });
  expect(args).toContain('host');
  expect(kernelCommandLine({ accelerator: 'kvm', tscKhz: 5 })).not.toContain('tsc');
});

test('an emulated microvm without a TSC would hang, so it is refused', () => {
  expect(() => qemu.arguments({ ...SPEC, machine: 'microvm' })).toThrow(/TSC/);
});

test('a serial that QEMU would read as options is refused', () => {
  const disks = [{ path: '/d', serial: 'os,readonly=off' }];
  expect(() => qemu.arguments({ ...SPEC, disks })).toThrow(RangeError);
});

test('a user adds words to the kernel command line and to QEMU', () => {
  const args = qemu.arguments({
    ...SPEC,
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
  expect(qemu.arguments({ ...SPEC, disks })).toContain(
    'file=/b/hello.mbundle,if=none,id=disk0,format=raw,readonly=on,offset=58503168,size=3911680',
  );
});
