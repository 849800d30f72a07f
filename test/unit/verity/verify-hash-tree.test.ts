import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { computeHashTree } from '../../../src/verity/hash-tree.ts';
import { hashTreeLevels } from '../../../src/verity/hash-tree-layout.ts';
import { verifyHashTree, type HashTreeReport } from '../../../src/verity/verify-hash-tree.ts';

const options = { algorithm: 'sha256', blockSize: 512, salt: new Uint8Array(32).fill(7) } as const;
// 16 digests a block: 300 data blocks make levels of 19, 2 and 1 hash blocks.
const data = Uint8Array.from({ length: 300 * 512 }, (_, i) => (i * 31) ^ (i >> 9));
const good = await computeHashTree(bytesSource(data), options);
const { levels } = hashTreeLevels(300, options);

const verify = (
  changedData: Uint8Array,
  changedTree: Uint8Array,
  rootDigest = good.rootDigest,
): Promise<HashTreeReport> =>
  verifyHashTree(bytesSource(changedData), bytesSource(changedTree), { ...options, rootDigest });
const flipped = (bytes: Uint8Array, ...offsets: number[]): Uint8Array => {
  const copy = bytes.slice();
  for (const offset of offsets) copy[offset]! ^= 0x10;
  return copy;
};
const blocksOf = (report: HashTreeReport): unknown[] =>
  report.corrupt.map(({ level, index }) => [level, index]);

