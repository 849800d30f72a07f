/**
 * Which of several things cause which differences, in few trials: each trial has some of the things on, so that each
 * thing is on in another set of trials, and none in all those of another one. A difference that shows in just the
 * trials of one thing comes from it, however many other differences there are.
 */

/** For each thing the trials that it is on in. All sets have the same size, so none holds another. */
export interface TrialPlan {
  readonly trials: number;
  readonly codes: readonly (readonly number[])[];
}

/** The fewest trials for that many things: six for twenty, five for ten. */
export function planTrials(things: number): TrialPlan {
  if (things <= 1) return { trials: things, codes: things === 0 ? [] : [[0]] };
  let trials = 2;
  while (binomial(trials, trials >> 1) < things) trials += 1;
  return { trials, codes: subsets(trials, trials >> 1).slice(0, things) };
}

const binomial = (n: number, k: number): number =>
  k === 0 ? 1 : Math.round((binomial(n - 1, k - 1) * n) / k);

/** All sets of `size` numbers below `count`, in lexical order. */
function subsets(count: number, size: number, from = 0): number[][] {
  if (size === 0) return [[]];
  return Array.from({ length: count - from - size + 1 }, (_, index) => from + index).flatMap(
    (first) => subsets(count, size - 1, first + 1).map((rest) => [first, ...rest]),
  );
}

/** What is known of one difference. */
export type Decoded =
  /** It comes from this thing alone. */
  | { readonly kind: 'one'; readonly thing: number }
  /** It shows in too many trials for one: from some of these things, each by itself or together. */
  | { readonly kind: 'several'; readonly candidates: readonly number[] }
  /** It shows in too few trials for any: chance. */
  | { readonly kind: 'none' };

/** @param seen The trials that a difference showed in. */
export function decode({ codes }: TrialPlan, seen: ReadonlySet<number>): Decoded {
  const candidates = codes.flatMap((code, thing) =>
    code.every((trial) => seen.has(trial)) ? [thing] : [],
  );
  const [first] = candidates;
  if (first === undefined) return { kind: 'none' };
  return codes[first]?.length === seen.size
    ? { kind: 'one', thing: first }
    : { kind: 'several', candidates };
}
