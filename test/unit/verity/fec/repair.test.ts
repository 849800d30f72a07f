import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { fecLayout } from '../../../../src/verity/fec/layout.ts';
import { fecMatrix } from '../../../../src/verity/fec/matrix.ts';
import { writeParity } from '../../../../src/verity/fec/parity.ts';
import { repairRest } from '../../../../src/verity/fec/repair-rest.ts';
import { repairImage, type RepairResult } from '../../../../src/verity/fec/repair.ts';
import { computeHashTree } from '../../../../src/verity/hash-tree.ts';
import { memoryImage, type MemoryImage } from '../../../support/memory-image.ts';

const BLOCK = 512;

interface Protected {
  readonly data: MemoryImage;
  readonly hashArea: MemoryImage;
  readonly parity: MemoryImage;
  readonly rootDigest: Uint8Array;
  readonly treeSize: number;
  readonly roots: number;
  /** Copies of what was there before any damage. */
  readonly good: readonly Uint8Array[];
}

async function protect(blocks: number, roots: number, metadata = 0): Promise<Protected> {
  const bytes = new Uint8Array(blocks * BLOCK);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = Math.imul(i + 1, 2654435761) >>> 24;
  const { rootDigest, tree } = await computeHashTree(bytesSource(bytes), {
    algorithm: 'sha256',
    blockSize: BLOCK,
  });
  const area = new Uint8Array(tree.length + metadata * BLOCK).fill(77, tree.length);
  area.set(tree);
  const sources = [bytesSource(bytes), bytesSource(area)];
  const target = new MemorySink();
  await writeParity(
    fecMatrix(sources, fecLayout(bytes.length + area.length, BLOCK, roots)),
    target,
  );
  const good = [bytes, area, target.bytes()];
  const [data, hashArea, parity] = good.map((each) => memoryImage(each.slice())) as [
    MemoryImage,
    MemoryImage,
    MemoryImage,
  ];
  return { data, hashArea, parity, rootDigest, treeSize: tree.length, roots, good };
}

const repair = (image: Protected): Promise<RepairResult> =>
  repairImage(
    {
      data: image.data.source,
      hashArea: image.hashArea.source,
      parity: image.parity.source,
      dataSink: image.data,
      hashAreaSink: image.hashArea,
    },
    {
      algorithm: 'sha256',
      dataBlockSize: BLOCK,
      hashBlockSize: BLOCK,
      salt: new Uint8Array(0),
      rootDigest: image.rootDigest,
      roots: image.roots,
    },
  );
const same = (image: Protected): boolean[] =>
  [image.data, image.hashArea, image.parity].map(
    ({ bytes }, i) => Buffer.compare(bytes, image.good[i] ?? new Uint8Array(0)) === 0,
  );
const spoil = (image: MemoryImage, block: number, blocks = 1): void => {
  for (let at = block * BLOCK; at < (block + blocks) * BLOCK; at += 1) image.bytes[at]! ^= 0x5a;
};

