/** Any bytes in the place of an archive give files or a problem at a line of the recipe, and nothing else. */

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { pack, type Headers } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../../../src/core/digest.ts';
import { FormatError, RecipeError } from '../../../../src/core/errors.ts';
import { openDeb } from '../../../../src/formats/tar/deb.ts';
import { headerChecksum, TAR_BLOCK } from '../../../../src/formats/tar/layout.ts';
import { indexTar } from '../../../../src/formats/tar/tree.ts';
import {
  decodeEntries,
  encodeEntries,
  type ArchiveEntry,
} from '../../../../src/io/archive-entry.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { listTree, treeOf } from '../../../support/source-trees.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { forge } from '../../formats/zip/forge.ts';

async function tarOf(
  items: readonly (Headers & { readonly data?: string })[],
): Promise<Uint8Array> {
  const stream = pack();
  for (const { data = '', ...header } of items)
    stream.entry({ mtime: new Date(0), ...header }, data);
  stream.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

async function debOf(): Promise<Uint8Array> {
  const control = 'Package: p-x\nVersion: 1\nArchitecture: all\n';
  const md5 = '9dd4e461268c8034f5c8564e155c67a6  a\n';
  const parts: [string, Uint8Array][] = [
    ['debian-binary', Buffer.from('2.0\n')],
    [
      'control.tar',
      await tarOf([
        { name: 'control', data: control },
        { name: 'md5sums', data: md5 },
      ]),
    ],
    ['data.tar', await tarOf([{ name: 'a', data: 'x' }])],
  ];
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    ...parts.flatMap(([name, data]) => [
      Buffer.from(
        `${name.padEnd(16)}0           0     0     100644  ${String(data.length).padEnd(10)}\`\n`,
      ),
      data,
      Buffer.alloc(data.length % 2, '\n'),
    ]),
  ]);
}

/** A sparse file of 100 parts of one byte each, as GNU tar writes it. */
function sparseTar(): Buffer {
  const octal = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`;
  const parts = Array.from({ length: 100 }, (_, index) => octal(index * 10) + octal(1)).map(
    (text) => text,
  );
  const header = Buffer.alloc(TAR_BLOCK);
  header.write('sparse');
  header.write('0000644\x000000000\x000000000\x00', 100, 'latin1');
  header.write(octal(100), 124, 'latin1');
  header.write(octal(0), 136, 'latin1');
  header.write('S', 156);
  header.write('ustar  \0', 257, 'latin1');
  header.write(parts.slice(0, 4).join(''), 386, 'latin1');
  header[482] = 1;
  header.write(octal(1000), 483, 'latin1');
  header.write(`${headerChecksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const more: Buffer[] = [];
  for (let from = 4; from < 100; from += 21) {
    const block = Buffer.alloc(TAR_BLOCK);
    block.write(parts.slice(from, from + 21).join(''), 0, 'latin1');
    block[504] = from + 21 < 100 ? 1 : 0;
    more.push(block);
  }
  return Buffer.concat([
    header,
    ...more,
    Buffer.alloc(TAR_BLOCK, 'y'),
    Buffer.alloc(2 * TAR_BLOCK),
  ]);
}

/** What a source makes of bytes: its listing, or the problem. */
async function outcomeOf(folder: string, kind: string, bytes: Uint8Array): Promise<string> {
  const name = kind === 'deb' ? './x.deb' : 'x';
  writeFileSync(join(folder, name), bytes);
  try {
    return (await listTree((await treeOf(folder, [{ [kind]: name }])).tree)).join('\n');
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return `refused: ${error.message}`;
  }
}

const flip = (bytes: Uint8Array, at: number, bit: number): Uint8Array => {
  const changed = new Uint8Array(bytes);
  const index = at % bytes.length;
  changed[index] = (changed[index] ?? 0) ^ (1 << bit);
  return changed;
};

describe('bytes in the place of', () => {
  test.each(['tar', 'zip', 'apk', 'deb'])('%s may be any', async (kind) => {
    const folder = tmpDir();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
        const isEmpty = kind === 'tar' && bytes.length >= 512 && bytes.every((byte) => byte === 0);
        expect((await outcomeOf(folder, kind, bytes)).startsWith('refused: ')).toBe(!isEmpty);
      }),
      { numRuns: 15 },
    );
  });

  test.each([
    [
      'tar',
      async () =>
        gzipSync(
          await tarOf([
            { name: 'a', data: 'x' },
            { name: 'l', type: 'symlink', linkname: 'a' },
          ]),
        ),
    ],
    [
      'zip',
      () =>
        Promise.resolve(
          forge({
            entries: [
              { name: 'd/a', data: 'x'.repeat(99), deflate: true },
              { name: 'b', data: 'y' },
            ],
          }),
        ),
    ],
    ['deb', debOf],
  ] as [string, () => Promise<Uint8Array>][])(
    '%s may differ from a good one in one bit',
    async (kind, make) => {
      const folder = tmpDir();
      const good = await make();
      expect(await outcomeOf(folder, kind, good)).not.toContain('refused');
      await fc.assert(
        fc.asyncProperty(fc.nat(), fc.nat(7), async (at, bit) => {
          await outcomeOf(folder, kind, flip(good, at, bit));
        }),
        { numRuns: 40 },
      );
    },
  );

  test('a package may be any: its control file is read or refused', async () => {
    const good = await debOf();
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(7), fc.nat(), async (at, bit, cut) => {
        const bytes = flip(good, at, bit).subarray(
          0,
          cut % 3 === 0 ? cut % good.length : good.length,
        );
        const found: unknown = await openDeb(bytesSource(bytes, 'x.deb')).catch(
          (error: unknown) => error,
        );
        expect(found instanceof FormatError || !(found instanceof Error)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('documents of an image may be any', async () => {
    const folder = tmpDir();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.json(), fc.constant('{"schemaVersion":2,"config":{},"layers":[]}')), {
          minLength: 3,
          maxLength: 3,
        }),
        fc.boolean(),
        async (documents, isLinked) => {
          const image = mkdtempSync(join(folder, 'image-'));
          const put = (path: string, data: string): void => {
            mkdirSync(dirname(join(image, path)), { recursive: true });
            writeFileSync(join(image, path), data);
          };
          const [index = '', manifest = '', config = ''] = documents;
          const digest = (text: string): string => toHex(sha256(Buffer.from(text)));
          const descriptor = (text: string, mediaType: string): object => ({
            digest: `sha256:${digest(text)}`,
            size: Buffer.byteLength(text),
            mediaType,
          });
          const made = JSON.stringify({
            schemaVersion: 2,
            config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
            layers: [],
          });
          const top = isLinked ? made : manifest;
          put('oci-layout', '{"imageLayoutVersion":"1.0.0"}');
          put(
            'index.json',
            manifest.length % 2 === 0
              ? index
              : JSON.stringify({
                  manifests: [descriptor(top, 'application/vnd.oci.image.manifest.v1+json')],
                }),
          );
          for (const text of [top, config]) put(`blobs/sha256/${digest(text)}`, text);
          await expect(
            treeOf(folder, [{ oci: `./${image.slice(folder.length + 1)}` }]),
          ).rejects.toBeInstanceOf(RecipeError);
        },
      ),
      { numRuns: 40 },
    );
  });
});

