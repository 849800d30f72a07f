/** Which of several things make a difference, in as few trials as halving takes. */

/**
 * Finds the smallest groups that make a difference by themselves: single ones, unless it takes several at once.
 *
 * @param differs Whether all of a group together make one. It has said yes of the whole.
 * @returns disjoint groups; where it takes several at once, such a group is as small as leaving out one after the other gets it.
 */
export async function bisect<T>(
  whole: readonly T[],
  differs: (group: readonly T[]) => Promise<boolean>,
): Promise<T[][]> {
  if (whole.length <= 1) return [[...whole]];
  const middle = Math.ceil(whole.length / 2);
  const halves = [whole.slice(0, middle), whole.slice(middle)];
  const found: T[][] = [];
  for (const half of halves) {
    if (await differs(half)) found.push(...(await bisect(half, differs)));
  }
  return found.length > 0 ? found : [await shrink(whole, differs)];
}

/** Neither half is enough: leaves out whatever is not needed. */
async function shrink<T>(
  whole: readonly T[],
  differs: (group: readonly T[]) => Promise<boolean>,
): Promise<T[]> {
  let group = [...whole];
  for (const each of whole) {
    const without = group.filter((other) => other !== each);
    if (without.length > 0 && (await differs(without))) group = without;
  }
  return group;
}
