/** Reading what mkfs.erofs writes, held against the directory it was made from and against other readers. */

import { createHash } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ClusterCompressor } from '../../src/compression/cluster-compressor.ts';
import { decodeMicroLzma } from '../../src/compression/micro-lzma-decode.ts';
import { checkErofs } from '../../src/formats/erofs/check.ts';
import { readCompressedHeader } from '../../src/formats/erofs/compressed-header.ts';
import { writeCompressedErofs } from '../../src/formats/erofs/compressed-writer.ts';
import { crc32c } from '../../src/formats/erofs/crc32c.ts';
import { extractErofs } from '../../src/formats/erofs/extract.ts';
import { findErofsPath } from '../../src/formats/erofs/find-path.ts';
import { locateErofsBlocks } from '../../src/formats/erofs/locate.ts';
import { openErofs } from '../../src/formats/erofs/reader.ts';
import { bytesSource, openFileSource } from '../../src/io/byte-source.ts';
import { bytesContent, directory, regularFile } from '../../src/io/file-tree.ts';
import { MemorySink } from '../../src/io/image-sink.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

const UUID = '00112233-4455-6677-8899-aabbccddeeff';

/** The sources of the EROFS code, and data that compresses well, badly and by turns. */
function writeSamples(path: string): void {
  cpSync(join(import.meta.dirname, '../../src/formats/erofs'), path, { recursive: true });
  const text = Buffer.from(Array.from({ length: 60_000 }, (_, i) => `${i * i} `).join(''));
  const noise = Buffer.concat(
    Array.from({ length: 2000 }, (_, i) => createHash('sha512').update(`${i}`).digest()),
  );
  const turns = Array.from({ length: 20 }, (_, i) => [
    text.subarray(i * 9000, i * 9000 + 7000 + i * 321),
    noise.subarray(i * 5000, i * 5000 + 9000 - i * 123),
    Buffer.alloc(i * 1000),
  ]);
  writeFileSync(join(path, 'text'), text);
  writeFileSync(join(path, 'noise'), noise);
  writeFileSync(join(path, 'zeros'), Buffer.alloc(3_000_001));
  writeFileSync(join(path, 'turns'), Buffer.concat(turns.flat()));
  for (const size of [1, 4095, 4096, 4097, 8192, 20_000]) {
    writeFileSync(join(path, `turns-${size}`), Buffer.concat(turns.flat()).subarray(0, size));
  }
}

describe('mkfs.erofs', () => {
  test.each([
    ['plain', []],
    ['LZ4', ['-zlz4']],
    ['LZ4 HC in clusters of 64 KiB', ['-zlz4hc', '-C65536']],
    ['LZ4 in clusters of 1 MiB', ['-zlz4', '-C1048576']],
    ['LZ4 with tails beside inodes', ['-zlz4', '-Eztailpacking']],
    ['LZ4 with tails in an older layout', ['-zlz4', '-Eztailpacking,legacy-compress']],
    ['chunks of 4 KiB', ['--chunksize=4096']],
    ['chunks of 64 KiB', ['--chunksize=65536']],
  ])(
    '%s: extracted, it is the folder again; without problems, every byte told',
    async (_, args) => {
      const dir = tmpDir();
      const [image, folder, out] = ['image', 'folder', 'out'].map((name) => join(dir, name));
      if (image === undefined || folder === undefined || out === undefined) throw new TypeError();
      writeSamples(folder);
      const made = runTool('mkfs.erofs', ['-T7', ...args, '-U', UUID, image, folder]);
      expect(made).toMatchObject({ status: 0 });
      const source = await openFileSource(image);
      try {
        expect((await checkErofs(source)).problems).toEqual([]);
        await extractErofs(source, out);
        const difference = runTool('diff', ['-r', folder, out]);
        expect(difference).toEqual({ status: 0, stdout: '', stderr: '' });

        const all = [{ offset: 0, length: source.size }];
        const unused = (await locateErofsBlocks(source, all)).filter(
          ({ kind }) => kind === 'unused',
        );
        const bytes = readFileSync(image);
        for (const { offset, length } of unused) {
          expect(bytes.subarray(offset, offset + length).every((byte) => byte === 0)).toBe(true);
        }
      } finally {
        await source.close();
      }
    },
  );

  test('dump.erofs tells the same blocks of a file', async () => {
    const dir = tmpDir();
    const folder = join(dir, 'folder');
    const image = join(dir, 'image');
    writeSamples(folder);
    runTool('mkfs.erofs', ['-T7', '-zlz4', '-C65536', '-U', UUID, image, folder]);
    const dumped = runTool('dump.erofs', ['-e', '--path=/turns', image]).stdout;
    // " 0:       0..   20480 |   20480 :     36864..     53248 |   16384"
    const theirs = [...dumped.matchAll(/: +(\d+)\.\. *(\d+) \| +\d+ : +(\d+)\.\. *(\d+)/g)].map(
      ([, start, end, from, to]) => [Number(from), Number(to), Number(start), Number(end)],
    );
    expect(theirs.length).toBeGreaterThan(3);
    const source = await openFileSource(image);
    try {
      const owners = await locateErofsBlocks(source, [{ offset: 0, length: source.size }]);
      const ours = owners
        .filter(({ kind, path }) => kind === 'data' && path === '/turns')
        .map(({ offset, length, file }) => {
          const { start, length: size } = file ?? { start: 0, length: 0 };
          return [offset, offset + length, start, start + size];
        });
      const byStart = (a: number[], b: number[]): number => (a[2] ?? 0) - (b[2] ?? 0);
      expect(ours.toSorted(byStart)).toEqual(theirs.toSorted(byStart));
    } finally {
      await source.close();
    }
  });
});

