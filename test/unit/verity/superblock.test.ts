import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/core/errors.ts';
import {
  decodeSuperblock,
  dumpSuperblock,
  encodeSuperblock,
  type Superblock,
} from '../../../src/verity/superblock.ts';
import { deriveUuid, parseUuid, uuidText } from '../../../src/verity/uuid.ts';

const good: Superblock = {
  hashType: 1,
  uuid: Uint8Array.from({ length: 16 }, (_, i) => i * 17),
  algorithm: 'sha256',
  dataBlockSize: 4096,
  hashBlockSize: 4096,
  dataBlocks: 300,
  salt: new Uint8Array([1, 2, 3]),
};

/** The code and field that a change of the encoded superblock is refused with. */
function refusal(
  change: (view: DataView) => void,
): [string, string | undefined, number | undefined] {
  const bytes = encodeSuperblock(good);
  change(new DataView(bytes.buffer));
  try {
    decodeSuperblock(bytes, 1024);
  } catch (error) {
    if (error instanceof FormatError) return [error.code, error.field, error.offset];
    throw error;
  }
  return ['accepted', undefined, undefined];
}

describe('superblock', () => {
  test('what is encoded is decoded again', () => {
    fc.assert(
      fc.property(
        fc.record({
          hashType: fc.constantFrom(0 as const, 1 as const),
          uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
          algorithm: fc.constantFrom('sha1', 'sha256', 'sha384', 'sha512', 'blake2b-256'),
          dataBlockSize: fc.integer({ min: 9, max: 16 }).map((bits) => 2 ** bits),
          hashBlockSize: fc.integer({ min: 9, max: 16 }).map((bits) => 2 ** bits),
          dataBlocks: fc.integer({ min: 1, max: 2 ** 31 }),
          salt: fc.uint8Array({ maxLength: 256 }),
        }) as fc.Arbitrary<Superblock>,
        (superblock) => {
          expect(decodeSuperblock(encodeSuperblock(superblock))).toEqual(superblock);
        },
      ),
      { numRuns: 100 },
    );
  });

  test.each<[string, (view: DataView) => void, string, string, number]>([
    ['another signature', (v) => v.setUint8(0, 0), 'bad-magic', 'signature', 0],
    ['version 2', (v) => v.setUint32(8, 2, true), 'bad-version', 'version', 8],
    ['hash type 2', (v) => v.setUint32(12, 2, true), 'unsupported', 'hash_type', 12],
    ['an unknown algorithm', (v) => v.setUint8(35, 0x39), 'unsupported', 'algorithm', 32],
    ['text behind the algorithm', (v) => v.setUint8(60, 0x39), 'bad-value', 'algorithm', 32],
    ['blocks of 256', (v) => v.setUint32(64, 256, true), 'unsupported', 'data_block_size', 64],
    ['blocks of 5000', (v) => v.setUint32(68, 5000, true), 'unsupported', 'hash_block_size', 68],
    ['blocks of 2^31', (v) => v.setUint32(68, 2 ** 31, true), 'unsupported', 'hash_block_size', 68],
    ['no blocks', (v) => v.setBigUint64(72, 0n, true), 'out-of-range', 'data_blocks', 72],
    ['2^41 blocks', (v) => v.setBigUint64(72, 1n << 41n, true), 'out-of-range', 'data_blocks', 72],
    ['2^64 blocks', (v) => v.setBigInt64(72, -1n, true), 'out-of-range', 'data_blocks', 72],
    ['a salt of 257', (v) => v.setUint16(80, 257, true), 'out-of-range', 'salt_size', 80],
    ['bytes behind the salt', (v) => v.setUint8(88 + 3, 1), 'bad-value', 'salt', 88],
    ['padding', (v) => v.setUint8(82, 1), 'bad-value', '_pad1', 82],
    ['padding at the end', (v) => v.setUint8(511, 1), 'bad-value', '_pad2', 344],
  ])('%s is refused, with the field', (_, change, code, field, at) => {
    expect(refusal(change)).toEqual([code, field, 1024 + at]);
  });

  test('any bytes decode or are refused as malformed', () => {
    const whole = encodeSuperblock(good);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 600 }),
        fc.integer({ min: 0, max: 511 }),
        fc.boolean(),
        (junk, at, isPatched) => {
          const bytes = isPatched ? whole.slice() : junk;
          if (isPatched) bytes.set(junk.subarray(0, 512 - at), at);
          try {
            decodeSuperblock(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('it is shown with its texts and places', () => {
    const fields = dumpSuperblock(encodeSuperblock(good), 512);
    expect(fields).toContainEqual({
      name: 'algorithm',
      value: 'sha256',
      offset: 512 + 32,
      size: 32,
    });
    expect(fields).toContainEqual({ name: 'salt', value: '010203', offset: 512 + 88, size: 256 });
    expect(fields.map(({ name }) => name)).not.toContain('_pad1');
  });
});

describe('UUIDs', () => {
  test('text and bytes are one another’s', () => {
    const text = '00112233-4455-6677-8899-aabbccddeeff';
    expect(uuidText(parseUuid(text.toUpperCase()) ?? new Uint8Array(0))).toBe(text);
    expect(parseUuid('00112233-4455-6677-8899-aabbccddeef')).toBeUndefined();
    expect(parseUuid(`${text}\n`)).toBeUndefined();
  });

  test('derived ones have version 8, and depend on purpose and seed', () => {
    const one = uuidText(deriveUuid('a', new Uint8Array([1])));
    expect(one).toMatch(/^.{8}-.{4}-8.{3}-[89ab].{3}-.{12}$/);
    expect(uuidText(deriveUuid('b', new Uint8Array([1])))).not.toBe(one);
    expect(uuidText(deriveUuid('a', new Uint8Array([2])))).not.toBe(one);
  });
});
