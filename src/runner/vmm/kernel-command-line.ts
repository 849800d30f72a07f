/** The kernel command line: console, panic and reboot behaviour, boot speed. The guest decides nothing by it. */

import type { VmmSpec } from './vmm.ts';

type Told = Pick<VmmSpec, 'arch' | 'accelerator' | 'tscKhz' | 'kernelArguments'>;

export function kernelCommandLine(spec: Told): string {
  const { arch = 'x86_64', accelerator, tscKhz, kernelArguments = [] } = spec;
  return [
    // The first serial port of a PC, or the PL011 of Arm's virt machine.
    arch === 'aarch64' ? 'console=ttyAMA0' : 'console=ttyS0',
    'quiet',
    // A panic must end the machine at once: a reset is an exit.
    'panic=-1',
    ...(arch === 'x86_64' ? ['reboot=t'] : []),
    // The self tests of the crypto API are the largest single cost of an emulated boot.
    'cryptomgr.notests',
    // Debian's kernel for Arm sets memory for devices aside that small machines do not have.
    ...(arch === 'x86_64' ? ['noreplace-smp'] : ['cma=0']),
    ...(arch === 'x86_64' && accelerator === 'tcg' && tscKhz !== undefined
      ? [`tsc_early_khz=${tscKhz}`, 'tsc=reliable']
      : []),
    ...kernelArguments,
  ].join(' ');
}
