import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex } from '../../../src/core/digest.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import type { BlockHasher, TreeAlgorithm } from '../../../src/verity/block-hasher.ts';
import { digestStride, nodeBlockHasher } from '../../../src/verity/block-hasher.ts';
import { hashTreeLevels } from '../../../src/verity/hash-tree-layout.ts';
import {
  computeHashTree,
  createHashTreeSink,
  fsVeritySalt,
} from '../../../src/verity/hash-tree.ts';
import { corpus, corpusPath } from '../../support/corpus.ts';

function pattern(size: number, start = 0): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i += 1) bytes[i] = start + i;
  return bytes;
}
const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** The same hashes, later: what a native or threaded hasher looks like to its caller. */
const asyncHasher: BlockHasher = {
  async hashBlocks(parameters, data, digests) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    await nodeBlockHasher.hashBlocks(parameters, data, digests);
  },
};

describe('hashTreeLevels', () => {
  test.each([
    [0, []],
    [1, []],
    [2, [1]],
    [128, [1]],
    [129, [2, 1]],
    [16384, [128, 1]],
    [16385, [129, 2, 1]],
  ])('%i data blocks give hash blocks %j, leaves first', (dataBlocks, blocks) => {
    const layout = hashTreeLevels(dataBlocks, { algorithm: 'sha256', blockSize: 4096 });
    expect(layout.levels.map((level) => level.blocks)).toEqual(blocks);
    expect(layout.treeSize).toBe(blocks.reduce((sum, n) => sum + n, 0) * 4096);
  });

  test('the top level comes first and the leaves end the tree', () => {
    const { levels, treeSize } = hashTreeLevels(16385, { algorithm: 'sha256', blockSize: 4096 });
    expect(levels.map((level) => level.offset)).toEqual([3 * 4096, 4096, 0]);
    expect(treeSize).toBe(132 * 4096);
  });

  test.each([
    ['sha1', 32],
    ['sha256', 32],
    ['sha384', 64],
    ['sha512', 64],
  ] as const)('%s digests stand %i bytes apart', (algorithm, stride) => {
    expect(digestStride(algorithm)).toBe(stride);
  });

  test.each([0, 32, 100, 4095, 131072, -4096, NaN])('block size %d is refused', (blockSize) => {
    expect(() => hashTreeLevels(1, { algorithm: 'sha256', blockSize })).toThrow(RangeError);
  });
});

describe('computeHashTree', () => {
  test('one block has its digest as root and no tree', async () => {
    const block = pattern(4096);
    const { rootDigest, tree } = await computeHashTree(bytesSource(block), { algorithm: 'sha256' });
    expect(toHex(rootDigest)).toBe(sha256Hex(block));
    expect(tree).toHaveLength(0);
  });

  test('the last block is padded with zeros', async () => {
    const padded = new Uint8Array(8192);
    padded.set(pattern(5000));
    const options = { algorithm: 'sha256', salt: new Uint8Array([1]) } as const;
    expect(await computeHashTree(bytesSource(pattern(5000)), options)).toEqual(
      await computeHashTree(bytesSource(padded), options),
    );
  });

  test('a read that fails, first or later, fails the tree', async () => {
    for (const failAt of [0, 1 << 20, 2 << 20]) {
      const source = bytesSource(new Uint8Array(3 << 20));
      const failing = {
        ...source,
        read: (offset: number, length: number) =>
          offset === failAt ? Promise.reject(new Error('bad sector')) : source.read(offset, length),
      };
      await expect(computeHashTree(failing, { algorithm: 'sha256' })).rejects.toThrow('bad sector');
    }
  });

  test('an empty source has the zero root of an empty fs-verity file', async () => {
    const { rootDigest } = await computeHashTree(bytesSource(new Uint8Array(0)), {
      algorithm: 'sha512',
    });
    expect(rootDigest).toEqual(new Uint8Array(64));
  });

  test('a source longer than one read has the same leaves as its parts', async () => {
    const size = (1 << 20) + 3 * 4096;
    const data = pattern(size).map((byte, i) => byte ^ (i >> 12));
    const { tree } = await computeHashTree(bytesSource(data), { algorithm: 'sha256' });
    const { levels } = hashTreeLevels(size / 4096, { algorithm: 'sha256', blockSize: 4096 });
    const leaves = tree.subarray(levels[0]!.offset);
    for (const index of [0, 1, 255, 256, 258]) {
      expect(toHex(leaves.subarray(index * 32, index * 32 + 32))).toBe(
        sha256Hex(data.subarray(index * 4096, index * 4096 + 4096)),
      );
    }
  });
});

