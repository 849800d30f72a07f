import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CODEWORD } from '../../../../src/verity/fec/layout.ts';
import { decodeCodeword, decodeColumns } from '../../../../src/verity/fec/reed-solomon.ts';
import { tableFecEncoder } from '../../../../src/verity/fec/table-encoder.ts';

/** A codeword over pseudo-random bytes. */
function codewordOf(roots: number, seed: number): Uint8Array {
  const codeword = new Uint8Array(CODEWORD);
  for (let i = 0; i < CODEWORD - roots; i += 1) {
    codeword[i] = Math.imul(i + seed, 2654435761) >>> 24;
  }
  void tableFecEncoder.encode(
    roots,
    codeword.subarray(0, CODEWORD - roots),
    1,
    codeword.subarray(CODEWORD - roots),
  );
  return codeword;
}

const damage = fc.integer({ min: 2, max: 24 }).chain((roots) =>
  fc.record({
    roots: fc.constant(roots),
    seed: fc.integer(),
    places: fc.shuffledSubarray(
      Array.from({ length: CODEWORD }, (_, i) => i),
      { minLength: roots, maxLength: roots },
    ),
    erasures: fc.integer({ min: 0, max: roots }),
    flips: fc.array(fc.integer({ min: 1, max: 255 }), { minLength: roots, maxLength: roots }),
  }),
);

describe('decodeCodeword', () => {
  test('corrects any e erasures and t errors with e + 2t up to the number of roots', () => {
    fc.assert(
      fc.property(damage, ({ roots, seed, places, erasures, flips }) => {
        const good = codewordOf(roots, seed);
        const bad = good.slice();
        const errors = Math.floor((roots - erasures) / 2);
        const wrong = places.slice(0, erasures + errors);
        for (const [i, place] of wrong.entries()) bad[place]! ^= flips[i]!;
        expect(decodeCodeword(bad, roots, places.slice(0, erasures))).toBe(wrong.length);
        expect(bad).toEqual(good);
      }),
      { numRuns: 400 },
    );
  });

  test('an erasure that was right after all is left alone', () => {
    const good = codewordOf(4, 7);
    const bad = good.slice();
    bad[9]! ^= 1;
    expect(decodeCodeword(bad, 4, [9, 10, 11])).toBe(1);
    expect(bad).toEqual(good);
  });

  test('too many errors change nothing, or lead to another codeword, never to none', () => {
    fc.assert(
      fc.property(damage, ({ roots, seed, places, flips }) => {
        const bad = codewordOf(roots, seed);
        for (const [i, place] of places.entries()) bad[place]! ^= flips[i]!;
        const before = bad.slice();
        const changed = decodeCodeword(bad, roots);
        if (changed === undefined) expect(bad).toEqual(before);
        else expect(decodeCodeword(bad.slice(), roots)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  test('more erasures than roots are refused', () => {
    const bad = codewordOf(2, 1);
    bad[0]! ^= 1;
    expect(decodeCodeword(bad, 2, [0, 1, 2])).toBeUndefined();
  });
});

describe('decodeColumns', () => {
  test('gives the same as decoding each column, with whole rows erased and single errors besides', () => {
    fc.assert(
      fc.property(damage, ({ roots, seed, places, erasures, flips }) => {
        const width = 5;
        const good = Array.from({ length: width }, (_, i) => codewordOf(roots, seed + i * 1000));
        const matrix = new Uint8Array(CODEWORD * width);
        for (const [column, codeword] of good.entries()) {
          for (let row = 0; row < CODEWORD; row += 1) matrix[row * width + column] = codeword[row]!;
        }
        const erased = places.slice(0, erasures);
        for (const [i, row] of erased.entries()) {
          for (let column = 0; column < width; column += 1)
            matrix[row * width + column] = flips[i]!;
        }
        // As many more errors as can be corrected, in one column.
        const errors = Math.floor((roots - erasures) / 2);
        const [column] = [seed & 3];
        for (const [i, row] of places.slice(erasures, erasures + errors).entries()) {
          matrix[row * width + column]! ^= flips[i]!;
        }
        expect(decodeColumns(matrix, width, roots, erased).failed).toBe(0);
        for (const [at, codeword] of good.entries()) {
          for (let row = 0; row < CODEWORD; row += 1) {
            if (matrix[row * width + at] !== codeword[row]) expect([at, row]).toBeUndefined();
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test('a column beyond repair is counted and left as it was', () => {
    const roots = 2;
    const matrix = codewordOf(roots, 3);
    // Their sum is zero, which no single error has.
    for (const place of [3, 70]) matrix[place]! ^= 77;
    const before = matrix.slice();
    const result = decodeColumns(matrix, 1, roots, []);
    expect(result).toEqual({ corrected: 0, failed: 1 });
    expect(matrix).toEqual(before);
  });
});
