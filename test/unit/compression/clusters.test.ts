import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CompressedData } from '../../../src/compression/cluster-compressor.ts';
import { createDeflateCompressor } from '../../../src/compression/deflate/compressor.ts';
import { createZstdCompressor } from '../../../src/compression/zstd/compressor.ts';
import { decodeZstdFrame } from '../../../src/compression/zstd/decode-frame.ts';
import { compressible } from './inputs.ts';

const OPTIONS = { blockSize: 512, clusterSize: 2048 };

/** With how much of a cluster may stay empty: what one more token, or the finest cut, would take. */
const ALGORITHMS = [
  {
    algorithm: 'deflate',
    create: createDeflateCompressor,
    decodeCluster: (stored: Uint8Array): Uint8Array => inflateRawSync(stored),
    mostLevels: 9,
    slack: 16,
  },
  {
    algorithm: 'zstd',
    create: createZstdCompressor,
    decodeCluster: (stored: Uint8Array, length: number): Uint8Array =>
      decodeZstdFrame(stored, length, true),
    mostLevels: 15,
    slack: 64,
  },
] as const;

describe.each(ALGORITHMS)('$algorithm clusters', ({ create, decodeCluster, mostLevels, slack }) => {
  async function compress(
    input: Uint8Array,
    level?: number,
    options = OPTIONS,
  ): Promise<CompressedData> {
    const [result] = await create(level).compress([input], options);
    return result as CompressedData;
  }

  /** What the extents stand for, decoded by somebody else's decoder. */
  function decode({ extents, bytes }: CompressedData): Buffer {
    const parts: Uint8Array[] = [];
    let at = 0;
    for (const { isPlain, length, storedLength } of extents) {
      const stored = bytes.subarray(at, at + storedLength);
      const part = isPlain ? stored : decodeCluster(stored, length);
      expect(part.length).toBe(length);
      parts.push(part);
      at += storedLength;
    }
    expect(at).toBe(bytes.length);
    return Buffer.concat(parts);
  }

  it('gives what other decoders decode, in clusters that fit and save a block each', async () => {
    await fc.assert(
      fc.asyncProperty(
        compressible,
        fc.integer({ min: 1, max: mostLevels }),
        async (input, level) => {
          const result = await compress(input, level);
          expect(Buffer.compare(decode(result), input)).toBe(0);
          for (const [index, extent] of result.extents.entries()) {
            const { isPlain, length, storedLength } = extent;
            if (index < result.extents.length - 1) expect(length).toBeGreaterThanOrEqual(512);
            if (isPlain) expect(length).toBeLessThanOrEqual(512);
            else expect(Math.ceil(storedLength / 512) * 512).toBeLessThan(length);
            expect(storedLength).toBeLessThanOrEqual(2048);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('fills clusters: what follows would not have fitted', async () => {
    const words = Array.from({ length: 40_000 }, (_, at) => `word${(at * 7919) % 1000} `).join('');
    const { extents } = await compress(Buffer.from(words));
    for (const { storedLength } of extents.slice(0, -1)) {
      expect(storedLength).toBeGreaterThan(2048 - slack);
    }
  });

  it('stores zeros in next to nothing and noise as it is', async () => {
    const zeros = await compress(new Uint8Array(3 << 20));
    expect(zeros.bytes.length).toBeLessThan(3 * 2048);
    expect(decode(zeros).every((byte) => byte === 0)).toBe(true);
    let seed = 1;
    const noise = new Uint8Array(5000).map(() => (seed = (seed * 48271) % 0x7fffffff) >>> 8);
    const kept = await compress(noise, mostLevels);
    expect(kept.extents.every(({ isPlain }) => isPlain)).toBe(true);
    expect(Buffer.compare(kept.bytes, noise)).toBe(0);
  });

  it('compresses each input on its own, however many there are', async () => {
    const inputs = ['aaaa'.repeat(300), '', 'abcdefgh'.repeat(500)].map((text) =>
      Buffer.from(text),
    );
    const together = await create().compress(inputs, OPTIONS);
    for (const [index, input] of inputs.entries()) {
      expect(together[index]).toEqual(await compress(input));
    }
  });

  it('refuses levels and sizes that do not exist', async () => {
    expect(() => create(0)).toThrow(RangeError);
    await expect(
      compress(Buffer.from('x'), 1, { blockSize: 512, clusterSize: 700 }),
    ).rejects.toThrow(RangeError);
  });
});