describe('verifyHashTree', () => {
  test('an untouched pair is intact', async () => {
    expect(await verify(data, good.tree)).toEqual({
      intact: true,
      corrupt: [],
      corruptBlocks: 0,
      strayBytes: [],
      unprovedBlocks: 0,
      unproved: [],
      dataBlocks: 300,
      treeSize: 22 * 512,
    });
  });

  test('every flipped data block is named with both digests', async () => {
    const report = await verify(flipped(data, 0, 5 * 512, 5 * 512 + 1, 299 * 512 + 511), good.tree);
    expect(blocksOf(report)).toEqual([
      ['data', 0],
      ['data', 5],
      ['data', 299],
    ]);
    expect(report.unproved).toEqual([]);
    expect(report.intact).toBe(false);
    expect(report.corrupt[0]?.expected).toEqual(
      good.tree.slice(levels[0]!.offset, levels[0]!.offset + 32),
    );
    expect(report.corrupt[0]?.actual).not.toEqual(report.corrupt[0]?.expected);
  });

  test('a corrupt hash block is named by level, and the data below it is unproved', async () => {
    const leaf18 = levels[0]!.offset + 18 * 512;
    expect(await verify(data, flipped(good.tree, leaf18))).toMatchObject({
      intact: false,
      corrupt: [{ level: 0, index: 18 }],
      unproved: [{ firstDataBlock: 288, dataBlocks: 12 }],
    });
    const middle0 = levels[1]!.offset;
    expect(await verify(data, flipped(good.tree, middle0, leaf18))).toMatchObject({
      corrupt: [
        { level: 1, index: 0 },
        { level: 0, index: 18 },
      ],
      unproved: [
        { firstDataBlock: 0, dataBlocks: 256 },
        { firstDataBlock: 288, dataBlocks: 12 },
      ],
    });
  });

  test('a wrong root digest proves nothing', async () => {
    const report = await verify(data, good.tree, flipped(good.rootDigest, 3));
    expect(blocksOf(report)).toEqual([[2, 0]]);
    expect(report.unproved).toEqual([{ firstDataBlock: 0, dataBlocks: 300 }]);
  });

  test('data and leaf changed together are caught one level up', async () => {
    const changed = flipped(data, 17 * 512);
    const forged = await computeHashTree(bytesSource(changed), options);
    const tree = good.tree.slice();
    tree.set(forged.tree.subarray(levels[0]!.offset), levels[0]!.offset);
    expect(blocksOf(await verify(changed, tree))).toEqual([[0, 1]]);
  });

  test('any flipped byte of data, tree or root is found', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(data.length + good.tree.length + 31), async (at) => {
        const inTree = at - data.length;
        const inRoot = inTree - good.tree.length;
        const report =
          inTree < 0
            ? await verify(flipped(data, at), good.tree)
            : inRoot < 0
              ? await verify(data, flipped(good.tree, inTree))
              : await verify(data, good.tree, flipped(good.rootDigest, inRoot));
        expect(report.corrupt).toHaveLength(1);
      }),
      { numRuns: 200 },
    );
  });

  test('one block is checked against the root itself', async () => {
    const block = data.slice(0, 512);
    const { rootDigest, tree } = await computeHashTree(bytesSource(block), options);
    expect((await verify(block, tree, rootDigest)).intact).toBe(true);
    expect(blocksOf(await verify(flipped(block, 9), tree, rootDigest))).toEqual([['data', 0]]);
  });

  test('no data is proved by the zero root only', async () => {
    const none = new Uint8Array(0);
    expect((await verify(none, none, new Uint8Array(32))).intact).toBe(true);
    expect((await verify(none, none, good.rootDigest)).intact).toBe(false);
  });

  test('more data than a window: what is corrupt at its end is found, what is below a corrupt block is not read', async () => {
    const large = new Uint8Array(70_000 * 512);
    for (let i = 0; i < 70_000; i += 1) large[i * 512] = i & 255;
    const { tree, rootDigest } = await computeHashTree(bytesSource(large), options);
    const layout = hashTreeLevels(70_000, options);
    const leaf = layout.levels[0]!.offset;
    const spoiled = flipped(tree, leaf + 512 * 100);
    const source = bytesSource(flipped(large, 69_999 * 512, 65_535 * 512, 1605 * 512));
    const reads: number[] = [];
    const counted = {
      ...source,
      read: (offset: number, length: number) => {
        reads.push(offset);
        return source.read(offset, length);
      },
    };
    const told: number[] = [];
    const report = await verifyHashTree(counted, bytesSource(spoiled), {
      ...options,
      rootDigest,
      onProgress: (done) => told.push(done),
    });
    expect(blocksOf(report)).toEqual([
      [0, 100],
      ['data', 65_535],
      ['data', 69_999],
    ]);
    expect(report.unproved).toEqual([{ firstDataBlock: 1600, dataBlocks: 16 }]);
    expect(reads).not.toContain(1600 * 512);
    expect(reads).toContain(1616 * 512);
    expect(told.at(-1)).toBe(large.length);
  });

  test('of many corrupt blocks some are listed and all are counted', async () => {
    const report = await verifyHashTree(
      bytesSource(data.map((byte) => ~byte)),
      bytesSource(good.tree),
      {
        ...options,
        rootDigest: good.rootDigest,
        maxListed: 7,
      },
    );
    expect(report.corrupt).toHaveLength(7);
    expect(report).toMatchObject({ intact: false, corruptBlocks: 300, unprovedBlocks: 0 });
  });

  test('stray bytes behind the digests are named, though the root proves them', async () => {
    // One block of data makes no tree: its digest is the root of a tree of one leaf block here.
    const leaf = good.tree.slice(0, 512).fill(0);
    leaf.set(good.tree.subarray(levels[0]!.offset, levels[0]!.offset + 64));
    leaf[511] = 1;
    const { rootDigest } = await computeHashTree(bytesSource(leaf), options);
    const report = await verify(data.slice(0, 1024), leaf, rootDigest);
    expect(report).toMatchObject({ intact: true, strayBytes: [{ level: 0, index: 0 }] });
  });

  test('an aborted signal stops building and verifying', async () => {
    const signal = AbortSignal.abort(new Error('stop'));
    const source = bytesSource(data);
    await expect(computeHashTree(source, { ...options, signal })).rejects.toThrow('stop');
    await expect(
      verifyHashTree(source, bytesSource(good.tree), {
        ...options,
        rootDigest: good.rootDigest,
        signal,
      }),
    ).rejects.toThrow('stop');
  });

  test('a tree that is too short and a root of the wrong length are refused', async () => {
    await expect(verify(data, good.tree.subarray(1))).rejects.toMatchObject({ code: 'truncated' });
    await expect(verify(data, good.tree, new Uint8Array(20))).rejects.toMatchObject({
      code: 'bad-value',
    });
  });
});
