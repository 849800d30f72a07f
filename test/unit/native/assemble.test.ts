import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  appendFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import { scanChunks } from '../../../src/formats/erofs/chunks.ts';
import { erofsPieces } from '../../../src/formats/erofs/pieces.ts';
import { planErofs, type ErofsOptions, type ErofsPlan } from '../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../src/formats/erofs/writer.ts';
import { fileContent } from '../../../src/io/disk-tree.ts';
import {
  bytesContent,
  directory,
  regularFile,
  walk,
  type Directory,
  type FileContent,
} from '../../../src/io/file-tree.ts';
import type { AssembleOptions } from '../../../src/io/image-pieces.ts';
import { createFileSink, MemorySink } from '../../../src/io/image-sink.ts';
import { createNativeAssembler } from '../../../src/native/assemble.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { nodeBlockHasher } from '../../../src/verity/block-hasher.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { BUILD_TIME, testBytes, treeArbitrary } from '../formats/erofs/trees.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

const options: ErofsOptions = { buildTime: BUILD_TIME, uuid: testBytes(16) };
const salt = testBytes(21, 5);

async function twinImage(plan: ErofsPlan): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeErofs(plan, sink);
  return sink.bytes();
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(built === undefined)('createNativeAssembler()', () => {
  let library: NativeLibrary;
  let folder: string;
  beforeAll(() => {
    library = built as NativeLibrary;
    folder = mkdtempSync(join(tmpdir(), 'microbuild-assemble-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  let count = 0;
  async function nativeImage(
    plan: ErofsPlan,
    more: AssembleOptions & { threads?: number; offset?: number; hashBlockSize?: number } = {},
  ): Promise<{ image: Uint8Array; digests: Uint8Array }> {
    const { threads, offset = 0, hashBlockSize: blockSize = 4096, ...rest } = more;
    const path = join(folder, `image-${(count += 1)}`);
    const sink = await createFileSink(path);
    const digests = new Uint8Array((plan.size / blockSize) * 32);
    try {
      await sink.truncate(offset + plan.size);
      const fd = sink.file?.fd ?? -1;
      await createNativeAssembler(library, threads).assemble(
        erofsPieces(plan),
        { fd, offset },
        { ...rest, hashing: { blockSize, salt, digests } },
      );
    } finally {
      await sink.close();
    }
    const whole = new Uint8Array(readFileSync(path));
    rmSync(path);
    expect(whole.subarray(0, offset).every((byte) => byte === 0)).toBe(true);
    return { image: whole.subarray(offset), digests };
  }

  /** What the library makes of a plan and what the twin does, as two values to compare. */
  async function bothWays(
    plan: ErofsPlan,
    more: Parameters<typeof nativeImage>[1] = {},
  ): Promise<[ours: string[], twins: string[]]> {
    const { image, digests } = await nativeImage(plan, more);
    const twin = await twinImage(plan);
    const expected = new Uint8Array(digests.length);
    const blockSize = more.hashBlockSize ?? 4096;
    await nodeBlockHasher.hashBlocks({ algorithm: 'sha256', blockSize, salt }, twin, expected);
    return [
      [sha256(image), sha256(digests)],
      [sha256(twin), sha256(expected)],
    ];
  }

  /** Puts the contents of a tree into files. */
  async function onDisk(root: Directory, into: string): Promise<Directory> {
    const files: { inode: ReturnType<typeof regularFile>; path: string }[] = [];
    walk(root, (_, inode) => {
      if (inode.kind === 'file') files.push({ inode, path: join(into, `${files.length}`) });
    });
    for (const { inode, path } of files) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of inode.content.stream()) chunks.push(chunk.slice());
      writeFileSync(path, Buffer.concat(chunks));
      inode.content = fileContent(path, inode.content.size);
    }
    return root;
  }

  /** Puts the contents of a tree into one file, as those of an unpacked archive are. */
  async function inOneFile(root: Directory, into: string): Promise<Directory> {
    const path = join(into, 'archive');
    let at = 0;
    const chunks: Uint8Array[] = [];
    const inodes = new Set<ReturnType<typeof regularFile>>();
    walk(root, (_, inode) => void (inode.kind === 'file' && inodes.add(inode)));
    for (const inode of inodes) {
      const { size } = inode.content;
      chunks.push(Buffer.from('header'));
      at += 6;
      for await (const chunk of inode.content.stream()) chunks.push(chunk.slice());
      inode.content = sliceContent(path, at, size);
      at += size;
    }
    writeFileSync(path, Buffer.concat(chunks));
    return root;
  }

  const sliceContent = (path: string, offset: number, size: number): FileContent => ({
    size,
    slice: { path, offset },
    async *stream() {
      if (size > 0) yield readFileSync(path).subarray(offset, offset + size);
    },
  });

  it('makes the bytes and digests of the twin from slices of one file', async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary,
        fc.constantFrom(4096, 16384),
        fc.integer({ min: 1, max: 5 }),
        async (tree, blockSize, threads) => {
          const root = await inOneFile(tree, mkdtempSync(join(folder, 'slices-')));
          const plan = planErofs(root, { ...options, blockSize });
          const [ours, twins] = await bothWays(plan, { threads });
          expect(ours).toEqual(twins);
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each([100, 4096, 100_000, 3_000_000])(
    'refuses a slice of %i bytes of a file that ends within it, and takes one that ends with it',
    async (size) => {
      const path = join(tmpDir(), 'archive');
      const bytes = testBytes(size + 10);
      writeFileSync(path, bytes);
      const root = directory();
      root.children.set('name', regularFile(sliceContent(path, 10, size)));
      const plan = planErofs(root, options);
      const [ours, twins] = await bothWays(plan);
      expect(ours).toEqual(twins);
      truncateSync(path, size + 9);
      await expect(nativeImage(plan)).rejects.toMatchObject({
        code: 'input',
        message: expect.stringContaining(`only ${size - 1}`),
      });
      truncateSync(path, 5);
      await expect(nativeImage(plan)).rejects.toMatchObject({
        code: 'input',
        message: expect.stringContaining('/name'),
      });
    },
  );

  it('makes the bytes and digests of the twin from contents in memory', async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary,
        fc.constantFrom(4096, 16384),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom(0, 4096, 1 << 20),
        async (root, blockSize, threads, offset) => {
          const plan = planErofs(root, { ...options, blockSize });
          const [ours, twins] = await bothWays(plan, { threads, offset });
          expect(ours).toEqual(twins);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('makes the bytes and digests of the twin from files on disk', async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary,
        fc.constantFrom(4096, 65536),
        fc.integer({ min: 1, max: 5 }),
        async (tree, blockSize, threads) => {
          const root = await onDisk(tree, mkdtempSync(join(folder, 'files-')));
          const plan = planErofs(root, { ...options, blockSize });
          const [ours, twins] = await bothWays(plan, { threads });
          expect(ours).toEqual(twins);
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each([1, 2, 3, 8])(
    'makes the same of large and many files with %i threads',
    async (threads) => {
      const root = directory({ mtime: BUILD_TIME });
      const into = mkdtempSync(join(folder, 'large-'));
      const sizes = [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_003, 3 << 20];
      for (let i = 0; i < 1500; i += 1) sizes.push((i * i) % 9001);
      for (const [i, size] of sizes.entries()) {
        const bytes = testBytes(size, i);
        // Half of it zeros, which are not written.
        if (size > 2 << 20) bytes.fill(0, 1 << 20, 2 << 20);
        writeFileSync(join(into, `${i}`), bytes);
        root.children.set(
          `${i}`,
          regularFile(fileContent(join(into, `${i}`), size), { mtime: i % 3 }),
        );
      }
      const plan = planErofs(root, options);
      const [ours, twins] = await bothWays(plan, { threads, hashBlockSize: 1024 });
      expect(ours).toEqual(twins);
    },
  );

  it('stores chunks that files share once, as the twin does', async () => {
    const root = directory({ mtime: BUILD_TIME });
    const into = mkdtempSync(join(folder, 'chunks-'));
    const common = testBytes(3 << 16, 9);
    for (const [name, bytes] of Object.entries({
      a: common,
      b: Buffer.concat([testBytes(1 << 16, 3), common]),
      c: Buffer.concat([common, Buffer.alloc(1 << 18), testBytes(777)]),
      d: common.subarray(0, 100_000),
    })) {
      writeFileSync(join(into, name), bytes);
      root.children.set(name, regularFile(fileContent(join(into, name), bytes.length)));
    }
    const plan = planErofs(root, { ...options, chunks: await scanChunks(root) });
    expect(plan.inodes.some(({ dataExtents }) => dataExtents !== undefined)).toBe(true);
    const [ours, twins] = await bothWays(plan);
    expect(ours).toEqual(twins);
  });

  it.each([
    ['is shorter', (path: string) => truncateSync(path, 99_999)],
    ['is longer', (path: string) => appendFileSync(path, 'x')],
    ['is empty', (path: string) => truncateSync(path, 0)],
  ])('refuses a file that %s than it was, as the twin does', async (_, change) => {
    for (const size of [100_000, 3_000_000, 4000]) {
      const path = join(tmpDir(), 'file');
      writeFileSync(path, testBytes(size));
      const root = directory();
      root.children.set('name', regularFile(fileContent(path, size)));
      const plan = planErofs(root, options);
      if (size < 99_999) appendFileSync(path, 'longer');
      else change(path);
      const error = await nativeImage(plan).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UsageError);
      expect(error).toMatchObject({ code: 'input', message: expect.stringContaining('/name') });
    }
  });

  it('says which file it cannot read', async () => {
    const root = directory();
    root.children.set('gone', regularFile(fileContent('/nowhere/gone', 5000)));
    await expect(nativeImage(planErofs(root, options))).rejects.toMatchObject({
      code: 'ENOENT',
      path: '/nowhere/gone',
    });
  });

  it('fails with the error of the system when it cannot write', async () => {
    const path = join(tmpDir(), 'read-only');
    writeFileSync(path, '');
    const fd = openSync(path, 'r');
    try {
      const root = directory();
      root.children.set('a', regularFile(fileContent(path, 0)));
      const image = erofsPieces(planErofs(root, options));
      await expect(
        createNativeAssembler(library).assemble(image, { fd, offset: 0 }),
      ).rejects.toMatchObject({ code: 'EBADF' });
    } finally {
      closeSync(fd);
    }
  });

  it('stops with the reason of the signal, before and within', async () => {
    const into = tmpDir();
    const root = directory();
    writeFileSync(join(into, 'large'), new Uint8Array(64 << 20));
    for (let i = 0; i < 8; i += 1) {
      root.children.set(`${i}`, regularFile(fileContent(join(into, 'large'), 64 << 20)));
    }
    const plan = planErofs(root, options);
    const reason = new Error('enough');
    await expect(nativeImage(plan, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const running = nativeImage(plan, { signal: controller.signal });
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  it('ends an error of a content that is streamed, as it was thrown', async () => {
    const root = directory();
    const failure = new Error('the source is gone');
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(testBytes(10));
      throw failure;
    }
    root.children.set('a', regularFile({ size: 70_000, stream }));
    await expect(nativeImage(planErofs(root, options))).rejects.toBe(failure);
  });

  it('reports progress up to the end', async () => {
    const root = directory();
    root.children.set('a', regularFile(bytesContent(testBytes(70_000))));
    const plan = planErofs(root, options);
    const seen: number[] = [];
    await nativeImage(plan, { onProgress: (done) => seen.push(done) });
    expect(seen.at(-1)).toBe(erofsPieces(plan).pieceSize);
  });

  it('refuses sizes of hashing that do not fit before it is called', async () => {
    const plan = planErofs(directory(), options);
    const assemble = (blockSize: number, room: number): Promise<void> =>
      createNativeAssembler(library).assemble(
        erofsPieces(plan),
        { fd: -1, offset: 0 },
        { hashing: { blockSize, salt, digests: new Uint8Array(room) } },
      );
    await expect(assemble(8192, 64)).rejects.toThrow(RangeError);
    await expect(assemble(4096, 31)).rejects.toThrow(RangeError);
    await expect(assemble(4096, (plan.size / 4096) * 32)).rejects.toThrow(RangeError);
  });
});
