import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CompressedData } from '../../../../src/compression/cluster-compressor.ts';
import { createLz4Compressor } from '../../../../src/compression/lz4/compressor.ts';
import { decodeLz4Block } from '../../../../src/compression/lz4/decode.ts';
import { compressible } from '../inputs.ts';

const LEVELS = [undefined, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const OPTIONS = { blockSize: 4096, clusterSize: 4096 };

async function compressed(
  input: Uint8Array,
  level: number | undefined,
  options = OPTIONS,
): Promise<CompressedData> {
  const [result] = await createLz4Compressor({ level }).compress([input], options);
  return result as CompressedData;
}

/** Where its last match begins and ends, and where the block does, in decoded bytes. */
function endOf(block: Uint8Array): { match: number; matchEnd: number; end: number } {
  let at = 0;
  const length = (nibble: number): number => {
    let sum = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; sum += more)
      more = block[at++] as number;
    return sum;
  };
  for (let to = 0, match = 0, matchEnd = 0; ;) {
    const token = block[at++] as number;
    const literals = length(token >> 4);
    at += literals;
    to += literals;
    if (at === block.length) return { match, matchEnd, end: to };
    at += 2;
    match = to;
    to += length(token & 15) + 4;
    matchEnd = to;
  }
}

/** Decodes it, holding each extent to the rules. */
function decoded(result: CompressedData, { blockSize, clusterSize } = OPTIONS): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [index, { isPlain, length, storedLength }] of result.extents.entries()) {
    const stored = result.bytes.subarray(at, at + storedLength);
    at += storedLength;
    if (index < result.extents.length - 1) expect(length).toBeGreaterThanOrEqual(blockSize);
    if (isPlain) {
      expect(storedLength).toBe(length);
      expect(length).toBeLessThanOrEqual(blockSize);
      parts.push(stored);
      continue;
    }
    expect(storedLength).toBeLessThanOrEqual(clusterSize);
    expect(Math.ceil(storedLength / blockSize) * blockSize).toBeLessThan(length);
    expect(length).toBeLessThanOrEqual(254 * 4096);
    const target = new Uint8Array(length);
    expect(decodeLz4Block(stored, 0, storedLength, target, 0, length)).toBe(length);
    const { match, matchEnd, end } = endOf(stored);
    if (matchEnd > 0) {
      expect(end - match).toBeGreaterThanOrEqual(12);
      expect(end - matchEnd).toBeGreaterThanOrEqual(5);
    }
    parts.push(target);
  }
  expect(at).toBe(result.bytes.length);
  return Buffer.concat(parts);
}

const blocksOf = ({ extents }: CompressedData): number =>
  extents.reduce((sum, { storedLength }) => sum + Math.ceil(storedLength / 4096), 0);

/** Lines of words, as source code and logs are. */
function text(size: number): Uint8Array {
  let line = 0;
  let out = '';
  while (out.length < size) {
    line += 1;
    out += `${line % 7 === 0 ? '  return' : 'const'} value${(line * 7919) % 211} = ${(line * 104729) % 1009};\n`;
  }
  return new Uint8Array(Buffer.from(out.slice(0, size)));
}

function noise(size: number): Uint8Array {
  let state = 1;
  return new Uint8Array(size).map(() => {
    state = (state * 48271) % 0x7fffffff;
    return state >>> 8;
  });
}

describe('createLz4Compressor()', () => {
  test('what it makes decodes to the input, at every level and size', async () => {
    await fc.assert(
      fc.asyncProperty(
        compressible,
        fc.constantFrom(...LEVELS),
        fc.constantFrom(512, 1024, 4096),
        fc.integer({ min: 1, max: 16 }),
        async (input, level, blockSize, blocks) => {
          const options = { blockSize, clusterSize: blockSize * blocks };
          const result = await compressed(input, level, options);
          expect(Buffer.compare(decoded(result, options), input)).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('an input of any length ends as a block must end', async () => {
    for (const level of [undefined, 9]) {
      for (let length = 0; length < 60; length++) {
        const input = new Uint8Array([
          ...noise(500),
          ...text(length),
          ...noise(30),
          ...text(length),
        ]);
        const options = { blockSize: 512, clusterSize: 512 };
        expect(
          Buffer.compare(decoded(await compressed(input, level, options), options), input),
        ).toBe(0);
      }
    }
  });

  test('compresses each input on its own, whatever came before', async () => {
    const inputs = [text(20_000), noise(9000), new Uint8Array(0), text(20_000), text(5000)];
    for (const level of [undefined, 1, 9]) {
      const compressor = createLz4Compressor({ level });
      const together = await compressor.compress(inputs, OPTIONS);
      const again = await compressor.compress(inputs, OPTIONS);
      expect(again).toEqual(together);
      for (const [index, input] of inputs.entries()) {
        expect(together[index]).toEqual(await compressed(input, level));
      }
    }
  });

  test('fills a cluster to the last bytes', async () => {
    for (const level of [undefined, 9]) {
      const { extents } = await compressed(text(60_000), level);
      const full = extents.slice(0, -1);
      expect(full.length).toBeGreaterThan(2);
      for (const { isPlain, storedLength } of full) {
        expect(isPlain).toBe(false);
        expect(storedLength).toBeGreaterThan(4096 - 8);
      }
    }
  });

  test('stores what does not compress as it is, a block at a time', async () => {
    for (const level of [undefined, 9]) {
      for (const clusterSize of [4096, 65536]) {
        const result = await compressed(noise(100_000), level, { blockSize: 4096, clusterSize });
        expect(result.extents.every(({ isPlain }) => isPlain)).toBe(true);
        expect(result.extents.length).toBe(Math.ceil(100_000 / 4096));
      }
    }
  });

  test('bounds what a run decodes to', async () => {
    const run = new Uint8Array(5 << 20);
    const large = { blockSize: 4096, clusterSize: 65536 };
    for (const level of [undefined, 1, 12]) {
      const result = await compressed(run, level, large);
      expect(result.extents.length).toBe(6);
      expect(blocksOf(result)).toBe(6);
      expect(Buffer.compare(decoded(result, large), run)).toBe(0);
    }
  });

  test('a higher level does not take more', async () => {
    const input = Buffer.concat([text(150_000), noise(5000), text(100_000)]);
    const sizes: number[] = [];
    for (const level of [undefined, 1, 4, 9, 12]) {
      const result = await compressed(input, level, { blockSize: 4096, clusterSize: 65536 });
      sizes.push(blocksOf(result));
    }
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(sizes.at(-1)).toBeLessThan(sizes[0] as number);
  });

  test.each([0, 13, 1.5, Number.NaN])('refuses level %d', (level) => {
    expect(() => createLz4Compressor({ level })).toThrow(RangeError);
  });
});
