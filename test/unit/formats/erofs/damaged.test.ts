/** Images of ours of every variety, damaged: each wrong field is told by its name, and nothing else happens. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ClusterCompressor } from '../../../../src/compression/cluster-compressor.ts';
import { createDeflateCompressor } from '../../../../src/compression/deflate/compressor.ts';
import { createLz4Compressor } from '../../../../src/compression/lz4/compressor.ts';
import { createZstdCompressor } from '../../../../src/compression/zstd/compressor.ts';
import { FormatError } from '../../../../src/core/errors.ts';
import { checkErofs } from '../../../../src/formats/erofs/check.ts';
import { scanChunks } from '../../../../src/formats/erofs/chunks.ts';
import { readCompressedHeader } from '../../../../src/formats/erofs/compressed-header.ts';
import { writeCompressedErofs } from '../../../../src/formats/erofs/compressed-writer.ts';
import { checksummedSize } from '../../../../src/formats/erofs/layout.ts';
import { crc32c } from '../../../../src/formats/erofs/crc32c.ts';
import { findErofsPath } from '../../../../src/formats/erofs/find-path.ts';
import type { ErofsInode } from '../../../../src/formats/erofs/inode.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { walkImage } from '../../../../src/formats/erofs/walk-image.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  directory,
  regularFile,
  specialFile,
  symlink,
  type Directory,
} from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { testBytes } from './trees.ts';

const now = { mtime: 7 };
const names = { buildTime: 7, uuid: new Uint8Array(16) };

/** Text, noise by turns, holes, links, attributes that are shared and not. */
function sampleTree(): Directory {
  const root = directory(now);
  const text = Buffer.from(Array.from({ length: 5000 }, (_, i) => `${(i * i) % 9973} `).join(''));
  const put = (name: string, bytes: Uint8Array): void => {
    const file = regularFile(bytesContent(new Uint8Array(bytes)), now);
    file.xattrs.set('security.label', testBytes(40)).set('user.name', Buffer.from(name));
    root.children.set(name, file);
  };
  put('text', text);
  put('start', text.subarray(0, 9000));
  put('short', text.subarray(100, 900));
  put('turns', Buffer.concat([text.subarray(0, 7000), testBytes(3000), Buffer.alloc(40_000)]));
  put('again', testBytes(20_000));
  put('and-again', testBytes(20_000));
  root.children.set('link', symlink('text', now));
  root.children.set('pipe', specialFile('fifo', now));
  root.children.set('linked', root.children.get('text')!);
  return root;
}

const compressed =
  (
    compressor: ClusterCompressor,
    tails: 'inline' | 'fragments' | 'blocks',
    clusterSize: number,
    blockSize = 4096,
  ) =>
  async (): Promise<Uint8Array> => {
    const sink = new MemorySink();
    const options = { ...names, compressor, tails, clusterSize, blockSize };
    await writeCompressedErofs(sampleTree(), options, sink);
    return sink.bytes();
  };
const flat = async (chunkSize?: number, blockSize = 4096): Promise<Uint8Array> => {
  const root = sampleTree();
  const chunks =
    chunkSize === undefined ? {} : { chunks: await scanChunks(root, { chunkSize, blockSize }) };
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { ...names, blockSize, ...chunks }), sink);
  return sink.bytes();
};

const varieties: [string, () => Promise<Uint8Array>][] = [
  ['flat', flat],
  ['flat in blocks of 16 KiB', () => flat(undefined, 16384)],
  ['chunks', () => flat(4096)],
  ['LZ4', compressed(createLz4Compressor(), 'inline', 4096)],
  ['LZ4 HC with fragments', compressed(createLz4Compressor({ level: 4 }), 'fragments', 16384)],
  ['LZ4 in blocks of 16 KiB', compressed(createLz4Compressor(), 'fragments', 16384, 16384)],
  ['deflate', compressed(createDeflateCompressor(1), 'blocks', 16384)],
  ['deflate with fragments', compressed(createDeflateCompressor(1), 'fragments', 4096)],
  ['zstd', compressed(createZstdCompressor(1), 'inline', 4096)],
  ['zstd in large clusters', compressed(createZstdCompressor(1), 'blocks', 65536)],
];

async function readAll(image: Uint8Array): Promise<void> {
  const reader = await openErofs(bytesSource(image));
  for await (const { inode } of walkImage(reader)) {
    await reader.readXattrs(inode);
    if (inode.kind === 'file') for await (const _ of reader.readParts(inode));
  }
}

function seal(image: Uint8Array): Uint8Array {
  const view = new DataView(image.buffer, image.byteOffset);
  view.setUint32(1028, 0, true);
  const end = 1024 + checksummedSize(2 ** (image[1036] ?? 12));
  view.setUint32(1028, crc32c(image.subarray(1024, end)), true);
  return image;
}