test('entries are the same, wherever the chunks of an archive end: sparse maps and extended headers, too', async () => {
  const plain = await tarOf([{ name: `${'long/'.repeat(40)}x`, data: 'y'.repeat(700) }]);
  const archive = Buffer.concat([sparseTar().subarray(0, -2 * TAR_BLOCK), plain]);
  const entriesIn = (sizes: readonly number[]): Promise<ArchiveEntry[]> => {
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0, index = 0; at < archive.length; index += 1) {
        const size = sizes[index % sizes.length] ?? 1;
        yield await Promise.resolve(archive.subarray(at, at + size));
        at += size;
      }
    };
    return indexTar(chunks(), 'x.tar');
  };
  const whole = await entriesIn([archive.length]);
  expect(whole[0]).toMatchObject({ kind: 'file', size: 1000, path: '/sparse' });
  expect(whole[0]?.kind === 'file' && whole[0].pieces?.length).toBe(100);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 1500 }), { minLength: 1, maxLength: 5 }),
      async (sizes) => {
        expect(await entriesIn(sizes)).toEqual(whole);
      },
    ),
    { numRuns: 25 },
  );
  const folder = tmpDir();
  writeFileSync(join(folder, 'x.tar'), archive);
  const { tree } = await treeOf(folder, [{ tar: 'x.tar' }]);
  const inode = tree.children.get('sparse');
  if (inode?.kind !== 'file') throw new Error('no file');
  const content: Uint8Array[] = [];
  for await (const chunk of inode.content.stream()) content.push(Buffer.from(chunk));
  const expected = Buffer.alloc(1000);
  for (let part = 0; part < 100; part += 1) expected[part * 10] = 0x79;
  expect(Buffer.concat(content).equals(expected)).toBe(true);
});

test('a list of entries is the same when it has been kept', () => {
  const name = fc
    .string({ minLength: 1, unit: 'binary' })
    .map((text) => `/${Buffer.from(text).toString().replaceAll('\n', ' ')}`);
  const number = fc.nat(2 ** 31 - 1);
  const base = { path: name, mode: fc.nat(0o7777), uid: number, gid: number, mtime: number };
  const xattrs = fc
    .array(fc.tuple(name, fc.uint8Array({ maxLength: 20 })))
    .map((pairs) => new Map(pairs));
  const entry: fc.Arbitrary<ArchiveEntry> = fc.oneof(
    fc.record({ ...base, xattrs, kind: fc.constant('directory' as const) }),
    fc.record({ ...base, xattrs, kind: fc.constant('symlink' as const), target: name }),
    fc.record({
      ...base,
      xattrs,
      kind: fc.constant('file' as const),
      size: number,
      offset: number,
    }),
  );
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      const text = Buffer.concat([...encodeEntries(entries)]).toString();
      expect([...decodeEntries(text)]).toEqual(entries);
    }),
    { numRuns: 100 },
  );
});
