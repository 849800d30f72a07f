import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeLz4Block, decodeLz4Prefix } from '../../../../src/compression/lz4/decode.ts';
import { FormatError } from '../../../../src/core/errors.ts';

describe('decodeLz4Block()', () => {
  test('a match may overlap its own output', () => {
    const block = Uint8Array.of(0x36, 0x61, 0x62, 0x63, 3, 0, 0x20, 0x79, 0x7a);
    const target = new Uint8Array(20);
    expect(decodeLz4Block(block, 0, block.length, target, 2, 20)).toBe(15);
    expect(Buffer.from(target.subarray(2, 17)).toString()).toBe('abcabcabcabcayz');
    expect(() => decodeLz4Block(block, 0, block.length, target, 2, 16)).toThrow(
      'more than was announced',
    );
  });

  test.each([
    ['a match before the start', [0x10, 0x61, 2, 0, 0x00]],
    ['a match of distance 0', [0x10, 0x61, 0, 0, 0x00]],
    ['literals behind the end', [0xf0, 0xff, 0xff]],
    ['a length that does not end', [0xff, 0xff]],
    ['half an offset', [0x10, 0x61, 1]],
    ['an end behind a match', [0x10, 0x61, 1, 0]],
  ])('refuses %s', (_, block) => {
    const source = Uint8Array.from(block);
    const decode = (): unknown =>
      decodeLz4Block(source, 0, source.length, new Uint8Array(64), 0, 64);
    expect(decode).toThrow(FormatError);
  });

  test('any bytes decode within their bounds or give a FormatError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (source) => {
        const target = new Uint8Array(300).fill(7);
        try {
          decodeLz4Block(source, 0, source.length, target, 50, 250);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
        expect(target.subarray(0, 50).every((byte) => byte === 7)).toBe(true);
        expect(target.subarray(250).every((byte) => byte === 7)).toBe(true);
      }),
    );
  });
});

describe('decodeLz4Prefix()', () => {
  test('stops within literals and within a match when the target is full', () => {
    const block = Uint8Array.of(0x36, 0x61, 0x62, 0x63, 3, 0, 0x20, 0x79, 0x7a);
    for (let length = 0; length <= 15; length++) {
      const target = new Uint8Array(length);
      decodeLz4Prefix(block, target);
      expect(Buffer.from(target).toString()).toBe('abcabcabcabcayz'.slice(0, length));
    }
    expect(() => decodeLz4Prefix(block, new Uint8Array(16))).toThrow(FormatError);
  });

  test('needs of the block no more than it wants', () => {
    const target = new Uint8Array(5);
    decodeLz4Prefix(Uint8Array.of(0x36, 0x61, 0x62, 0x63, 3, 0), target);
    expect(Buffer.from(target).toString()).toBe('abcab');
    decodeLz4Prefix(Uint8Array.of(0xff, 200, ...Buffer.from('hello')), target);
    expect(Buffer.from(target).toString()).toBe('hello');
  });
});
