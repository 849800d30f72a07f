/** Refuses what a monitor was asked for and cannot do, by name. */

import { UsageError } from '../../core/errors.ts';
import { LIMITS, type Vmm, type VmmDisk, type VmmLimit, type VmmSpec } from './vmm.ts';

type Asked = Pick<VmmSpec, 'accelerator' | 'arch' | 'machine'> & {
  readonly disks: readonly Pick<VmmDisk, 'offset' | 'size'>[];
};

/** What a specification needs that not every monitor has. */
export function askedFor(spec: Asked): readonly VmmLimit[] {
  const { accelerator, arch, machine, disks } = spec;
  const needs: readonly (readonly [VmmLimit, boolean])[] = [
    ['emulation', accelerator === 'tcg'],
    ['aarch64', arch === 'aarch64'],
    ['machine', machine !== undefined],
    ['disk-serials', disks.length > 0],
    ['disk-parts', disks.some(({ offset, size }) => offset !== undefined || size !== undefined)],
  ];
  return needs.filter(([, needed]) => needed).map(([limit]) => limit);
}

/**
 * @param except What does not matter here.
 * @throws {UsageError} naming the first thing that was asked for and that this monitor cannot do.
 */
export function checkLimits(
  vmm: Pick<Vmm, 'name' | 'limits'>,
  spec: Asked,
  except: readonly VmmLimit[] = [],
): void {
  const limit = askedFor(spec).find((each) => vmm.limits.includes(each) && !except.includes(each));
  if (limit === undefined) return;
  throw new UsageError('usage', `Cannot use ${vmm.name}: it cannot ${LIMITS[limit]}`, {
    hint: 'Use --vmm qemu, which can',
  });
}
