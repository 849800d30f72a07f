import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type {
  ClusterCompressor,
  CompressedData,
} from '../../../../src/compression/cluster-compressor.ts';
import { createDeflateCompressor } from '../../../../src/compression/deflate/compressor.ts';
import {
  writeCompressedErofs,
  type CompressedErofsOptions,
} from '../../../../src/formats/erofs/compressed-writer.ts';
import { dataLayoutNames } from '../../../../src/formats/erofs/layout.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { readTree } from '../../../../src/formats/erofs/read-tree.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  directory,
  regularFile,
  type Directory,
  type FileContent,
  type Inode,
} from '../../../../src/io/file-tree.ts';
import { MemorySink, type ImageSink } from '../../../../src/io/image-sink.ts';
import { simpleLz4 } from './simple-lz4.ts';
import { BUILD_TIME, describeTree, shuffled, testBytes, treeArbitrary } from './trees.ts';

const options: CompressedErofsOptions = {
  buildTime: BUILD_TIME,
  uuid: testBytes(16),
  compressor: simpleLz4(),
};

async function imageOf(
  root: Directory,
  more: Partial<CompressedErofsOptions> = {},
): Promise<Uint8Array> {
  const sink = new MemorySink();
  const { size } = await writeCompressedErofs(root, { ...options, ...more }, sink);
  expect(sink.bytes()).toHaveLength(size);
  return sink.bytes();
}
const now = { mtime: BUILD_TIME };
const file = (bytes: Uint8Array): Inode => regularFile(bytesContent(bytes), now);
const withFile = (content: FileContent): Directory => {
  const root = directory(now);
  root.children.set('file', regularFile(content, now));
  return root;
};

/** Text that compresses well. */
function words(size: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let state = seed * 2654435761 + 1;
  for (let at = 0; at < size;) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const word = `some word ${(state >>> 16) % 500} `;
    for (let i = 0; i < word.length && at < size; i += 1, at += 1) bytes[at] = word.charCodeAt(i);
  }
  return bytes;
}
function noise(size: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let i = 0; i * 64 < size; i += 1) parts.push(createHash('sha512').update(`${i}`).digest());
  return new Uint8Array(Buffer.concat(parts).subarray(0, size));
}
/** Answers late, and the later the less there is to do. */
const lateLz4 = (): ClusterCompressor => {
  const lz4 = simpleLz4();
  return {
    ...lz4,
    compress: async (inputs, sizes) => {
      await new Promise((resolve) => setTimeout(resolve, 10 / inputs.length));
      return lz4.compress(inputs, sizes);
    },
  };
};
/** Compresses nothing, and takes its time for it. */
const storing = (milliseconds: number): ClusterCompressor => ({
  algorithm: 'lz4',
  compress: async (inputs, { blockSize }) => {
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    return inputs.map((bytes) => ({
      bytes,
      extents: Array.from({ length: Math.ceil(bytes.length / blockSize) }, (_, i) => {
        const length = Math.min(blockSize, bytes.length - i * blockSize);
        return { isPlain: true, length, storedLength: length };
      }),
    }));
  },
});
const readBack = async (image: Uint8Array): Promise<Directory> =>
  readTree(await openErofs(bytesSource(image)));

