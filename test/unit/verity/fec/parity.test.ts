import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CODEWORD } from '../../../../src/verity/fec/layout.ts';
import { divide, multiply, power } from '../../../../src/verity/fec/galois.ts';
import { tableFecEncoder } from '../../../../src/verity/fec/table-encoder.ts';

/** Multiplication as it is defined: carry-less, then reduced. */
function slowMultiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit += 1) if ((b >> bit) & 1) product ^= a << bit;
  for (let bit = 15; bit >= 8; bit -= 1) if ((product >> bit) & 1) product ^= 0x11d << (bit - 8);
  return product;
}

describe('GF(2^8)', () => {
  test('products are those of polynomials, and quotients undo them', () => {
    const wrong: number[][] = [];
    for (let a = 0; a < 256; a += 1) {
      for (let b = 0; b < 256; b += 1) {
        const product = multiply(a, b);
        const isUndone = b === 0 || divide(product, b) === a;
        if (product !== slowMultiply(a, b) || !isUndone) wrong.push([a, b]);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('tableFecEncoder', () => {
  test('every codeword is a multiple of the generator, for any number of roots', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 24 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer(),
        (roots, width, seed) => {
          const rows = new Uint8Array((CODEWORD - roots) * width);
          for (let i = 0; i < rows.length; i += 1) rows[i] = Math.imul(i + seed, 2654435761) >>> 24;
          const parity = new Uint8Array(width * roots);
          void tableFecEncoder.encode(roots, rows, width, parity);
          const column = width - 1;
          const codeword = [
            ...Array.from({ length: CODEWORD - roots }, (_, row) => rows[row * width + column]!),
            ...parity.subarray(column * roots),
          ];
          for (let root = 0; root < roots; root += 1) {
            const value = codeword.reduce((sum, symbol) => multiply(sum, power(root)) ^ symbol, 0);
            expect(value).toBe(0);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  test('buffers that are too small are refused', () => {
    const rows = new Uint8Array(253 * 8);
    expect(() => tableFecEncoder.encode(2, rows, 9, new Uint8Array(18))).toThrow(RangeError);
    expect(() => tableFecEncoder.encode(2, rows, 8, new Uint8Array(15))).toThrow(RangeError);
  });
});
