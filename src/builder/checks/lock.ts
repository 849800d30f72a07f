/** What does not come with the recipe is pinned. */

import { UsageError } from '../../core/errors.ts';
import { isRequired, readLock, whyNotPinned } from '../lock.ts';
import { wantsOf } from '../lock/wants.ts';
import { emptyLock } from '../../recipe/lockfile.ts';
import type { CheckContext } from './context.ts';

export async function checkLock(context: CheckContext): Promise<void> {
  const { recipe } = context;
  if (!context.isLockNeeded || !context.isSound(['arch'])) return;
  let lock;
  try {
    lock = (await readLock(recipe)) ?? emptyLock;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    context.tell([], error.message, error.hint);
    return;
  }
  for (const want of wantsOf(recipe)) {
    const why = isRequired(want) ? whyNotPinned(lock, want) : undefined;
    if (why === undefined) continue;
    const message = `"${want.name}" ${why} in microbuild.lock`;
    context.tell(want.at, message, `Pin it: microbuild lock ${recipe.directory}`);
  }
}
