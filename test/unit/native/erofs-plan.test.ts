import { createHash } from 'node:crypto';
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { planErofsImage, type ErofsFolderOptions } from '../../../src/builder/plan-erofs-image.ts';
import { UsageError } from '../../../src/core/errors.ts';
import type { AssembleOptions } from '../../../src/io/image-pieces.ts';
import { createFileSink } from '../../../src/io/image-sink.ts';
import { planErofsNatively, type NativeErofsPlan } from '../../../src/native/erofs-plan.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { scanNatively, type NativeScan } from '../../../src/native/scan-tree.ts';
import { nodeBlockHasher } from '../../../src/verity/block-hasher.ts';
import { tmpDir } from '../../support/tmp-dir.ts';
import { runTool } from '../../support/tools.ts';
import { BUILD_TIME, testBytes, treeArbitrary } from '../formats/erofs/trees.ts';
import { plantTree } from './plant-tree.ts';

const built = await loadNativeLibrary();
if (built === undefined) {
  process.stderr.write('native: the library is not built, its tests are skipped (scripts/setup)\n');
}

const uuid = testBytes(16);
const salt = testBytes(21, 5);

const defaults: Omit<ErofsFolderOptions, 'folder'> = {
  blockSize: 4096,
  label: undefined,
  buildTime: BUILD_TIME,
  keepTimes: true,
  allRoot: false,
  xattrs: false,
  exclude: [],
  compression: undefined,
  deduplicate: false,
  signal: new AbortController().signal,
};

