import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClusterCompressor } from '../../../src/compression/cluster-compressor.ts';
import { createDeflateCompressor } from '../../../src/compression/deflate/compressor.ts';
import { createZstdCompressor } from '../../../src/compression/zstd/compressor.ts';
import { createNativeClusterCompressor } from '../../../src/native/clusters.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { compressible } from '../compression/inputs.ts';

const built = await loadNativeLibrary();

describe.skipIf(built === undefined)('createNativeClusterCompressor()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  const twins = [
    ['deflate', 9, createDeflateCompressor],
    ['zstd', 15, createZstdCompressor],
  ] as const;

  describe.each(twins)('%s', (algorithm, maxLevel, createTwin) => {
    it('gives the bytes of the twin, on any number of threads', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(compressible, { maxLength: 4 }),
          fc.integer({ min: 1, max: maxLevel }),
          fc.constantFrom(512, 4096),
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 1, max: 3 }),
          async (inputs, level, blockSize, clusterBlocks, threads) => {
            const options = { blockSize, clusterSize: blockSize * clusterBlocks };
            const native = createNativeClusterCompressor(library, algorithm, level, threads);
            const ours = await native.compress(inputs, options);
            const twin: ClusterCompressor = createTwin(level);
            expect(ours).toEqual(await twin.compress(inputs, options));
          },
        ),
        { numRuns: 60 },
      );
    });

    it('refuses levels and sizes that do not exist', async () => {
      const create = (level: number): ClusterCompressor =>
        createNativeClusterCompressor(library, algorithm, level);
      for (const level of [0, maxLevel + 1, 1.5]) expect(() => create(level)).toThrow(RangeError);
      for (const [blockSize, clusterSize] of [
        [4096, 5000],
        [0, 0],
        [4096, 1 << 21],
      ] as const) {
        await expect(create(1).compress([], { blockSize, clusterSize })).rejects.toThrow(
          RangeError,
        );
      }
      expect(await create(1).compress([], { blockSize: 4096, clusterSize: 4096 })).toEqual([]);
    });
  });
});
