import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/core/errors.ts';
import { type CborValue, decodeCbor, encodeCbor } from '../../../src/dice/cbor.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

/** RFC 8949, appendix A, as far as DICE uses it. */
const KNOWN: readonly (readonly [CborValue, string])[] = [
  [0, '00'],
  [23, '17'],
  [24, '1818'],
  [100, '1864'],
  [1000, '1903e8'],
  [1000000, '1a000f4240'],
  [1000000000000, '1b000000e8d4a51000'],
  [18446744073709551615n, '1bffffffffffffffff'],
  [-18446744073709551616n, '3bffffffffffffffff'],
  [-1, '20'],
  [-100, '3863'],
  [-1000, '3903e7'],
  [false, 'f4'],
  [true, 'f5'],
  [null, 'f6'],
  [bytesOf('01020304'), '4401020304'],
  ['', '60'],
  ['IETF', '6449455446'],
  ['ü', '62c3bc'],
  ['水', '63e6b0b4'],
  [[], '80'],
  [[1, [2, 3], [4, 5]], '8301820203820405'],
  [new Map(), 'a0'],
  [
    new Map<number, CborValue>([
      [1, 2],
      [3, 4],
    ]),
    'a201020304',
  ],
  [
    new Map<string, CborValue>([
      ['a', 1],
      ['b', [2, 3]],
    ]),
    'a26161016162820203',
  ],
];

describe('CBOR', () => {
  it('has the bytes of RFC 8949', () => {
    for (const [value, text] of KNOWN) {
      expect(hex(encodeCbor(value))).toBe(text);
      expect(decodeCbor(bytesOf(text))).toEqual(value);
    }
  });

  const leaf = fc.oneof(
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
    fc.constantFrom(true, false, null),
  );
  const { value: values } = fc.letrec<{ value: CborValue }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      leaf,
      fc.array(tie('value'), { maxLength: 4 }),
      fc
        .uniqueArray(fc.tuple(fc.oneof(fc.maxSafeInteger(), fc.string()), tie('value')), {
          selector: ([key]) => key,
          maxLength: 4,
        })
        .map((entries) => new Map(entries)),
    ),
  }));

  it('gives back every value, and encodes it in the same bytes again', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeCbor(value);
        const decoded = decodeCbor(bytes);
        expect(decoded).toEqual(value);
        expect(hex(encodeCbor(decoded))).toBe(hex(bytes));
      }),
    );
  });

  it('decodes any bytes to the one value whose encoding they are, or refuses them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (junk) => {
        try {
          expect(hex(encodeCbor(decodeCbor(junk)))).toBe(hex(junk));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['a longer form of a number', '1817', 'bad-value'],
    ['a longer form of a size', '580101', 'bad-value'],
    ['an indefinite string', '5f4101ff', 'unsupported'],
    ['an indefinite array', '9fff', 'unsupported'],
    ['a tag', 'c000', 'unsupported'],
    ['a float', 'f93c00', 'unsupported'],
    ['undefined', 'f7', 'unsupported'],
    ['a second key of the same name', 'a201000100', 'duplicate'],
    ['a key that is an array', 'a18000', 'unsupported'],
    ['a text that is not UTF-8', '61ff', 'bad-value'],
    ['bytes behind the value', '0000', 'trailing-data'],
    ['a string that is not there', '5bffffffffffffffff', 'truncated'],
    ['an array that is not there', '9affffffff', 'truncated'],
    ['nothing', '', 'truncated'],
    ['deep nesting', '81'.repeat(5000), 'too-large'],
  ])('refuses %s', (_, text, code) => {
    expect(() => decodeCbor(bytesOf(text))).toThrow(expect.objectContaining({ code }) as Error);
  });
});
