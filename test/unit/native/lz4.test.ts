import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import type {
  ClusterCompressor,
  CompressedData,
} from '../../../src/compression/cluster-compressor.ts';
import { createLz4Compressor } from '../../../src/compression/lz4/compressor.ts';
import { createNativeClusterCompressor } from '../../../src/native/clusters.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { compressible } from '../compression/inputs.ts';

const built = await loadNativeLibrary();

const nativeLz4 = (library: NativeLibrary, level?: number, threads?: number): ClusterCompressor =>
  level === undefined
    ? createNativeClusterCompressor(library, 'lz4', 0, threads)
    : createNativeClusterCompressor(library, 'lz4hc', level, threads);

/** What both make of it, as something quick to compare. */
async function both(
  library: NativeLibrary,
  inputs: readonly Uint8Array[],
  level: number | undefined,
  options: { blockSize: number; clusterSize: number },
  threads = 2,
): Promise<[unknown, unknown]> {
  const plain = (results: readonly CompressedData[]): unknown =>
    results.map(({ extents, bytes }) => [extents, Buffer.from(bytes).toString('latin1')]);
  const native = nativeLz4(library, level, threads);
  return [
    plain(await native.compress(inputs, options)),
    plain(await createLz4Compressor({ level }).compress(inputs, options)),
  ];
}

describe.skipIf(built === undefined)('createNativeClusterCompressor() for LZ4', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  it('gives the bytes of the twin at every level, on any number of threads', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(compressible, { maxLength: 5 }),
        fc.constantFrom(undefined, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        fc.constantFrom(512, 4096, 16384),
        fc.constantFrom(1, 2, 16),
        fc.integer({ min: 1, max: 3 }),
        async (inputs, level, blockSize, blocks, threads) => {
          const options = { blockSize, clusterSize: blockSize * blocks };
          const [ours, twin] = await both(library, inputs, level, options, threads);
          expect(ours).toEqual(twin);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('gives the bytes of the twin for bytes that hardly repeat, and that hardly do anything else', async () => {
    const few = fc.uint8Array({ maxLength: 9000, max: 3 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(few, fc.uint8Array({ maxLength: 9000 })), { maxLength: 3 }),
        fc.constantFrom(undefined, 1, 9, 12),
        async (inputs, level) => {
          const options = { blockSize: 512, clusterSize: 1024 };
          const [ours, twin] = await both(library, inputs, level, options);
          expect(ours).toEqual(twin);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('gives the bytes of the twin for inputs larger than the window and than a block decodes to', async () => {
    const large = new Uint8Array(4_500_000);
    for (let at = 0; at < 1_500_000; at++) {
      large[at] = (Math.imul(at, at >> 9) >>> 11) & (at & 4096 ? 0x1f : 0xff);
    }
    large.copyWithin(3_000_000, 200_000, 700_000);
    for (const level of [undefined, 9]) {
      for (const clusterSize of [4096, 65536]) {
        const options = { blockSize: 4096, clusterSize };
        const [ours, twin] = await both(library, [large, large.subarray(1)], level, options);
        // Not toEqual(), which would print megabytes.
        expect(JSON.stringify(ours) === JSON.stringify(twin)).toBe(true);
      }
    }
  });

  it('names its algorithm, and refuses levels that do not exist', () => {
    expect(nativeLz4(library).algorithm).toBe('lz4');
    expect(nativeLz4(library, 12).algorithm).toBe('lz4hc');
    for (const level of [0, 13, 1.5]) {
      expect(() => nativeLz4(library, level)).toThrow(RangeError);
    }
  });
});
