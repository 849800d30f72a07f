import { describe, expect, test } from 'vitest';
import { blake2b256 } from '../../../src/core/blake2b.ts';
import { digestOf, toHex } from '../../../src/core/digest.ts';
import { runTool } from '../../support/tools.ts';

/** Different bytes, whatever the length. */
const pattern = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255);

describe('BLAKE2b-256', () => {
  test.each([
    ['', '0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8'],
    ['abc', 'bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319'],
    [
      'The quick brown fox jumps over the lazy dog',
      '01718cec35cd3d796dd00020e0bfecb473ad23457d063b75eff29c0ffa2e58a9',
    ],
  ])('of %j is the published digest', (text, digest) => {
    expect(toHex(blake2b256(Buffer.from(text)))).toBe(digest);
    expect(toHex(digestOf('blake2b-256', Buffer.from(text)))).toBe(digest);
  });

  test('is what another implementation gives, for lengths around whole blocks', () => {
    const lengths = [1, 63, 64, 127, 128, 129, 255, 256, 257, 384, 4096, 4128, 70_001];
    const theirs = runTool('python3', [
      '-c',
      `import hashlib
for n in ${JSON.stringify(lengths)}:
    print(hashlib.blake2b(bytes((i*7+(i>>8))&255 for i in range(n)), digest_size=32).hexdigest())`,
    ]);
    expect(lengths.map((length) => toHex(blake2b256(pattern(length))))).toEqual(
      theirs.stdout.trim().split('\n'),
    );
  });
});
