import { createHash } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  planErofsImage,
  type ErofsCompression,
  type ErofsFolderOptions,
} from '../../../src/builder/plan-erofs-image.ts';
import { UsageError } from '../../../src/core/errors.ts';
import { readTree } from '../../../src/formats/erofs/read-tree.ts';
import { openErofs } from '../../../src/formats/erofs/reader.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { bytesContent, walk } from '../../../src/io/file-tree.ts';
import type { AssembleOptions } from '../../../src/io/image-pieces.ts';
import { createFileSink } from '../../../src/io/image-sink.ts';
import {
  planCompressedErofsNatively,
  type NativeCompressedPlan,
  type NativeCompression,
} from '../../../src/native/erofs-compressed.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { scanNatively, type NativeScan } from '../../../src/native/scan-tree.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { runTool } from '../../support/tools.ts';
import { BUILD_TIME, testBytes, treeArbitrary } from '../formats/erofs/trees.ts';
import { bytesOf, partArbitrary, parts, type Part } from './file-parts.ts';
import { plantTree } from './plant-tree.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

const uuid = testBytes(16);
const SEGMENT_SIZE = 2 << 20;

const lz4hc: NativeCompression = {
  algorithm: 'lz4hc',
  level: 9,
  clusterSize: 4096,
  tails: 'inline',
};
const defaults: Omit<ErofsFolderOptions, 'folder' | 'compression'> & {
  readonly compression: NativeCompression;
} = {
  blockSize: 4096,
  label: undefined,
  buildTime: BUILD_TIME,
  keepTimes: true,
  allRoot: false,
  xattrs: false,
  exclude: [],
  compression: lz4hc,
  deduplicate: false,
  signal: new AbortController().signal,
};

const compressionArbitrary = (blockSize: number): fc.Arbitrary<NativeCompression> =>
  fc.record({
    algorithm: fc.constantFrom('lz4', 'lz4hc', 'deflate', 'zstd'),
    level: fc.integer({ min: 1, max: 9 }),
    clusterSize: fc.constantFrom(1, 2, 4, 16).map((blocks) => blocks * blockSize),
    tails: fc.constantFrom('inline', 'blocks'),
  });

