/** Contents of files that compress in different ways. */

import { createCipheriv, createHash } from 'node:crypto';
import fc from 'fast-check';
import { testBytes } from '../formats/erofs/trees.ts';

/** Text that compresses well, in which no two places are the same. */
const text = ((): Buffer => {
  let state = 1;
  const words = Array.from({ length: 100_000 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return `some word ${(state >>> 16) % 500} `;
  });
  return Buffer.from(words.join(''));
})();

/** Parts of files: what compresses well, less so, and not at all. */
export const parts = {
  zeros: (size: number): Uint8Array => new Uint8Array(size),
  bytes: (size: number, seed: number): Uint8Array => testBytes(size, seed),
  words(size: number, seed: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at += text.length) {
      bytes.set(text.subarray((seed * 997) % 100_000).subarray(0, size - at), at);
    }
    return bytes;
  },
  noise(size: number, seed: number): Uint8Array {
    const key = createHash('sha256').update(`${seed}`).digest();
    return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
  },
};
export type Part = readonly [kind: keyof typeof parts, size: number];

export const bytesOf = (content: readonly Part[], seed = 0): Buffer =>
  Buffer.concat(content.map(([kind, size], index) => parts[kind](size, seed + index)));

export const partArbitrary: fc.Arbitrary<Part> = fc.tuple(
  fc.constantFrom('zeros', 'bytes', 'words', 'noise'),
  fc.oneof(
    fc.nat(5000),
    fc.nat(100_000),
    fc.constantFrom(4032, 4064, 4095, 4096, 4097, 8192, 65_536, 131_072),
  ),
);
