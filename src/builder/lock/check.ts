/** Whether a lock fits its recipe. Nothing is asked but the files beside the recipe. */

import type { Lock } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { whyNotPinned } from '../lock.ts';
import { lineOf, type RecipeLine } from './changes.ts';
import { isKernelOf, kernelDigest } from './kernel-facts.ts';
import { fileDifferences } from './tool-pins.ts';
import { allWantsOf } from './wants.ts';

/** One thing that does not fit. */
export interface LockProblem {
  /** A name of the recipe or of the lock. */
  readonly name: string;
  readonly message: string;
  /** Where the recipe asks for it; undefined when it does not. */
  readonly askedBy: RecipeLine | undefined;
}

/** All that is missing, left over, or another than the lock says; empty when `lock` would change nothing. */
export async function checkLock(recipe: Recipe, lock: Lock): Promise<LockProblem[]> {
  const { wants } = allWantsOf(recipe);
  const line = (name: string): RecipeLine | undefined => {
    const want = wants.find((each) => each.name === name);
    return want && lineOf(want.recipe, want.at);
  };
  const problems = wants.flatMap((want): LockProblem[] => {
    const why = whyNotPinned(lock, want);
    const { name } = want;
    return why === undefined ? [] : [{ name, message: `${name} ${why}`, askedBy: line(name) }];
  });

  const asked = new Set(wants.map(({ section, name }) => `${section} ${name}`));
  for (const want of wants) {
    if (want.section !== 'debs' || !want.dependencies) continue;
    for (const name of lock.debs[want.name]?.dependencies ?? []) asked.add(`debs ${name}`);
  }
  for (const section of ['debs', 'archives', 'files', 'oci', 'git'] as const) {
    for (const name of Object.keys(lock[section])) {
      if (asked.has(`${section} ${name}`)) continue;
      const message = `${name} is pinned, but nothing asks for it`;
      problems.push({ name, message, askedBy: undefined });
    }
  }
  const kernel = kernelDigest(recipe, lock);
  if (lock.kernel !== undefined && kernel !== undefined && !isKernelOf(recipe, lock, lock.kernel)) {
    const message = 'what the lock says of the kernel is of another one';
    problems.push({ name: 'kernel', message, askedBy: lineOf(recipe, ['kernel', 'source']) });
  }
  for (const { name, message } of await fileDifferences(recipe, lock)) {
    problems.push({ name, message, askedBy: line(name) });
  }
  return problems;
}
