/** Our EROFS images judged by fsck.erofs, the Linux kernel and our own reader. */

import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ClusterCompressor } from '../../src/compression/cluster-compressor.ts';
import { createDeflateCompressor } from '../../src/compression/deflate/compressor.ts';
import { createLz4Compressor } from '../../src/compression/lz4/compressor.ts';
import { createZstdCompressor } from '../../src/compression/zstd/compressor.ts';
import {
  writeCompressedErofs,
  type CompressedErofsOptions,
} from '../../src/formats/erofs/compressed-writer.ts';
import { bytesContent, directory, regularFile, type Directory } from '../../src/io/file-tree.ts';
import { createFileSink } from '../../src/io/image-sink.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { simpleLz4 } from '../unit/formats/erofs/simple-lz4.ts';
import { BUILD_TIME, testBytes, treeArbitrary } from '../unit/formats/erofs/trees.ts';
import { expectReadsBack, isMountable } from './judge-erofs.ts';
import { kernelReadable } from './kernel-readable.ts';

const now = { mtime: BUILD_TIME };
const uuid = testBytes(16);

/** Writes an image and has everybody read it. */
async function expectAccepted(
  root: Directory,
  options: Omit<CompressedErofsOptions, 'buildTime' | 'uuid'>,
  fsck = true,
): Promise<void> {
  const image = join(tmpDir(), 'ours.erofs');
  const sink = await createFileSink(image);
  await writeCompressedErofs(root, { buildTime: BUILD_TIME, uuid, ...options }, sink);
  await sink.close();
  await expectReadsBack(image, root, { fsck });
}

/** Data that compresses well, badly and by turns, in files of many sizes. */
function mixedTree(): Directory {
  const text = Buffer.from(Array.from({ length: 200_000 }, (_, i) => `${i * i} `).join(''));
  const noise = Buffer.concat(
    Array.from({ length: 6000 }, (_, i) => createHash('sha512').update(`${i}`).digest()),
  );
  const turns = Buffer.concat(
    Array.from({ length: 40 }, (_, i) => [
      text.subarray(i * 9000, i * 9000 + 7000 + i * 321),
      noise.subarray(i * 5000, i * 5000 + 9000 - i * 123),
      Buffer.alloc(i * 1000),
    ]).flat(),
  );
  const root = directory(now);
  const put = (name: string, bytes: Uint8Array): void => {
    root.children.set(name, regularFile(bytesContent(new Uint8Array(bytes)), now));
  };
  for (const [name, bytes] of Object.entries({
    text,
    noise,
    turns,
    zeros: Buffer.alloc(6e6 + 1),
  })) {
    put(name, bytes);
    for (const size of [
      1, 511, 600, 2000, 4000, 4096, 4097, 6000, 8192, 20_000, 100_000, 262_144,
    ]) {
      put(`${name}-${size}`, bytes.subarray(0, size));
      put(`${name}-end-${size}`, bytes.subarray(bytes.length - size));
    }
  }
  return root;
}

const deflate = createDeflateCompressor(1);
const zstd = createZstdCompressor(1);
const lz4 = createLz4Compressor();
const lz4hc = createLz4Compressor({ level: 9 });
const settings: [string, ClusterCompressor, number, 'inline' | 'fragments' | 'blocks', boolean][] =
  [
    ['LZ4', simpleLz4(), 4096, 'inline', true],
    ['LZ4 without tails', simpleLz4(), 4096, 'blocks', true],
    ['LZ4 in clusters of 16 KiB', lz4, 16384, 'inline', true],
    ['LZ4 in clusters of 64 KiB', lz4hc, 65536, 'inline', true],
    ['LZ4 in clusters of 64 KiB without tails', lz4, 65536, 'blocks', true],
    ['LZ4 with fragments', simpleLz4(), 4096, 'fragments', false],
    ['LZ4 in clusters of 64 KiB with fragments', lz4hc, 65536, 'fragments', false],
    ['deflate', deflate, 4096, 'inline', false],
    ['deflate in clusters of 64 KiB', deflate, 65536, 'inline', false],
    ['deflate with fragments', deflate, 16384, 'fragments', false],
    ['zstd', zstd, 4096, 'inline', false],
    ['zstd in clusters of 64 KiB', zstd, 65536, 'inline', false],
    ['zstd in clusters of 1 MiB with fragments', zstd, 1 << 20, 'fragments', false],
  ];

describe.skipIf(!isMountable).each(settings)('%s', (_, compressor, clusterSize, tails, fsck) => {
  const options = { compressor, clusterSize, tails };

  test('files of every kind of data read back everywhere', async () => {
    await expect(expectAccepted(mixedTree(), options, fsck)).resolves.toBeUndefined();
  });

  test('random trees read back everywhere', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        await expect(expectAccepted(kernelReadable(root), options, fsck)).resolves.toBeUndefined();
      }),
      { numRuns: 6 },
    );
  });
});
