/**
 * `vm.json`: Android's VmConfig (VirtualMachineRawConfig as JSON), with the keys that mean something
 * outside Android. Read strictly: it may come from a stranger.
 *
 * @see packages/modules/Virtualization libs/vmconfig
 */

import { FormatError } from '../core/errors.ts';
import { BUNDLE_FILES } from './layout.ts';

export interface VmConfig {
  readonly name: string;
  /** File names inside the bundle. */
  readonly kernel: string;
  readonly initrd: string;
  readonly disks: readonly { readonly image: string; readonly writable: boolean }[];
  readonly protected: boolean;
  /** In MiB. */
  readonly memory_mib: number;
  readonly cpu_topology: string;
  /** Version requirement of the platform, as Android writes it. */
  readonly platform_version: string;
}

/** The configuration of a bundle. */
export function vmConfig(vm: {
  name: string;
  memoryMib: number;
  cpus: number;
  debuggable: boolean;
}): VmConfig {
  return {
    name: vm.name,
    kernel: BUNDLE_FILES.kernel,
    initrd: vm.debuggable ? BUNDLE_FILES.initrdDebuggable : BUNDLE_FILES.initrdNormal,
    disks: [
      { image: BUNDLE_FILES.os, writable: false },
      { image: BUNDLE_FILES.payload, writable: false },
    ],
    protected: false,
    memory_mib: vm.memoryMib,
    cpu_topology: vm.cpus === 1 ? 'one_cpu' : `cpu_count=${vm.cpus}`,
    platform_version: '~1.0',
  };
}

/** @throws {FormatError} naming the field that is not as it must be. */
export function parseVmConfig(text: string): VmConfig {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new FormatError('vm.json', 'bad-value', 'Cannot read vm.json: it is not JSON', { cause });
  }
  const fail = (field: string, wanted: string): never => {
    throw new FormatError('vm.json', 'bad-value', `Cannot use vm.json: ${field} is not ${wanted}`, {
      field,
    });
  };
  if (value === null || typeof value !== 'object' || Array.isArray(value)) fail('it', 'an object');
  const textOf = (field: string, pattern: RegExp): string => {
    const each = value[field];
    return typeof each === 'string' && pattern.test(each) ? each : fail(field, `a text ${pattern}`);
  };
  const fileName = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,100}$/;
  const memory = value['memory_mib'];
  const disks = value['disks'];
  if (!Number.isInteger(memory) || (memory as number) < 64 || (memory as number) > 65536) {
    fail('memory_mib', 'a whole number from 64 to 65536');
  }
  if (!Array.isArray(disks) || disks.length > 8) fail('disks', 'a list of at most 8');
  return {
    name: textOf('name', /^[a-z0-9][a-z0-9._-]{0,62}$/),
    kernel: textOf('kernel', fileName),
    initrd: textOf('initrd', fileName),
    disks: (disks as (Record<string, unknown> | null)[]).map((disk, index) => {
      const image = disk?.['image'];
      if (typeof image !== 'string' || !fileName.test(image)) {
        return fail(`disks[${index}].image`, 'a file name');
      }
      if (disk?.['writable'] !== false) return fail(`disks[${index}].writable`, 'false');
      return { image, writable: false };
    }),
    protected: value['protected'] === false ? false : fail('protected', 'false'),
    memory_mib: memory as number,
    cpu_topology: textOf('cpu_topology', /^(?:one_cpu|match_host|cpu_count=[1-9]\d?)$/),
    platform_version: textOf('platform_version', /^[~^=<>]?\d+(?:\.\d+){0,2}$/),
  };
}

/** How many CPUs a topology asks for; `match_host` is the host's number. */
export function cpuCount(topology: string, hostCpus: number): number {
  if (topology === 'match_host') return hostCpus;
  return topology === 'one_cpu' ? 1 : Number(topology.slice('cpu_count='.length));
}
