import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { EnvironmentError, FormatError } from '../../../src/core/errors.ts';
import { decodeLz4Block } from '../../../src/formats/boot-image/lz4-legacy.ts';
import { createNativeBlockHasher } from '../../../src/native/block-hasher.ts';
import { measureTscKhz } from '../../../src/native/clock.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { createNativeLz4Decoder } from '../../../src/native/lz4.ts';
import { nodeBlockHasher, type TreeAlgorithm } from '../../../src/verity/block-hasher.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

describe('loadNativeLibrary()', () => {
  it('returns nothing when the environment says to do without', async () => {
    expect(await loadNativeLibrary('')).toBeUndefined();
  });

  it('refuses a library that was named and is not there, or is not ours', async () => {
    await expect(loadNativeLibrary('/nowhere/lib.so')).rejects.toThrow(EnvironmentError);
    await expect(loadNativeLibrary(process.execPath)).rejects.toThrow(EnvironmentError);
  });
});

describe.skipIf(built === undefined)('the native library', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('hashes blocks to the digests of node:crypto', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          algorithm: fc.constantFrom<TreeAlgorithm>('sha1', 'sha256', 'sha512'),
          blockSize: fc.integer({ min: 1, max: 5000 }),
          salt: fc.uint8Array({ maxLength: 256 }),
        }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 255 }),
        async (parameters, blocks, seed) => {
          const data = new Uint8Array(blocks * parameters.blockSize).map((_, i) => i * seed + seed);
          const [ours, twin] = [new Uint8Array(blocks * 64 + 1), new Uint8Array(blocks * 64 + 1)];
          await createNativeBlockHasher(library).hashBlocks(parameters, data, ours);
          await nodeBlockHasher.hashBlocks(parameters, data, twin);
          expect(ours).toEqual(twin);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('hashes large data to the same digests on any number of threads', async () => {
    const parameters = { algorithm: 'sha256', blockSize: 4096, salt: randomBytes(32) } as const;
    const data = randomBytes(4096 * 517);
    const twin = new Uint8Array(517 * 32);
    await nodeBlockHasher.hashBlocks(parameters, data, twin);
    for (const threads of [1, 2, 3, 4, 16]) {
      const ours = new Uint8Array(517 * 32);
      await createNativeBlockHasher(library, threads).hashBlocks(parameters, data, ours);
      expect(Buffer.compare(ours, twin)).toBe(0);
    }
  });

  it('refuses sizes that do not fit before it is called', async () => {
    const hash = (
      data: number,
      blockSize: number,
      salt: number,
      digests: number,
    ): void | Promise<void> =>
      createNativeBlockHasher(library).hashBlocks(
        { algorithm: 'sha256', blockSize, salt: new Uint8Array(salt) },
        new Uint8Array(data),
        new Uint8Array(digests),
      );
    expect(() => hash(100, 64, 0, 64)).toThrow(RangeError);
    expect(() => hash(128, 0, 0, 64)).toThrow(RangeError);
    expect(() => hash(128, 0.5, 0, 64)).toThrow(RangeError);
    expect(() => hash(128, 64, 257, 64)).toThrow(RangeError);
    expect(() => hash(128, 64, 0, 63)).toThrow(RangeError);
    const large = 4096 * 512; // on several threads
    await expect(hash(large, 4096, 0, 9)).rejects.toThrow(RangeError);
  });

  it('decodes LZ4 blocks as the twin does, and fails as it does', () => {
    const native = createNativeLz4Decoder(library);
    const outcome = (decode: typeof decodeLz4Block, block: Uint8Array): unknown => {
      const source = Uint8Array.of(0xee, ...block, 0xee);
      const target = new Uint8Array(300).fill(0xdd);
      try {
        const length = decode(source, 1, source.length - 1, target, 7, 290);
        return [length, Buffer.from(target.subarray(0, 7 + length)).toString('hex')];
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
        return (error as FormatError).message;
      }
    };
    const sequence = fc
      .record({
        literals: fc.uint8Array({ maxLength: 40 }),
        distance: fc.integer({ min: 0, max: 60 }),
        match: fc.integer({ min: 0, max: 40 }),
      })
      .map(({ literals, distance, match }) => [
        (Math.min(literals.length, 15) << 4) | Math.min(match, 15),
        ...(literals.length >= 15 ? [literals.length - 15] : []),
        ...literals,
        distance,
        0,
        ...(match >= 15 ? [match - 15] : []),
      ]);
    const block = fc
      .tuple(fc.array(sequence, { maxLength: 6 }), fc.uint8Array({ maxLength: 14 }))
      .map(([sequences, end]) => Uint8Array.from([...sequences.flat(), end.length << 4, ...end]));
    const decoded = new Set<boolean>();
    fc.assert(
      fc.property(fc.oneof(block, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        const ours = outcome(native, bytes);
        decoded.add(Array.isArray(ours));
        expect(ours).toEqual(outcome(decodeLz4Block, bytes));
      }),
      { numRuns: 2000 },
    );
    expect(decoded).toEqual(new Set([true, false]));
  });

  it('measures a clock that a processor could have', async () => {
    const khz = await measureTscKhz(library, 20);
    if (process.arch === 'x64') {
      expect(khz).toBeGreaterThan(500_000);
      expect(khz).toBeLessThan(10_000_000);
    } else {
      expect(khz).toBeUndefined();
    }
  });
});
