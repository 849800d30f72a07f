import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareNames } from '../../../src/io/file-tree.ts';

describe('compareNames()', () => {
  it('orders names by their UTF-8 bytes', () => {
    const unit = fc.constantFrom(
      'a',
      'b',
      '!',
      'é',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '\u{10000}',
      '\u{1f600}',
      '\u{10ffff}',
    );
    const name = fc.oneof(
      fc.array(unit, { maxLength: 6 }).map((units) => units.join('')),
      fc.string({ unit: 'grapheme' }),
    );
    fc.assert(
      fc.property(name, name, (a, b) => {
        const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareNames(a, b))).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });
});
