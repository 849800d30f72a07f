/** Group testing: which of several things cause which differences. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bisect } from '../../../../src/builder/check/bisect.ts';
import { decode, planTrials } from '../../../../src/builder/check/decode.ts';

describe('a plan of trials', () => {
  test('takes few', () => {
    expect([0, 1, 2, 3, 6, 10, 12, 20].map((things) => planTrials(things).trials)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 6,
    ]);
  });

  test('has each thing on in trials of its own, and none in all of another one’s', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 30 }), (things) => {
        const { codes, trials } = planTrials(things);
        expect(codes.length).toBe(things);
        for (const [a, code] of codes.entries()) {
          expect(code.every((trial) => trial >= 0 && trial < trials)).toBe(true);
          for (const [b, other] of codes.entries()) {
            expect(a !== b && code.every((trial) => other.includes(trial))).toBe(false);
          }
        }
      }),
      { numRuns: 30 },
    );
  });
});

const seenIn = (codes: readonly (readonly number[])[], things: readonly number[]): Set<number> =>
  new Set(things.flatMap((thing) => codes[thing] ?? []));

test('a difference that one thing makes is led back to it, whatever others there are', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(), (things, seed) => {
      const plan = planTrials(things);
      const thing = seed % things;
      expect(decode(plan, seenIn(plan.codes, [thing]))).toEqual({ kind: 'one', thing });
    }),
  );
});

test('of a difference that several things make, all are candidates', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 20 }), fc.nat(), fc.nat(), (things, x, y) => {
      const plan = planTrials(things);
      const [a, b] = [x % things, y % things];
      fc.pre(a !== b);
      const decoded = decode(plan, seenIn(plan.codes, [a, b]));
      expect(decoded.kind).toBe('several');
      expect(decoded).toMatchObject({
        candidates: expect.arrayContaining([a, b]) as unknown,
      });
    }),
  );
});

test('what shows in too few trials is chance', () => {
  const plan = planTrials(12);
  expect(decode(plan, new Set([0, 1]))).toEqual({ kind: 'none' });
});

describe('bisecting', () => {
  test('finds all things that make a difference alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat({ max: 11 }), { minLength: 1 }), async (guilty) => {
        const all = Array.from({ length: 12 }, (_, index) => index);
        const found = await bisect(all, (group) =>
          Promise.resolve(group.some((each) => guilty.includes(each))),
        );
        expect(found.flat().toSorted((a, b) => a - b)).toEqual(guilty.toSorted((a, b) => a - b));
        expect(found.every((group) => group.length === 1)).toBe(true);
      }),
    );
  });

  test('finds things that it takes together', async () => {
    const found = await bisect([0, 1, 2, 3, 4, 5], (group) =>
      Promise.resolve(group.includes(1) && group.includes(4)),
    );
    expect(found).toEqual([[1, 4]]);
  });
});
