/** The monitors by their names. */

import { cloudHypervisor } from './cloud-hypervisor.ts';
import { crosvm } from './crosvm.ts';
import { firecracker } from './firecracker.ts';
import { qemu } from './qemu.ts';
import type { Vmm, VmmName } from './vmm.ts';

const VMMS: Readonly<Record<VmmName, Vmm>> = {
  qemu,
  crosvm,
  'cloud-hypervisor': cloudHypervisor,
  firecracker,
};

export const VMM_NAMES = Object.keys(VMMS) as readonly VmmName[];

export const vmmNamed = (name: VmmName): Vmm => VMMS[name];
