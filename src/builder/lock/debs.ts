/** The packages of a lock. */

import { UsageError } from '../../core/errors.ts';
import type { Lock, LockedDeb } from '../../recipe/lockfile.ts';
import type { PackageIndex } from '../sources/apt.ts';
import type { Want } from './wants.ts';

type DebWant = Extract<Want, { section: 'debs' }>;

/** Pins the wanted packages; the index is opened when one of them is stale. */
export async function lockDebs(
  wants: readonly DebWant[],
  before: Lock,
  isStale: (want: DebWant) => boolean,
  openIndex: () => Promise<PackageIndex>,
): Promise<Record<string, LockedDeb>> {
  const stale = wants.filter(isStale);
  const debs: Record<string, LockedDeb> = {};
  const index = stale.length === 0 ? undefined : await openIndex();
  for (const want of wants) {
    const known = before.debs[want.name];
    if (index !== undefined && stale.includes(want)) {
      debs[want.name] = await index.resolve(want.name, want.follow);
    } else if (known !== undefined) {
      debs[want.name] = known;
    } else {
      throw new UsageError('lock', `microbuild.lock does not pin ${want.name}`);
    }
  }
  return debs;
}