describe.skipIf(built === undefined)('planCompressedErofsNatively()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  type Options = Partial<typeof defaults> & { readonly threads?: number };

  async function plan(
    folder: string,
    { threads, ...options }: Options = {},
  ): Promise<{ readonly scan: NativeScan; readonly plan: NativeCompressedPlan | undefined }> {
    const all = { ...defaults, ...options, folder, volumeName: options.label ?? '' };
    const scan = await scanNatively(library, folder, all, threads);
    const { compression } = all;
    return {
      scan,
      plan: await planCompressedErofsNatively(library, scan, all, compression, threads),
    };
  }

  async function planned(...args: Parameters<typeof plan>): Promise<NativeCompressedPlan> {
    const made = (await plan(...args)).plan;
    if (made === undefined) throw new TypeError('The folder was refused');
    return made;
  }

  async function write(
    made: NativeCompressedPlan,
    options: AssembleOptions = {},
  ): Promise<{ readonly image: Buffer; readonly compressedFiles: number }> {
    const path = join(tmpDir(), 'image');
    const sink = await createFileSink(path);
    try {
      const { size, compressedFiles } = await made.write(uuid, sink.file, options);
      await sink.truncate(size);
      return { image: readFileSync(path), compressedFiles };
    } finally {
      await sink.close();
      made.close();
    }
  }

  /** The same by the twin. */
  async function twin(
    folder: string,
    options: Partial<typeof defaults>,
    compressor?: NativeLibrary,
  ): Promise<{ inodes: number; seed: Uint8Array; image: Buffer }> {
    const made = await planErofsImage({ ...defaults, ...options, folder }, compressor, undefined);
    const path = join(tmpDir(), 'image');
    const sink = await createFileSink(path);
    try {
      await made.write(uuid, sink, {});
    } finally {
      await sink.close();
    }
    return { inodes: made.inodes, seed: made.seed, image: readFileSync(path) };
  }

  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  /** What the library makes of a folder and what the twin does, as two values to compare. */
  async function bothWays(
    folder: string,
    options: Options,
    compressor?: NativeLibrary,
  ): Promise<[ours: unknown, twins: unknown]> {
    const { threads: _, ...twinOptions } = options;
    const made = await planned(folder, options);
    const { inodes, seed } = made;
    const { image } = await write(made);
    const theirs = await twin(folder, twinOptions, compressor);
    return [
      { inodes, seed, size: image.length, image: sha256(image) },
      { ...theirs, size: theirs.image.length, image: sha256(theirs.image) },
    ];
  }

  it('makes the identifiers and bytes of the twin from random folders', async () => {
    const optionsArbitrary = fc.constantFrom(4096, 16384, 65536).chain((blockSize) =>
      fc.record({
        blockSize: fc.constant(blockSize),
        compression: compressionArbitrary(blockSize),
        keepTimes: fc.boolean(),
        allRoot: fc.boolean(),
        label: fc.constantFrom(undefined, '', 'sÿstem'),
        threads: fc.integer({ min: 1, max: 4 }),
      }),
    );
    const contents = fc.array(fc.array(partArbitrary, { maxLength: 4 }), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(treeArbitrary, contents, optionsArbitrary, async (root, files, options) => {
        let number = 0;
        walk(root, (_, inode) => {
          const content = files[number % files.length];
          // Some keep what they have, and thereby the tree's special sizes.
          if (inode.kind !== 'file' || number % 3 === 2 || content === undefined) return;
          inode.content = bytesContent(bytesOf(content, number));
          number += 1;
        });
        const folder = tmpDir();
        await plantTree(root, folder);
        const [ours, twins] = await bothWays(folder, options);
        expect(ours).toEqual(twins);
      }),
      { numRuns: 40 },
    );
  });

  const edges: readonly (readonly Part[])[] = [
    [['noise', SEGMENT_SIZE - 1]],
    [['noise', SEGMENT_SIZE]],
    [['noise', SEGMENT_SIZE + 1]],
    [['noise', SEGMENT_SIZE + 4064]],
    [['noise', SEGMENT_SIZE + 4065]],
    [['noise', SEGMENT_SIZE + 65_535]],
    // All is plain but what comes behind the first segment.
    [
      ['noise', SEGMENT_SIZE],
      ['words', 3000],
    ],
    [
      ['noise', SEGMENT_SIZE],
      ['words', 300_000],
    ],
    [
      ['noise', SEGMENT_SIZE],
      ['zeros', 1 << 20],
    ],
    // Nothing is compressed but what is in the first segment.
    [
      ['words', SEGMENT_SIZE],
      ['noise', 700],
    ],
    [
      ['zeros', SEGMENT_SIZE],
      ['noise', 4096],
    ],
    [['zeros', 2 * SEGMENT_SIZE]],
    // An index of more than a block, with a tail behind it.
    [
      ['zeros', 12 * SEGMENT_SIZE],
      ['words', 5000],
    ],
    // A block of 64 KiB that would just fit behind the index, if its size had a place in the header.
    [
      ['zeros', 1 << 20],
      ['noise', 2 << 16],
    ],
  ];

  it.each([
    { blockSize: 4096, ...lz4hc },
    { blockSize: 4096, ...lz4hc, tails: 'blocks' as const },
    { blockSize: 4096, ...lz4hc, clusterSize: 1 << 20 },
    { blockSize: 16384, ...lz4hc, algorithm: 'zstd' as const, clusterSize: 65536 },
    { blockSize: 65536, ...lz4hc, clusterSize: 65536 },
    { blockSize: 65536, ...lz4hc, clusterSize: 65536, tails: 'blocks' as const },
  ])(
    'makes the same, which reads back, of files around the cuts with %j',
    async ({ blockSize, ...how }) => {
      const folder = tmpDir();
      for (const [index, content] of edges.entries()) {
        writeFileSync(join(folder, `${index}`), bytesOf(content, index));
      }
      const options = { blockSize, compression: { ...how, level: 3 }, keepTimes: false };
      const [ours, twins] = await bothWays(folder, { ...options, threads: 3 }, library);
      expect(ours).toEqual(twins);

      const { image } = await write(await planned(folder, { ...options, threads: 1 }));
      expect(ours).toMatchObject({ image: sha256(image) });
      const { children } = await readTree(await openErofs(bytesSource(image)));
      for (const [index, content] of edges.entries()) {
        const inode = children.get(`${index}`);
        if (inode?.kind !== 'file') throw new TypeError('All are files');
        const hash = createHash('sha256');
        for await (const chunk of inode.content.stream()) hash.update(chunk);
        expect([index, hash.digest('hex')]).toEqual([index, sha256(bytesOf(content, index))]);
      }
    },
  );

  it('makes the same of large directories, files and many links', async () => {
    const folder = tmpDir();
    const inner = ['!', '-', 'a', 'a/b', 'a.b', 'z', 'ä', '\u{ffff}', '\u{1f600}'];
    for (const name of inner) mkdirSync(join(folder, name));
    for (let i = 0; i < 3000; i += 1) {
      const into = inner[i % (i % 3 === 0 ? 2 : inner.length)] ?? '';
      const bytes = parts[i % 5 === 0 ? 'noise' : 'words']((i * i) % 9001, i);
      writeFileSync(join(folder, into, 'n'.repeat(i % 200) + i), bytes);
    }
    for (let i = 0; i < 9; i += 1) {
      const name = inner[i] ?? '';
      linkSync(join(folder, '!', '0'), join(folder, name, `link ${i}`));
    }
    for (const length of [1, 63, 64, 4031, 4032, 4033, 4064, 4065, 4095]) {
      symlinkSync('t'.repeat(length), join(folder, 'z', `${length}`));
    }
    for (const clusterSize of [4096, 65536]) {
      const compression = { ...lz4hc, clusterSize };
      const [ours, twins] = await bothWays(folder, { compression, threads: 3 }, library);
      expect(ours).toEqual(twins);
    }
  });

  it('makes the same with several groups of metadata', async () => {
    const folder = tmpDir();
    // Tails that do not compress, behind data that does: 4 KiB of metadata for each.
    const content = Buffer.concat([bytesOf([['zeros', 8192]]), bytesOf([['noise', 3500]])]);
    for (let i = 0; i < 5000; i += 1) {
      content.writeUInt32LE(i, 9000);
      writeFileSync(join(folder, `${i}`), content);
    }
    const [ours, twins] = await bothWays(folder, { threads: 2 }, library);
    expect(ours).toEqual(twins);
  });

  it('makes the same where the last inode would end the image', async () => {
    const folder = tmpDir();
    const sizes = new Set<number>();
    for (let count = 1; count < 140; count += 1) {
      writeFileSync(join(folder, `${count}`.padStart(3, '0')), '');
      if (count < 100) continue;
      const [ours, twins] = await bothWays(folder, { keepTimes: false, allRoot: true });
      expect(ours).toEqual(twins);
      sizes.add((await twin(folder, { keepTimes: false, allRoot: true })).image.length);
    }
    expect([...sizes]).toEqual([8192, 12288]);
  });

  it('counts the files that are compressed', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'text'), parts.words(20_000, 1));
    writeFileSync(join(folder, 'more'), parts.words(9000, 2));
    writeFileSync(join(folder, 'noise'), parts.noise(20_000, 3));
    writeFileSync(join(folder, 'none'), '');
    expect(await write(await planned(folder))).toMatchObject({ compressedFiles: 2 });
  });

  it('writes behind what the file has before', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'text'), parts.words(90_000, 1));
    const { image } = await write(await planned(folder));
    const path = join(tmpDir(), 'file');
    writeFileSync(path, Buffer.alloc(12_345, 1));
    const fd = openSync(path, 'r+');
    const made = await planned(folder);
    try {
      await made.write(uuid, { fd, offset: 12_345 });
    } finally {
      closeSync(fd);
      made.close();
    }
    const written = readFileSync(path);
    expect(Buffer.compare(written.subarray(0, 12_345), Buffer.alloc(12_345, 1))).toBe(0);
    expect(Buffer.compare(written.subarray(12_345), image)).toBe(0);
  });

  it('leaves to the twin what it does not store, with the scan', async () => {
    const target = tmpDir();
    symlinkSync(Buffer.from([0x61, 0xff]), join(target, 'link'));
    const attribute = tmpDir();
    writeFileSync(join(attribute, 'file'), '');
    runTool('setfattr', ['-n', 'user.test', '-v', 'value', join(attribute, 'file')]);
    for (const folder of [target, attribute, '/nowhere/at all']) {
      const made = await plan(folder, { xattrs: true });
      expect([folder, made.plan]).toEqual([folder, undefined]);
      expect([...made.scan.entries()].length).toBeGreaterThan(0);
    }
  });

  it.each<[keyof ErofsCompression, NativeCompression]>([
    ['level', { ...lz4hc, level: 13 }],
    ['level', { ...lz4hc, algorithm: 'zstd', level: 0 }],
    ['clusterSize', { ...lz4hc, clusterSize: 2048 }],
    ['clusterSize', { ...lz4hc, clusterSize: 4097 }],
    ['clusterSize', { ...lz4hc, clusterSize: 2 << 20 }],
  ])('refuses a %s that cannot be: %j', async (_, compression) => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'text'), parts.words(9000, 2));
    const failed = planned(folder, { compression }).then((made) => write(made));
    await expect(failed).rejects.toThrow(RangeError);
  });

  it.each([
    ['is shorter', (path: string) => truncateSync(path, 3999)],
    ['is longer', (path: string) => appendFileSync(path, 'x')],
    ['is empty', (path: string) => truncateSync(path, 0)],
  ])('refuses a file that %s than it was, by its place', async (_, change) => {
    for (const size of [4000, 100_000, 5_000_000]) {
      const folder = tmpDir();
      mkdirSync(join(folder, 'sub'));
      writeFileSync(join(folder, 'sub/ä'), testBytes(size));
      const made = await planned(folder);
      change(join(folder, 'sub/ä'));
      const error = await write(made).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UsageError);
      const message = expect.stringContaining(
        ` /sub/ä in EROFS: it was planned with ${size} bytes`,
      );
      expect(error).toMatchObject({ code: 'input', message });
    }
  });

  it('says which file it cannot read: of several the first', async () => {
    const folder = tmpDir();
    for (let i = 0; i < 2000; i += 1) writeFileSync(join(folder, `${i}`), 'text');
    const made = await planned(folder, { threads: 4 });
    for (const name of ['1500', '300', '999']) rmSync(join(folder, name));
    const path = join(folder, '1500');
    await expect(write(made)).rejects.toMatchObject({ code: 'ENOENT', syscall: 'read', path });
  });

  it('says why it cannot write', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'file'), parts.noise(3_000_000, 1));
    const made = await planned(folder);
    const fd = openSync('/dev/full', 'r+');
    const written = made.write(uuid, { fd, offset: 0 });
    await expect(written).rejects.toMatchObject({ code: 'ENOSPC', syscall: 'write' });
    closeSync(fd);
    made.close();
  });

  it('stops with the reason of the signal, before and within', async () => {
    const folder = tmpDir();
    for (let i = 0; i < 8; i += 1) {
      writeFileSync(join(folder, `${i}`), parts.words(100, i));
      truncateSync(join(folder, `${i}`), 64 << 20);
    }
    const reason = new Error('enough');
    const aborted = AbortSignal.abort(reason);
    await expect(write(await planned(folder), { signal: aborted })).rejects.toBe(reason);
    const controller = new AbortController();
    const running = write(await planned(folder), { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 2);
    await expect(running).rejects.toBe(reason);
  });

  it('reports progress up to the end', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'a'), parts.words(70_000, 0));
    const made = await planned(folder);
    expect(made.contentSize).toBe(70_000);
    const seen: number[] = [];
    await write(made, { onProgress: (done) => seen.push(done) });
    expect(seen.at(-1)).toBe(70_000);
  });

  it('cannot be used when it is closed', async () => {
    const made = await planned(tmpDir());
    made.close();
    await expect(write(made)).rejects.toThrow(RangeError);
  });
});
