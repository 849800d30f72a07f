import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { scanChunks } from '../../../../src/formats/erofs/chunks.ts';
import { planErofs, type ErofsPlan } from '../../../../src/formats/erofs/plan.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { readTree } from '../../../../src/formats/erofs/read-tree.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  directory,
  regularFile,
  type Directory,
} from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { BUILD_TIME, describeTree, shuffled, testBytes, treeArbitrary } from './trees.ts';

const now = { mtime: BUILD_TIME };
const options = { buildTime: BUILD_TIME, uuid: testBytes(16) };

async function planWith(root: Directory, chunkSize: number, blockSize = 4096): Promise<ErofsPlan> {
  const chunks = await scanChunks(root, { chunkSize, blockSize });
  return planErofs(root, { ...options, blockSize, chunks });
}
async function imageOf(plan: ErofsPlan): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeErofs(plan, sink);
  expect(sink.bytes()).toHaveLength(plan.size);
  return sink.bytes();
}
/** Bytes of which no two parts are equal. */
function noise(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let i = 0; i < size; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
const files = (contents: Record<string, Uint8Array>): Directory => {
  const root = directory(now);
  for (const [name, bytes] of Object.entries(contents)) {
    root.children.set(name, regularFile(bytesContent(bytes), now));
  }
  return root;
};

/** Files of a few kinds of blocks, so that many are equal and many are zeros. */
const blockyTree = fc
  .array(
    fc.record({
      blocks: fc.array(fc.constantFrom(0, 0, 1, 2, 3), { maxLength: 40 }),
      rest: fc.constantFrom(0, 0, 1, 2000, 4095),
    }),
    { maxLength: 12 },
  )
  .map((specs) =>
    files(
      Object.fromEntries(
        specs.map(({ blocks, rest }, index) => {
          const parts = blocks.map((kind) => new Uint8Array(4096).fill(kind));
          const bytes = Buffer.concat([...parts, new Uint8Array(rest).fill(blocks[0] ?? 9)]);
          return [`${index}`, new Uint8Array(bytes)];
        }),
      ),
    ),
  );

describe('files in chunks', () => {
  test.each([
    [4096, 4096],
    [16384, 4096],
    [1 << 20, 4096],
    [16384, 16384],
    [65536, 16384],
    [65536, 65536],
  ])('of %i bytes in blocks of %i read back as they were', async (chunkSize, blockSize) => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(blockyTree, treeArbitrary), async (root) => {
        const image = await imageOf(await planWith(root, chunkSize, blockSize));
        const read = await readTree(await openErofs(bytesSource(image)));
        expect(await describeTree(read)).toEqual(await describeTree(root));
      }),
      { numRuns: 25 },
    );
  });

  test('do not show in which order a directory was filled', async () => {
    await fc.assert(
      fc.asyncProperty(blockyTree, async (root) => {
        const image = await imageOf(await planWith(root, 4096));
        const other = await imageOf(await planWith(shuffled(root), 4096));
        expect(Buffer.compare(image, other)).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  test('that are equal are stored once, those of zeros not at all', async () => {
    const bytes = noise(200_000, 1);
    const root = files({ a: bytes, b: bytes, c: bytes, zeros: new Uint8Array(1 << 24) });
    const plan = await planWith(root, 65536);
    expect(plan.blocks).toBe(plan.dataBlockAddress + Math.ceil(bytes.length / 4096));
    expect(plan.featureIncompat).toBe(4);
    const extents = plan.inodes.map(({ dataExtents }) => dataExtents);
    const blockAddress = plan.dataBlockAddress;
    expect(extents).toEqual([undefined, [{ offset: 0, size: 200_000, blockAddress }], [], [], []]);
  });

  test('are only used where they save something', async () => {
    const contents = {
      a: noise(200_000, 1),
      small: new Uint8Array(4095),
      b: noise(90_000, 2),
    };
    const root = files(contents);
    expect(await planWith(root, 65536)).toEqual(planErofs(root, options));
  });

  test('are told apart however their content arrives', async () => {
    const bytes = new Uint8Array(300_000);
    bytes.set(testBytes(5000), 100_000);
    bytes.set(testBytes(5000), 100_000 + 2 * 65536);
    const cut = (sizes: readonly number[]): Directory => {
      const root = directory(now);
      const stream = async function* (): AsyncGenerator<Uint8Array> {
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] as number;
          yield await Promise.resolve(bytes.subarray(at, at + size));
          at += size;
        }
      };
      root.children.set('x', regularFile({ size: bytes.length, stream }, now));
      return root;
    };
    const numbers = async (root: Directory): Promise<number[]> => [
      ...([...(await scanChunks(root)).files.values()][0] as Uint32Array),
    ];
    expect(await numbers(cut([1 << 20]))).toEqual([0, 1, 0, 1, 0]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 99_999 }), { minLength: 1, maxLength: 5 }),
        async (sizes) => {
          fc.pre(sizes.reduce((sum, size) => sum + size, 0) > 1000);
          expect(await numbers(cut(sizes))).toEqual([0, 1, 0, 1, 0]);
        },
      ),
      { numRuns: 20 },
    );
  });

  test.each([
    ['more', 70_000, 70_001],
    ['fewer', 70_000, 69_999],
  ])('of a file with %s bytes than it said are refused', async (_, size, real) => {
    const root = directory(now);
    const content = { ...bytesContent(testBytes(real)), size };
    root.children.set('changed', regularFile(content, now));
    await expect(scanChunks(root)).rejects.toMatchObject({
      code: 'input',
      message: expect.stringContaining('/changed') as string,
    });
  });

  test.each([0, 4095, 6000, 2048, 2 ** 31])('of %i bytes are refused', async (chunkSize) => {
    await expect(scanChunks(directory(now), { chunkSize })).rejects.toThrow(RangeError);
  });

  test('stop when they are told to', async () => {
    const abort = AbortSignal.abort(new Error('stop'));
    const root = files({ x: testBytes(70_000) });
    await expect(scanChunks(root, { signal: abort })).rejects.toThrow('stop');
  });
});