describe('writeCompressedErofs', () => {
  test.each<Partial<CompressedErofsOptions>>([
    {},
    { tails: 'blocks' },
    { tails: 'fragments' },
    { tails: 'fragments', clusterSize: 65536 },
    { tails: 'fragments', blockSize: 65536 },
    { clusterSize: 16384 },
    { clusterSize: 65536, tails: 'blocks' },
    { blockSize: 16384 },
    { blockSize: 16384, clusterSize: 65536 },
    { blockSize: 65536 },
  ])('any tree reads back as it was, with %j', async (more) => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        const read = await readBack(await imageOf(root, more));
        expect(await describeTree(read)).toEqual(await describeTree(root));
      }),
      { numRuns: 15 },
    );
  });

  test('neither the order of a directory nor the number of workers shows', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, fc.integer({ min: 1, max: 9 }), async (root, parallel) => {
        const tails = parallel % 2 === 0 ? 'inline' : 'fragments';
        const image = await imageOf(root, { tails, parallel: 1 });
        const other = await imageOf(shuffled(root), { tails, parallel, compressor: lateLz4() });
        expect(Buffer.compare(image, other)).toBe(0);
      }),
      { numRuns: 15 },
    );
  });

  test('the company a file is in does not show in its data', async () => {
    const storedBlocks = async (count: number): Promise<string[]> => {
      const root = directory(now);
      for (let i = 0; i < count; i += 1)
        root.children.set(`${i}`, file(words(30_000 + i * 1001, i)));
      const reader = await openErofs(bytesSource(await imageOf(root)));
      const found: string[] = [];
      for await (const { name, nid } of reader.listDirectory(reader.root)) {
        if (name.startsWith('.')) continue;
        const inode = await reader.readInode(nid);
        found.push(`${name} ${inode.size} ${inode.union}`);
      }
      return found;
    };
    const many = new Set(await storedBlocks(100));
    expect((await storedBlocks(7)).filter((each) => !many.has(each))).toEqual([]);
  });

  test('a file of several segments reads back, whatever chunks it comes in', async () => {
    const bytes = Buffer.concat([words(3_900_000, 1), noise(600_000), words(4_000_001, 2)]);
    const chunked = {
      size: bytes.length,
      // oxlint-disable-next-line typescript/require-await -- an async generator by contract
      async *stream() {
        const reused = new Uint8Array(777_777);
        for (let at = 0; at < bytes.length; at += reused.length) {
          const part = bytes.subarray(at, at + reused.length);
          reused.set(part);
          yield reused.subarray(0, part.length);
        }
      },
    };
    const compressor = simpleLz4(1 << 15);
    const image = await imageOf(withFile(chunked), { compressor, clusterSize: 16384 });
    const whole = await imageOf(withFile(bytesContent(bytes)), { compressor, clusterSize: 16384 });
    expect(Buffer.compare(image, whole)).toBe(0);
    expect(image.length).toBeLessThan(bytes.length * 0.8);
    expect(await describeTree(await readBack(image))).toEqual(
      await describeTree(withFile(bytesContent(bytes))),
    );
  });

  test('fragments of any amount are packed in order, equal ones once', async () => {
    const root = directory(now);
    for (let i = 0; i < 400; i += 1) {
      root.children.set(`${i}`, file(testBytes(65_000 - i, i)));
      root.children.set(`${i}-again`, file(testBytes(65_000 - i, i)));
    }
    const more = { tails: 'fragments', clusterSize: 65536 } as const;
    const image = await imageOf(root, { ...more, compressor: storing(0) });
    const late = await imageOf(root, { ...more, parallel: 2, compressor: storing(3) });
    expect(Buffer.compare(image, late)).toBe(0);
    expect(await describeTree(await readBack(image))).toEqual(await describeTree(root));
    const reader = await openErofs(bytesSource(image));
    const packed = await reader.readInode(reader.superblock.packed_nid);
    const sizes = Array.from({ length: 400 }, (_, i) => 65_000 - i);
    expect(packed.size).toBe(sizes.reduce((a, b) => a + b));
  });

  test('what does not shrink stays flat, with its tail behind the inode', async () => {
    const sizes = [1, 100, 4000, 4096, 10_000, 4_200_000];
    const root = directory(now);
    for (const size of sizes) root.children.set(`${size}`, file(noise(size)));
    const sink = new MemorySink();
    const { compressedFiles } = await writeCompressedErofs(root, options, sink);
    expect(compressedFiles).toBe(0);
    const reader = await openErofs(bytesSource(sink.bytes()));
    expect(reader.superblock.feature_incompat).toBe(0);
    const layouts: Record<string, string | undefined> = {};
    for await (const { name, nid } of reader.listDirectory(reader.root)) {
      layouts[name] = dataLayoutNames[(await reader.readInode(nid)).dataLayout];
    }
    expect(layouts).toMatchObject({
      1: 'flat-inline',
      100: 'flat-inline',
      4000: 'flat-inline',
      4096: 'flat-plain',
      10000: 'flat-inline',
      4200000: 'flat-inline',
    });
  });

  test('a small file that shrinks has its data behind the inode, and no blocks', async () => {
    const root = withFile(bytesContent(words(3000, 1)));
    const image = await imageOf(root);
    // The first block holds the root, the second the file.
    expect(image).toHaveLength(8192);
    expect(image.subarray(4096).findLastIndex((byte) => byte !== 0)).toBeLessThan(2200);
    expect((await imageOf(root, { tails: 'blocks' })).length).toBe(8192);
  });

  test.each<[string, Partial<CompressedErofsOptions>, number, number]>([
    ['LZ4 in single blocks mounts on the oldest kernels', { tails: 'blocks' }, 1, 0],
    ['tails are a feature', {}, 0x11, 0],
    ['fragments are a feature', { tails: 'fragments' }, 0x21, 0],
    ['large clusters are a feature', { clusterSize: 8192, tails: 'blocks' }, 3, 1],
    ['deflate is a feature', { compressor: createDeflateCompressor(1), tails: 'blocks' }, 3, 4],
  ])('%s', async (_, more, features, algorithms) => {
    const reader = await openErofs(
      bytesSource(await imageOf(withFile(bytesContent(words(90_500, 3))), more)),
    );
    expect(reader.superblock.feature_incompat).toBe(features);
    expect(reader.superblock.available_compr_algs).toBe(algorithms);
  });

  test('only whole blocks are written, each once, nearly in order', async () => {
    const root = directory(now);
    for (let i = 0; i < 200; i += 1) root.children.set(`f${i}`, file(words(i * 173, i)));
    const written = new Map<number, number>();
    const sink: ImageSink = {
      write(offset, chunk) {
        expect([offset % 4096, chunk.length % 4096]).toEqual([0, 0]);
        for (let at = offset; at < offset + chunk.length; at += 4096) {
          written.set(at, (written.get(at) ?? 0) + 1);
        }
        return Promise.resolve();
      },
      truncate: () => Promise.resolve(),
    };
    const { size } = await writeCompressedErofs(root, options, sink);
    expect([...new Set(written.values())]).toEqual([1]);
    expect(written.size).toBe(size / 4096);
  });

  test('metadata of any amount goes to the image in groups', async () => {
    const root = directory(now);
    const names = Array.from({ length: 290 }, (_, i) => `${i}`);
    for (const name of names) {
      const inode = file(words(100, Number(name)));
      inode.xattrs.set('user.large', testBytes(60_000, Number(name)));
      root.children.set(name, inode);
    }
    const read = await readBack(await imageOf(root));
    expect(await describeTree(read)).toEqual(await describeTree(root));
  });

  test.each([
    ['more', 5_000_000, 5_000_001],
    ['fewer', 5_000_000, 4_999_999],
    ['more', 100, 101],
    ['fewer', 100, 99],
  ])('a file with %s bytes than it said is refused by its path', async (_, size, real) => {
    const content = { ...bytesContent(new Uint8Array(real)), size };
    await expect(imageOf(withFile(content))).rejects.toMatchObject({
      code: 'input',
      message: expect.stringContaining('/file') as string,
    });
  });

  test('an abort stops between chunks', async () => {
    const abort = new AbortController();
    const endless = {
      size: 2 ** 40,
      // oxlint-disable-next-line typescript/require-await -- an async generator by contract
      async *stream() {
        for (let chunks = 1; ; chunks += 1) {
          if (chunks === 3) abort.abort(new Error('stop'));
          yield new Uint8Array(4096);
        }
      },
    };
    await expect(imageOf(withFile(endless), { signal: abort.signal })).rejects.toThrow('stop');
  });

  test('progress counts the bytes of contents', async () => {
    const root = directory(now);
    for (const size of [0, 10, 9000]) root.children.set(`${size}`, file(words(size, 1)));
    const told: number[] = [];
    await imageOf(root, { onProgress: (done) => told.push(done) });
    expect(told).toEqual([10, 9010]);
  });

  test.each<[string, (data: CompressedData) => CompressedData]>([
    ['loses bytes', ({ extents, bytes }) => ({ extents: extents.slice(1), bytes })],
    [
      'stores other bytes than it tells',
      ({ extents, bytes }) => ({ extents, bytes: bytes.subarray(1) }),
    ],
    [
      'saves nothing',
      ({ bytes }) => ({
        extents: [{ isPlain: false, length: 90_500, storedLength: 90_500 }],
        bytes: Buffer.concat([bytes, new Uint8Array(90_500)]).subarray(0, 90_500),
      }),
    ],
    [
      'makes plain clusters of several blocks',
      () => ({
        extents: [{ isPlain: true, length: 90_500, storedLength: 90_500 }],
        bytes: new Uint8Array(90_500),
      }),
    ],
  ])('a compressor that %s is caught', async (_, spoil) => {
    const lz4 = simpleLz4();
    const compressor: ClusterCompressor = {
      ...lz4,
      compress: async (inputs, sizes) => (await lz4.compress(inputs, sizes)).map(spoil),
    };
    const root = withFile(bytesContent(words(90_500, 1)));
    await expect(imageOf(root, { compressor })).rejects.toThrow(TypeError);
  });

  test.each([
    { clusterSize: 6000 },
    { clusterSize: 0 },
    { clusterSize: 2 << 20 },
    { blockSize: 16384, clusterSize: 4096 },
    { parallel: 0 },
    { parallel: 1.5 },
    { blockSize: 512 },
  ])('options %j are refused', async (bad) => {
    await expect(imageOf(directory(now), bad)).rejects.toThrow(RangeError);
  });

  test('an image of known bytes keeps its digest', async () => {
    const root = withFile(bytesContent(words(90_500, 3)));
    root.xattrs.set('security.selinux', Buffer.from('u:object_r:system_file:s0\0'));
    root.children.set('small', file(words(3000, 4)));
    // fsck.erofs and the kernel accept such images (test/interop); a change here changes every image.
    const digest = async (clusterSize: number): Promise<string> =>
      createHash('sha256')
        .update(await imageOf(root, { clusterSize }))
        .digest('hex');
    expect(await digest(4096)).toMatchInlineSnapshot(
      `"19feca86a7d139c3f81ad35c18b1327dab1bb3e92f25fb61e44d161e76378a4a"`,
    );
    expect(await digest(16384)).toMatchInlineSnapshot(
      `"59350d3023a1dc87dd7bf3f281065d5aa2bd67c23b46cf62e18a5854f4cf70eb"`,
    );
  });
});