/** What xz makes of bytes, as EROFS stores it. */
function microLzma(data: Uint8Array, options: string): Uint8Array {
  const file = join(tmpDir(), 'data');
  writeFileSync(file, data);
  const args = ['--format=lzma', `--lzma1=${options}`, file];
  expect(runTool('xz', args)).toMatchObject({ status: 0 });
  // Behind the header of thirteen bytes, MicroLZMA has the properties in the place of a zero.
  const stream = new Uint8Array(readFileSync(`${file}.lzma`));
  const micro = stream.subarray(13);
  micro[0] = ~(stream[0] ?? 0) & 0xff;
  return micro;
}

describe('xz', () => {
  test.each([
    ['lc=3,lp=0,pb=2', 'package-lock.json'],
    ['lc=0,lp=2,pb=0', 'package-lock.json'],
    ['lc=1,lp=3,pb=4', process.execPath],
    ['lc=4,lp=0,pb=2', process.execPath],
  ])('what it compresses with %s is decoded', (options, path) => {
    const data = readFileSync(path).subarray(0, 500_000);
    expect(Buffer.compare(decodeMicroLzma(microLzma(data, options), data.length), data)).toBe(0);
  });

  test('an image whose data it compressed reads back', async () => {
    const data = readFileSync('package-lock.json').subarray(0, 60_000);
    const root = directory({ mtime: 7 });
    root.children.set('file', regularFile(bytesContent(data), { mtime: 7 }));
    const sink = new MemorySink();
    // Nobody of ours writes LZMA: the image says deflate until it is patched.
    const compressor: ClusterCompressor = {
      algorithm: 'deflate',
      compress: (inputs) =>
        inputs.map((input) => {
          const bytes = microLzma(input, 'lc=3,lp=0,pb=2');
          const [length, storedLength] = [input.length, bytes.length];
          return { bytes, extents: [{ isPlain: false, length, storedLength }] };
        }),
    };
    const options = { buildTime: 7, uuid: new Uint8Array(16), tails: 'blocks' } as const;
    await writeCompressedErofs(root, { ...options, compressor, clusterSize: 32768 }, sink);
    const image = sink.bytes();
    const reader = await openErofs(bytesSource(image));
    const inode = await findErofsPath(reader, '/file');
    const { offset } = await readCompressedHeader(reader.metadata, inode, reader.geometry);
    const view = new DataView(image.buffer, image.byteOffset);
    const [algorithms, settings] = [1024 + 84, 1024 + 128];
    view.setUint16(algorithms, 1 << 1, true);
    image[offset + 6] = 1;
    // A length, and dictionaries of 1 MiB in format 0.
    view.setUint16(settings, 14, true);
    view.setUint32(settings + 2, 1 << 20, true);
    view.setUint32(1028, 0, true);
    view.setUint32(1028, crc32c(image.subarray(1024, 4096)), true);
    expect((await checkErofs(bytesSource(image))).problems).toEqual([]);
    const patched = await openErofs(bytesSource(image));
    const chunks: Uint8Array[] = [];
    for await (const chunk of patched.readData(await findErofsPath(patched, '/file'))) {
      chunks.push(chunk.slice());
    }
    expect(Buffer.compare(Buffer.concat(chunks), data)).toBe(0);
  });
});
