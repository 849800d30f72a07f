import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ClusterBatch } from '../../../src/compression/cluster-batch.ts';
import type { ClusterCompressor } from '../../../src/compression/cluster-compressor.ts';
import { createLz4Compressor } from '../../../src/compression/lz4/compressor.ts';
import { UsageError } from '../../../src/core/errors.ts';
import {
  writeCompressedErofs,
  type CompressedErofsOptions,
} from '../../../src/formats/erofs/compressed-writer.ts';
import { fileContent } from '../../../src/io/disk-tree.ts';
import { bytesContent, directory, regularFile, type Directory } from '../../../src/io/file-tree.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import { createNativeClusterCompressor } from '../../../src/native/clusters.ts';
import { loadNativeLibrary, type NativeLibrary } from '../../../src/native/library.ts';
import { BUILD_TIME, testBytes } from '../formats/erofs/trees.ts';

const built = await loadNativeLibrary();

const now = { mtime: BUILD_TIME };
/** A third of it is noise, the rest is the same words in another order. */
function text(size: number): Uint8Array {
  const bytes = testBytes(size);
  for (let at = 0; at < size; at += 30) {
    bytes.set(Buffer.from(`word ${(at * 31) % 97} of many`).subarray(0, size - at), at);
  }
  return bytes;
}

async function imageOf(
  root: Directory,
  compressor: ClusterCompressor,
  more: Partial<CompressedErofsOptions> = {},
): Promise<Uint8Array> {
  const sink = new MemorySink();
  const uuid = testBytes(16);
  await writeCompressedErofs(root, { buildTime: BUILD_TIME, uuid, compressor, ...more }, sink);
  return sink.bytes();
}

describe.skipIf(built === undefined)('files that the native library reads to compress them', () => {
  let folder: string;
  let native: ClusterCompressor;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'microbuild-compress-'));
    native = createNativeClusterCompressor(built as NativeLibrary, 'lz4', 0);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  let count = 0;
  function onDisk(bytes: Uint8Array): { path: string; root: Directory } {
    const path = join(folder, `file-${(count += 1)}-ü`);
    writeFileSync(path, bytes);
    const root = directory(now);
    root.children.set('kept', regularFile(fileContent(path, bytes.length), now));
    return { path, root };
  }

  /** The same tree, with its contents on disk, in memory, some here and some there, and in one file on disk. */
  const [files, memory, mixed] = [directory(now), directory(now), directory(now)];
  const slices = directory(now);
  beforeAll(() => {
    const pool = text(2_502_001);
    const archive = join(folder, 'archive');
    writeFileSync(archive, pool);
    const sizes = Array.from({ length: 1100 }, (_, index) => (index * 7919) % 5000);
    for (const [index, size] of [
      ...sizes,
      4096,
      8192,
      16_385,
      pool.length - 2000,
      2 << 20,
    ].entries()) {
      const bytes = pool.subarray(index, index + size);
      const name = `${index}`;
      const file = onDisk(bytes).root.children.get('kept');
      if (file === undefined) throw new TypeError('There is a file');
      const copy = regularFile(bytesContent(bytes), now);
      files.children.set(name, file);
      memory.children.set(name, copy);
      mixed.children.set(name, index % 3 === 0 ? file : copy);
      const slice = { path: archive, offset: index };
      const content = { ...bytesContent(bytes), slice };
      slices.children.set(name, regularFile(content, now));
    }
  });

  it.each<Partial<CompressedErofsOptions>>([
    { tails: 'blocks' },
    { tails: 'inline' },
    { tails: 'fragments' },
    { tails: 'fragments', clusterSize: 65536 },
    { tails: 'inline', blockSize: 16384, clusterSize: 32768 },
  ])('make the image that their bytes make, with %j', async (more) => {
    const twin = createLz4Compressor();
    const expected = await imageOf(memory, twin, more);
    for (const [root, compressor, parallel] of [
      [files, native, 4],
      [files, native, 1],
      [slices, native, 2],
      [mixed, native, 2],
      [memory, native, 3],
      [mixed, twin, 2],
    ] as const) {
      const image = await imageOf(root, compressor, { ...more, parallel });
      expect(Buffer.compare(image, expected)).toBe(0);
    }
  });

  it.each([
    [100, 101],
    [100, 99],
    [100, 0],
    [5_000_000, 5_000_001],
    [5_000_000, 4_999_999],
    [5_000_000, 1_000_000],
  ])('are refused by their path when of %i bytes %i are left', async (size, left) => {
    const { path, root } = onDisk(text(size));
    if (left > size) appendFileSync(path, 'x');
    else truncateSync(path, left);
    const told = imageOf(root, native, { tails: 'blocks' });
    await expect(told).rejects.toThrow(UsageError);
    await expect(told).rejects.toMatchObject({
      code: 'input',
      message: expect.stringMatching(/\/kept .* planned with/) as string,
    });
  });

  it('are refused when their archive ends within them', async () => {
    for (const size of [5000, 5_000_000]) {
      const path = join(folder, `short-${size}`);
      writeFileSync(path, text(size + 99));
      const root = directory(now);
      const slice = { path, offset: 100 };
      root.children.set('kept', regularFile({ ...bytesContent(text(size)), slice }, now));
      await expect(imageOf(root, native)).rejects.toMatchObject({
        code: 'input',
        message: expect.stringContaining(`only ${size - 1}`) as string,
      });
    }
  });

  it('are told with the system’s error when they cannot be read', async () => {
    const { path, root } = onDisk(text(5000));
    rmSync(path);
    await expect(imageOf(root, native)).rejects.toMatchObject({ code: 'ENOENT', path });
  });

  it('of several problems the one of the first file is told', async () => {
    const root = directory(now);
    for (const name of ['1', '2', '3']) {
      const { path } = onDisk(text(5000));
      root.children.set(name, regularFile(fileContent(path, name === '1' ? 5000 : 5001), now));
    }
    await expect(imageOf(root, native)).rejects.toThrow('/2');
  });

  it('refuses a batch for other blocks', async () => {
    const batch = new ClusterBatch({ blockSize: 4096, inputs: 1, bytes: 10 });
    batch.add(10, true);
    const options = { blockSize: 512, clusterSize: 512 };
    await expect(native.compressBatch?.(batch, options)).rejects.toThrow(RangeError);
  });
});
