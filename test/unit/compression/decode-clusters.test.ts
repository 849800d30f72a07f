/** Decoders of data whose decompressed size is known: bounded, exact when asked. */

import fc from 'fast-check';
import { deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { inflateRawPrefix } from '../../../src/compression/deflate-decode.ts';
import { decodeZstdFrame } from '../../../src/compression/zstd/decode-frame.ts';
import { FormatError } from '../../../src/core/errors.ts';

const text = Buffer.from(Array.from({ length: 3000 }, (_, i) => `${i * i} `).join(''));
const bytesOf = (data: Uint8Array): Uint8Array => new Uint8Array(data);

/** A frame of raw blocks of at most 1000 bytes, in a window of 1 KiB. */
function zstdFrame(data: Uint8Array): Buffer {
  const parts = [Buffer.from('28b52ffd0000', 'hex')];
  for (let at = 0; at < data.length; at += 1000) {
    const block = data.subarray(at, at + 1000);
    const head = Buffer.alloc(3);
    head.writeUIntLE((block.length << 3) | (at + 1000 >= data.length ? 1 : 0), 0, 3);
    parts.push(head, Buffer.from(block));
  }
  return Buffer.concat(parts);
}

describe.each([
  { name: 'inflateRawPrefix', decode: inflateRawPrefix, encode: deflateRawSync },
  { name: 'decodeZstdFrame', decode: decodeZstdFrame, encode: zstdFrame },
])('$name', ({ decode, encode }) => {
  const packed = bytesOf(encode(text));

  test('gives all of it or any beginning', () => {
    expect(decode(packed, text.length)).toEqual(bytesOf(text));
    expect(decode(packed, text.length, true)).toEqual(bytesOf(text));
    expect(decode(packed, 5)).toEqual(bytesOf(text.subarray(0, 5)));
    expect(decode(packed, 0)).toEqual(new Uint8Array(0));
  });

  test.each([
    ['less than was asked for', packed, text.length + 1, false],
    ['more than there must be', packed, text.length - 1, true],
    ['bytes behind it', bytesOf(Buffer.concat([packed, Buffer.from('x')])), text.length, true],
    ['an end that is cut off', packed.subarray(0, -1), text.length, true],
    ['nothing', new Uint8Array(0), 1, false],
  ])('%s is refused', (_, input, length, isExact) => {
    expect(() => decode(input, length, isExact)).toThrow(FormatError);
  });

  test('any bytes fill the target or are refused', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.nat(3000),
        fc.boolean(),
        (junk, size, exact) => {
          try {
            expect(decode(junk, size, exact)).toHaveLength(size);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test('any change is read or refused', () => {
    fc.assert(
      fc.property(fc.nat(packed.length - 1), fc.nat(255), (at, value) => {
        const changed = packed.slice();
        changed[at] = value;
        try {
          expect(decode(changed, text.length)).toHaveLength(text.length);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 200 },
    );
  });
});

test('a stream that goes on without bounds is not followed', () => {
  const bomb = bytesOf(deflateRawSync(Buffer.alloc(20 << 20)));
  expect(inflateRawPrefix(bomb, 1000, false, 32 << 20)).toEqual(new Uint8Array(1000));
  expect(() => inflateRawPrefix(bomb, 1000)).toThrow(/more than/);
});

test('a zstd frame with a window that no cluster needs is refused', () => {
  const frame = bytesOf(zstdFrame(text));
  frame[5] = 21 << 3;
  expect(() => decodeZstdFrame(frame, text.length)).toThrow(/window/);
});
