/**
 * Who put the names of a tree there: one number for each, in the order in which `walk` visits them, as runs of
 * `[count, number]`.
 */

import { walk, type Directory, type Inode } from './file-tree.ts';

/** Runs of `[count, number]`; two runs beside each other have different numbers. */
export type OriginRuns = readonly (readonly [count: number, origin: number])[];

/** @param originOf Asked once for every name, in the order of `walk`. */
export function originRuns(root: Directory, originOf: (inode: Inode) => number): OriginRuns {
  const runs: [number, number][] = [];
  walk(root, (_path, inode) => {
    const origin = originOf(inode);
    const last = runs.at(-1);
    if (last?.[1] === origin) last[0] += 1;
    else runs.push([1, origin]);
  });
  return runs;
}

/** The numbers again: one for every name. */
export function* expandRuns(runs: OriginRuns): Generator<number> {
  for (const [count, origin] of runs) {
    for (let index = 0; index < count; index += 1) yield origin;
  }
}