describe.each(varieties)('%s', (_, make) => {
  test('undamaged, nothing is found', async () => {
    const source = bytesSource(await make());
    expect(await checkErofs(source)).toMatchObject({
      problems: [],
      more: 0,
      inodes: 9 + packedOf(await openErofs(source)),
    });
  });

  test('changed anywhere, it is read or refused by field, and the check tells what the reader does', async () => {
    const image = await make();
    const edit = fc.tuple(fc.integer({ min: 1040, max: image.length - 1 }), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        const changed = image.slice();
        for (const [at, value] of edits) changed[at] = value;
        seal(changed);
        const refused = await readAll(changed).then(
          () => undefined,
          (error: unknown) => error,
        );
        const { problems } = await checkErofs(bytesSource(changed));
        if (refused === undefined) return;
        expect(refused).toBeInstanceOf(FormatError);
        expect((refused as FormatError).field).toBeDefined();
        expect(problems.some(({ severity }) => severity === 'error')).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('cut short, it is refused', async () => {
    const image = await make();
    for (let size = 0; size < image.length; size += 4999) {
      const cut = bytesSource(image.subarray(0, size));
      await expect(openErofs(cut)).rejects.toMatchObject({ code: 'truncated' });
    }
  });
});

const packedOf = ({ packed }: { readonly packed: unknown }): number => (packed ? 1 : 0);

describe('what kernels or fsck.erofs refuse', () => {
  /** The field of the first error that is found when bytes are changed. */
  async function fieldOf(
    image: Uint8Array,
    ...edits: readonly (readonly [offset: number, ...bytes: number[]])[]
  ): Promise<string | undefined> {
    const changed = image.slice();
    for (const [offset, ...bytes] of edits) changed.set(bytes, offset);
    const { problems } = await checkErofs(bytesSource(seal(changed)));
    return problems.find(({ severity }) => severity === 'error')?.field;
  }
  const inodeOf = async (image: Uint8Array, path: string): Promise<ErofsInode> =>
    findErofsPath(await openErofs(bytesSource(image)), path);

  test.each([
    ['prefixes of attributes without the feature', 91, [1], 'xattr_prefix_count'],
    ['a packed inode without the feature', 96, [5], 'packed_nid'],
    ['attributes in compressed metadata', 8, [0x0b], 'feature_compat'],
    ['names that stand for contents', 8, [0x23], 'feature_compat'],
  ])('%s', async (_, offset, bytes, field) => {
    expect(await fieldOf(await flat(), [1024 + offset, ...bytes])).toBe(field);
  });

  test.each([
    ['lz4', createLz4Compressor(), [0, 0], 'z_erofs_lz4_cfgs'],
    ['lz4', createLz4Compressor(), [14, 0, 0xff, 0xff, 1, 1], 'z_erofs_lz4_cfgs'],
    ['lz4', createLz4Compressor(), [0xff, 0xff], 'available_compr_algs'],
    ['deflate', createDeflateCompressor(1), [6, 0, 16], 'z_erofs_deflate_cfgs'],
    ['zstd', createZstdCompressor(1), [6, 0, 1], 'z_erofs_zstd_cfgs'],
    ['zstd', createZstdCompressor(1), [6, 0, 0, 11], 'z_erofs_zstd_cfgs'],
  ] as const)('settings of %s that it could not work with', async (_, compressor, bytes, field) => {
    const image = await compressed(compressor, 'blocks', 16384)();
    expect(await fieldOf(image, [1024 + 128, ...bytes])).toBe(field);
  });

  test('algorithms that nobody knows', async () => {
    const image = await compressed(createLz4Compressor(), 'blocks', 16384)();
    expect(await fieldOf(image, [1024 + 84, 0x11])).toBe('available_compr_algs');
  });

  test('a fifo with a size, with data, or with attributes that have no room', async () => {
    const image = await flat();
    const { offset } = await inodeOf(image, '/pipe');
    expect(await fieldOf(image, [offset + 8, 1])).toBe('i_size');
    expect(await fieldOf(image, [offset, 8])).toBe('i_format');
    expect(await fieldOf(image, [offset + 2, 1])).toBe('i_xattr_icount');
  });

  test('shared attributes outside of the image', async () => {
    const image = await flat();
    const { xattrOffset } = await inodeOf(image, '/text');
    expect(image[xattrOffset + 4]).toBe(1);
    expect(await fieldOf(image, [xattrOffset + 12, 0xff, 0xff, 0xff, 0x7f])).toBe(
      'h_shared_xattrs',
    );
  });

  test('an index that looks ahead too far, or nowhere', async () => {
    const image = await compressed(createZstdCompressor(1), 'blocks', 16384)();
    const reader = await openErofs(bytesSource(image));
    const inode = await findErofsPath(reader, '/text');
    const { runs, isFull } = await readCompressedHeader(reader.metadata, inode, reader.geometry);
    const pack = runs[0]?.offset ?? 0;
    // The second of two entries, of a cluster that goes on, says how far it is to the next start.
    expect([isFull, runs[0]?.perPack, (image[pack + 3] ?? 0) >> 4]).toEqual([false, 2, 2]);
    for (const distance of [0, 0x7f]) {
      const entry = [distance, 0x20];
      expect(await fieldOf(image, [pack + 2, ...entry])).toBe('z_erofs_lcluster_index');
    }
  });
});