describe.skipIf(built === undefined)('planErofsNatively()', () => {
  let library: NativeLibrary;
  beforeAll(() => {
    library = built as NativeLibrary;
  });

  async function plan(
    folder: string,
    options: Partial<ErofsFolderOptions> & { readonly threads?: number } = {},
  ): Promise<{ readonly scan: NativeScan; readonly plan: NativeErofsPlan | undefined }> {
    const all = { ...defaults, ...options, folder, volumeName: options.label ?? '' };
    const scan = await scanNatively(library, folder, all, options.threads);
    return { scan, plan: await planErofsNatively(library, scan, all, options.threads) };
  }

  async function planned(...args: Parameters<typeof plan>): Promise<NativeErofsPlan> {
    const made = (await plan(...args)).plan;
    if (made === undefined) throw new TypeError('The folder was refused');
    return made;
  }

  async function write(
    made: NativeErofsPlan,
    options: AssembleOptions = {},
  ): Promise<{ image: Buffer; digests: Buffer }> {
    const path = join(tmpDir(), 'image');
    const sink = await createFileSink(path);
    const digests = Buffer.alloc((made.size / made.blockSize) * 32);
    const hashing = { blockSize: made.blockSize, salt, digests };
    try {
      await sink.truncate(made.size);
      await made.assemble(uuid, sink.file, { ...options, hashing });
    } finally {
      await sink.close();
      made.close();
    }
    return { image: readFileSync(path), digests };
  }

  /** The same by the twin. */
  async function twin(
    folder: string,
    options: Partial<ErofsFolderOptions>,
  ): Promise<{ inodes: number; seed: Uint8Array; image: Buffer; digests: Buffer }> {
    const made = await planErofsImage({ ...defaults, ...options, folder }, undefined, undefined);
    const path = join(tmpDir(), 'image');
    const sink = await createFileSink(path);
    try {
      await made.write(uuid, sink, {});
    } finally {
      await sink.close();
    }
    const image = readFileSync(path);
    const blockSize = options.blockSize ?? defaults.blockSize;
    const digests = Buffer.alloc((image.length / blockSize) * 32);
    await nodeBlockHasher.hashBlocks({ algorithm: 'sha256', blockSize, salt }, image, digests);
    return { inodes: made.inodes, seed: made.seed, image, digests };
  }

  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

  /** What the library makes of a folder and what the twin does, as two values to compare. */
  async function bothWays(
    folder: string,
    { threads, ...options }: NonNullable<Parameters<typeof plan>[1]>,
  ): Promise<[ours: unknown, twins: unknown]> {
    const made = await planned(folder, { ...options, ...(threads && { threads }) });
    const { inodes, seed } = made;
    const { image, digests } = await write(made);
    const theirs = await twin(folder, options);
    return [
      { inodes, seed, image: sha256(image), digests: sha256(digests) },
      { ...theirs, image: sha256(theirs.image), digests: sha256(theirs.digests) },
    ];
  }

  it('makes the identifiers, bytes and digests of the twin from random folders', async () => {
    await fc.assert(
      fc.asyncProperty(
        treeArbitrary,
        fc.record({
          blockSize: fc.constantFrom(4096, 16384, 65536),
          keepTimes: fc.boolean(),
          allRoot: fc.boolean(),
          label: fc.constantFrom(undefined, '', 'sÿstem'),
          threads: fc.integer({ min: 1, max: 4 }),
        }),
        async (root, options) => {
          const folder = tmpDir();
          await plantTree(root, folder);
          const [ours, twins] = await bothWays(folder, options);
          expect(ours).toEqual(twins);
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each([1, 3])(
    'makes the same of large directories, files and many links with %i threads',
    async (threads) => {
      const folder = tmpDir();
      const inner = ['!', '-', 'a', 'a/b', 'a.b', 'z', 'ä', '\u{ffff}', '\u{1f600}'];
      for (const name of inner) mkdirSync(join(folder, name));
      for (let i = 0; i < 3000; i += 1) {
        const into = inner[i % (i % 3 === 0 ? 2 : inner.length)] ?? '';
        writeFileSync(join(folder, into, 'n'.repeat(i % 200) + i), testBytes((i * i) % 9001, i));
      }
      for (const size of [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_003]) {
        const bytes = testBytes(size, size & 7);
        bytes.fill(0, 4096, size >> 1);
        writeFileSync(join(folder, 'a', `${size}`), bytes);
        for (const name of inner)
          linkSync(join(folder, 'a', `${size}`), join(folder, name, `l${size}`));
      }
      for (const length of [1, 63, 64, 4031, 4032, 4033, 4064, 4065, 4095]) {
        symlinkSync('t'.repeat(length), join(folder, 'z', `${length}`));
      }
      const [ours, twins] = await bothWays(folder, { threads, keepTimes: false });
      expect(ours).toEqual(twins);
    },
  );

  it('makes the same where the last inode would end the image', async () => {
    const folder = tmpDir();
    const sizes = new Set<number>();
    for (let count = 1; count < 75; count += 1) {
      writeFileSync(join(folder, `${count}`.padStart(3, '0')), '');
      if (count < 30) continue;
      const [ours, twins] = await bothWays(folder, { keepTimes: false, allRoot: true });
      expect(ours).toEqual(twins);
      sizes.add((await twin(folder, { keepTimes: false, allRoot: true })).image.length);
    }
    expect([...sizes]).toEqual([4096, 8192]);
  });

  it('leaves to the twin what it does not store, with the scan', async () => {
    const name = tmpDir();
    writeFileSync(Buffer.concat([Buffer.from(`${name}/a`), Buffer.from([0xff])]), '');
    const target = tmpDir();
    symlinkSync(Buffer.from([0x61, 0xff]), join(target, 'link'));
    const attribute = tmpDir();
    writeFileSync(join(attribute, 'file'), '');
    runTool('setfattr', ['-n', 'user.test', '-v', 'value', join(attribute, 'file')]);
    const file = join(tmpDir(), 'file');
    writeFileSync(file, '');
    for (const folder of [name, target, attribute, file, '/nowhere/at all']) {
      const made = await plan(folder, { xattrs: true });
      expect([folder, made.plan]).toEqual([folder, undefined]);
      expect([...made.scan.entries()].length).toBeGreaterThan(0);
    }
    const { scan } = await plan(attribute, { blockSize: 8192 });
    expect([...scan.entries()]).toHaveLength(2);
    expect((await plan(attribute, { buildTime: 0.5 })).plan).toBeUndefined();
    expect((await plan(attribute)).plan).toBeDefined();
  });

  it.each([
    ['is shorter', (path: string) => truncateSync(path, 3999)],
    ['is longer', (path: string) => appendFileSync(path, 'x')],
    ['is empty', (path: string) => truncateSync(path, 0)],
  ])('refuses a file that %s than it was, by its place', async (_, change) => {
    for (const size of [4000, 100_000, 3_000_000]) {
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

  it('says which file it cannot read', async () => {
    const folder = tmpDir();
    writeFileSync(join(folder, 'gone'), 'text');
    const made = await planned(folder);
    rmSync(join(folder, 'gone'));
    await expect(write(made)).rejects.toMatchObject({ code: 'ENOENT', path: join(folder, 'gone') });
  });

  it('stops with the reason of the signal, before and within', async () => {
    const folder = tmpDir();
    for (let i = 0; i < 8; i += 1) {
      writeFileSync(join(folder, `${i}`), '');
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
    writeFileSync(join(folder, 'a'), testBytes(70_000));
    const made = await planned(folder);
    const seen: number[] = [];
    await write(made, { onProgress: (done) => seen.push(done) });
    expect(seen.at(-1)).toBe(made.pieceSize);
  });

  it('cannot be used when it is closed', async () => {
    const made = await planned(tmpDir());
    made.close();
    await expect(write(made)).rejects.toThrow(RangeError);
  });
});