describe('extended attributes', () => {
  const labelled = (count: number, value: (i: number) => Uint8Array): Directory => {
    const root = directory(now);
    for (let i = 0; i < count; i += 1) {
      const file = regularFile(bytesContent(testBytes(i)), now);
      file.xattrs.set('security.label', value(i));
      root.children.set(`${i}`, file);
    }
    return root;
  };

  test('are shared where that is shorter', () => {
    const plan = planErofs(
      labelled(100, () => testBytes(40)),
      options,
    );
    // A header, "label" and the value, to a multiple of four; in each inode a number.
    expect(plan.sharedXattrs.bytes).toHaveLength(4 + 5 + 40 + 3);
    expect(plan.inodes.at(-1)?.xattrs).toHaveLength(12 + 4);
    expect(
      planErofs(
        labelled(1, () => testBytes(40)),
        options,
      ).sharedXattrs.bytes,
    ).toHaveLength(0);
    const different = planErofs(
      labelled(50, (i) => testBytes(40, i)),
      options,
    );
    expect(different.sharedXattrs.bytes).toHaveLength(0);
  });

  test('have their numbers by how frequent they are', () => {
    const plan = planErofs(
      labelled(90, (i) => testBytes(20, i % 10 === 0 ? 5 : i < 50 ? 1 : i < 75 ? 2 : 0)),
      options,
    );
    const { offset, bytes } = plan.sharedXattrs;
    const values = [1, 2, 0, 5].map((seed) => Buffer.from(testBytes(20, seed)).toString('hex'));
    const places = values.map((value) => Buffer.from(bytes).toString('hex').indexOf(value));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    const numbers = plan.inodes
      .slice(1)
      .map(({ xattrs }) => new DataView(xattrs.buffer).getUint32(12, true));
    expect([...new Set(numbers)].toSorted((a, b) => a - b)).toEqual(
      [0, 1, 2, 3].map((index) => (offset + index * 32) / 4),
    );
  });

  test('that inodes share stop before the root is out of reach', async () => {
    const root = labelled(120, (i) => testBytes(40_000, i % 60));
    const plan = planErofs(root, options);
    expect(plan.sharedXattrs.bytes.length).toBeGreaterThan(1_000_000);
    expect(plan.sharedXattrs.bytes.length).toBeLessThanOrEqual(1 << 20);
    const read = await readTree(await openErofs(bytesSource(await imageOf(plan))));
    expect(await describeTree(read)).toEqual(await describeTree(root));
  });
});