describe('repairImage', () => {
  test('an intact image is left alone', async () => {
    const image = await protect(300, 2);
    expect(await repair(image)).toMatchObject({ report: { intact: true }, repaired: [] });
  });

  test.each([2, 3, 8, 24])(
    'with %i roots as many whole blocks of a codeword as there are roots come back',
    async (roots) => {
      const image = await protect(1000, roots);
      const { rounds } = fecLayout(1000 * BLOCK + image.treeSize, BLOCK, roots);
      // All in round 1, with some in other rounds.
      for (let i = 0; i < roots; i += 1) spoil(image.data, 1 + i * rounds);
      spoil(image.data, 0);
      const { report, repaired } = await repair(image);
      expect(report.intact).toBe(true);
      expect(repaired).toHaveLength(roots + 1);
      expect(same(image)).toEqual([true, true, true]);
    },
  );

  test('a burst as long as a row of the matrix comes back', async () => {
    const image = await protect(2000, 2);
    const { rounds } = fecLayout(2000 * BLOCK + image.treeSize, BLOCK, 2);
    spoil(image.data, 300, 2 * rounds);
    expect((await repair(image)).report.intact).toBe(true);
    expect(same(image)).toEqual([true, true, true]);
  });

  test('corrupt hash blocks of every level come back, then the data that they hid', async () => {
    const image = await protect(1000, 2);
    const treeBlocks = image.treeSize / BLOCK;
    spoil(image.hashArea, 0);
    spoil(image.hashArea, 1);
    spoil(image.hashArea, treeBlocks - 1);
    spoil(image.data, 999);
    spoil(image.data, 3);
    const { report, repaired } = await repair(image);
    expect(report.intact).toBe(true);
    expect(repaired.map(({ level }) => level)).toEqual([2, 1, 0, 'data', 'data']);
    expect(same(image)).toEqual([true, true, true]);
  });

  test('single bytes come back from many blocks of a codeword, more than there are roots', async () => {
    const image = await protect(1000, 2);
    const { rounds } = fecLayout(1000 * BLOCK + image.treeSize, BLOCK, 2);
    for (let i = 0; i < 40; i += 1) image.data.bytes[(2 + i * rounds) * BLOCK + i]! ^= 0xff;
    expect((await repair(image)).report.intact).toBe(true);
    expect(same(image)).toEqual([true, true, true]);
  });

  test('a hash block and a block that it hides come back though both are of one codeword', async () => {
    const image = await protect(1000, 2);
    const { rounds } = fecLayout(1000 * BLOCK + image.treeSize, BLOCK, 2);
    // The first leaf block, and a data block below it in the same round.
    const firstLeaf = image.treeSize / BLOCK - Math.ceil(1000 / 16);
    const round = (1000 + firstLeaf) % rounds;
    spoil(image.hashArea, firstLeaf);
    spoil(image.data, round);
    expect(round).toBeLessThan(16);
    expect((await repair(image)).report.intact).toBe(true);
    expect(same(image)).toEqual([true, true, true]);
  });

  test('what is beyond repair is not called repaired, and right blocks are never touched', async () => {
    const image = await protect(1000, 2);
    const { rounds } = fecLayout(1000 * BLOCK + image.treeSize, BLOCK, 2);
    for (let i = 0; i < 3; i += 1) spoil(image.data, 1 + i * rounds);
    spoil(image.data, 2);
    const { report, repaired } = await repair(image);
    expect(report).toMatchObject({ intact: false, corruptBlocks: 3 });
    expect(repaired).toEqual([expect.objectContaining({ level: 'data', index: 2 })]);
    const wrong = report.corrupt.map(({ index }) => index);
    expect(wrong).toEqual([1, 1 + rounds, 1 + 2 * rounds]);
  });

  test('any damage of up to one block a codeword comes back, also with wrong parity', async () => {
    const image = await protect(700, 4);
    const { rounds } = fecLayout(700 * BLOCK + image.treeSize, BLOCK, 4);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 0, max: rounds - 1 }), { minLength: 1 }),
        fc.integer({ min: 0, max: 200 }),
        fc.boolean(),
        async (hit, row, isParityHit) => {
          for (const round of hit) {
            const index = round + ((row + round) % 200) * rounds;
            if (index < 700) spoil(image.data, index);
            else if (index < 700 + image.treeSize / BLOCK) spoil(image.hashArea, index - 700);
          }
          if (isParityHit) image.parity.bytes[hit[0]! * BLOCK * 4 + 9]! ^= 1;
          const { report } = await repair(image);
          image.parity.bytes.set(image.good[2] ?? []);
          expect(report.intact).toBe(true);
          expect(same(image)).toEqual([true, true, true]);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('repairRest', () => {
  const rest = (image: Protected): ReturnType<typeof repairRest> =>
    repairRest(
      {
        data: image.data.source,
        hashArea: image.hashArea.source,
        parity: image.parity.source,
        hashAreaSink: image.hashArea,
        paritySink: image.parity,
      },
      { roots: image.roots, blockSize: BLOCK, treeSize: image.treeSize },
    );

  test('wrong parity is written anew', async () => {
    const image = await protect(600, 2);
    image.parity.bytes[3]! ^= 1;
    image.parity.bytes[image.parity.bytes.length - 1]! ^= 1;
    expect(await rest(image)).toEqual({ parityRounds: 2, metadataBlocks: 0, undecidedRounds: 0 });
    expect(same(image)).toEqual([true, true, true]);
  });

  test('metadata behind the tree is corrected', async () => {
    const image = await protect(600, 4, 3);
    spoil(image.hashArea, image.treeSize / BLOCK + 1);
    expect(await rest(image)).toEqual({ parityRounds: 0, metadataBlocks: 1, undecidedRounds: 0 });
    expect(same(image)).toEqual([true, true, true]);
  });

  test('where parity and metadata are both wrong beyond telling, nothing is written', async () => {
    const image = await protect(600, 2, 1);
    spoil(image.hashArea, image.treeSize / BLOCK);
    image.parity.bytes.fill(1);
    const before = image.hashArea.bytes.slice();
    expect(await rest(image)).toMatchObject({ metadataBlocks: 0, undecidedRounds: 1 });
    expect(image.hashArea.bytes).toEqual(before);
  });
});
