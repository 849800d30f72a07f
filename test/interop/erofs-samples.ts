/** Small files of every kind of data: what compresses, what does not, parts of one another. */

import { createHash } from 'node:crypto';

const text = (seed: number, size: number): Buffer =>
  Buffer.from(
    Array.from({ length: Math.ceil(size / 4) }, (_, i) => `${(i * i + seed) % 9973} `).join(''),
  ).subarray(0, size);

const noise = (seed: number, size: number): Buffer =>
  Buffer.concat(
    Array.from({ length: Math.ceil(size / 64) }, (_, i) =>
      createHash('sha512').update(`${seed} ${i}`).digest(),
    ),
  ).subarray(0, size);

/** Path below the root, and contents. */
export const erofsSamples: Readonly<Record<string, Buffer>> = {
  text: text(1, 12_000),
  'text-again': Buffer.concat([noise(3, 300), text(1, 9000)]),
  short: text(2, 700),
  'other-short': text(2, 900),
  noise: noise(1, 4500),
  zeros: Buffer.alloc(50_000),
  turns: Buffer.concat([text(4, 3000), noise(2, 4500), Buffer.alloc(6000), text(4, 5000)]),
  empty: Buffer.alloc(0),
  'folder/exact': text(5, 4096),
  'folder/tail': text(6, 4100),
};