describe('createHashTreeSink', () => {
  const blocks = 300;
  const data = pattern(blocks * 512).map((byte, i) => byte ^ ((i >> 9) * 7));
  const options = { algorithm: 'sha256', blockSize: 512, salt: pattern(32) } as const;

  test('blocks written in any order, one or many at a time, give the tree of the whole', async () => {
    const expected = await computeHashTree(bytesSource(data), options);
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(
          Array.from({ length: 30 }, (_, i) => i),
          { minLength: 30 },
        ),
        fc.boolean(),
        async (order, later) => {
          const target = new MemorySink();
          const sink = createHashTreeSink(target, {
            ...options,
            dataSize: data.length,
            hasher: later ? asyncHasher : nodeBlockHasher,
          });
          await Promise.all(
            order.map((part) =>
              sink.write(part * 5120, data.subarray(part * 5120, part * 5120 + 5120)),
            ),
          );
          const { rootDigest, treeOffset, treeSize } = await sink.finish();
          expect(rootDigest).toEqual(expected.rootDigest);
          expect(treeSize).toBe(expected.tree.length);
          const image = target.bytes();
          expect(Buffer.compare(image.subarray(0, treeOffset), data)).toBe(0);
          expect(Buffer.compare(image.subarray(treeOffset), expected.tree)).toBe(0);
        },
      ),
      { numRuns: 20 },
    );
  });

  test('blocks never written count as zeros, and the tree may stand apart from the data', async () => {
    const holey = new Uint8Array(blocks * 512);
    holey.set(data.subarray(512, 1024), 512);
    const target = new MemorySink();
    const sink = createHashTreeSink(target, {
      ...options,
      dataSize: holey.length,
      hashOffset: holey.length + 4096,
    });
    await sink.write(512, data.subarray(512, 1024));
    const { rootDigest, treeOffset } = await sink.finish();
    const expected = await computeHashTree(bytesSource(holey), options);
    expect(rootDigest).toEqual(expected.rootDigest);
    expect(treeOffset).toBe(holey.length + 4096);
    expect(target.bytes().subarray(treeOffset)).toEqual(expected.tree);
  });

  test('a single block needs no tree', async () => {
    const sink = createHashTreeSink(new MemorySink(), { ...options, dataSize: 512 });
    await sink.write(0, data.subarray(0, 512));
    expect(await sink.finish()).toEqual({
      rootDigest: new Uint8Array(
        createHash('sha256').update(options.salt).update(data.subarray(0, 512)).digest(),
      ),
      treeOffset: 512,
      treeSize: 0,
    });
  });

  test.each([
    ['not at a block', 100, 512],
    ['of half a block', 0, 256],
    ['behind the data', 512 * blocks, 512],
    ['across the end of the data', 512 * (blocks - 1), 1024],
    ['before the data', -512, 512],
  ])('a write %s is refused', async (_, offset, length) => {
    const sink = createHashTreeSink(new MemorySink(), { ...options, dataSize: data.length });
    await expect(sink.write(offset, new Uint8Array(length))).rejects.toThrow(RangeError);
  });

  test('a failing target fails the write, and nothing can be written after the end', async () => {
    const failing = createHashTreeSink(
      {
        write: () => Promise.reject(new Error('disk full')),
        truncate: () => Promise.resolve(),
      },
      { ...options, dataSize: 512 },
    );
    await expect(failing.write(0, new Uint8Array(512))).rejects.toThrow('disk full');

    const sink = createHashTreeSink(new MemorySink(), { ...options, dataSize: 512 });
    await sink.finish();
    await expect(sink.write(0, new Uint8Array(512))).rejects.toThrow(RangeError);
    await expect(sink.finish()).rejects.toThrow(RangeError);
    await expect(sink.truncate(1024)).rejects.toThrow(RangeError);
  });

  test.each([{ dataSize: 0 }, { dataSize: 513 }, { dataSize: 1024, hashOffset: 512 }])(
    '$dataSize bytes of data with the tree at $hashOffset are refused',
    (sizes) => {
      expect(() => createHashTreeSink(new MemorySink(), { ...options, ...sizes })).toThrow(
        RangeError,
      );
    },
  );
});

interface DmVerityCase {
  size: number;
  alg: TreeAlgorithm;
  salt: string;
  root: string;
  tree_sha256: string;
  rc: number;
}
interface FsVerityCase {
  size: number;
  pattern_start: number;
  salt: string;
  root: string;
  tree_sha256: string;
}
const casesOf = <T>(file: string): T[] =>
  (JSON.parse(readFileSync(corpusPath('verity', file), 'utf8')) as { cases: T[] }).cases;

describe.skipIf(corpus === undefined)('vectors of other implementations', () => {
  test('veritysetup: every root digest and tree', async () => {
    const cases = casesOf<DmVerityCase>('dmverity.json').filter((vector) => vector.rc === 0);
    expect(cases.length).toBeGreaterThan(0);
    for (const { size, alg, salt, root, tree_sha256 } of cases) {
      const options = { algorithm: alg, salt: fromHex(salt) };
      const { rootDigest, tree } = await computeHashTree(bytesSource(pattern(size)), options);
      expect({ size, alg, salt, root: toHex(rootDigest), tree: sha256Hex(tree) }).toEqual({
        size,
        alg,
        salt,
        root,
        tree: tree_sha256,
      });
    }
  });

  test('fsverity: every root digest and tree, with padded salts', async () => {
    const cases = casesOf<FsVerityCase>('fsverity.json');
    expect(cases.length).toBeGreaterThan(0);
    for (const { size, pattern_start, salt, root, tree_sha256 } of cases) {
      const { rootDigest, tree } = await computeHashTree(
        bytesSource(pattern(size, pattern_start)),
        { algorithm: 'sha256', salt: fsVeritySalt('sha256', fromHex(salt)) },
      );
      expect({ size, salt, root: toHex(rootDigest), tree: sha256Hex(tree) }).toEqual({
        size,
        salt,
        root,
        tree: tree_sha256,
      });
    }
  });
});
