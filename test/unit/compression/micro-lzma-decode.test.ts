import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMicroLzma } from '../../../src/compression/micro-lzma-decode.ts';
import { FormatError } from '../../../src/core/errors.ts';

/** 100000 zeros, by liblzma. */
const zeros = Buffer.from(
  'ogBv/f//o7f/Rz5IFXI5YVG4kijmo4YH+e7kHoLTL8U6PAFLsX7JiopNL6MN2X+m44wjEVPgWRjFdYrid/i2lH8MasDedElk4ulcU7IE1rH2RLVb//+5qgAA',
  'base64',
);

describe('decodeMicroLzma', () => {
  test('makes a run of what it was made from, and any beginning of it', () => {
    expect(decodeMicroLzma(zeros, 100_000).every((byte) => byte === 0)).toBe(true);
    expect(decodeMicroLzma(zeros, 10)).toEqual(new Uint8Array(10));
    expect(decodeMicroLzma(zeros, 0)).toEqual(new Uint8Array(0));
  });

  test('every truncation before the end marker is refused', () => {
    for (let size = 0; size < zeros.length - 16; size += 1) {
      expect(() => decodeMicroLzma(zeros.subarray(0, size), 100_000)).toThrow(FormatError);
    }
  });

  test('properties that no stream has are refused', () => {
    const changed = Buffer.from(zeros);
    changed[0] = ~225 & 0xff;
    expect(() => decodeMicroLzma(changed, 1)).toThrow(/properties/);
  });

  test('any bytes fill the target or are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(5000), (input, size) => {
        try {
          expect(decodeMicroLzma(input, size)).toHaveLength(size);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
