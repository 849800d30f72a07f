/**
 * Images of a mkfs.erofs that knows what the distributions' 1.5 does not: more algorithms, fragments,
 * deduplication, long prefixes of extended attributes. Whatever it packs comes back as it was.
 */

import fc from 'fast-check';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FormatError } from '../../src/core/errors.ts';
import { checkErofs } from '../../src/formats/erofs/check.ts';
import { locateErofsBlocks } from '../../src/formats/erofs/locate.ts';
import { openErofs } from '../../src/formats/erofs/reader.ts';
import { readTree } from '../../src/formats/erofs/read-tree.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { findInode, walk, type Directory, type Inode } from '../../src/io/file-tree.ts';
import { runTool } from '../support/tools.ts';
import { erofsSamples } from './erofs-samples.ts';

interface Mkfs {
  readonly program: string;
  /** 1.9 is 1009. */
  readonly version: number;
  readonly compressors: readonly string[];
}

const named = process.env['MICROBUILD_MKFS_EROFS'];
const mkfs = findMkfs(named ?? 'mkfs.erofs');
if (mkfs === undefined && named !== undefined) {
  throw new Error(`MICROBUILD_MKFS_EROFS: ${named} is no mkfs.erofs of 1.8 or later`);
}
if (mkfs === undefined) {
  process.stderr.write(
    'Skipping images of a newer mkfs.erofs: install erofs-utils 1.8 or later (Debian 13 has it), or name its mkfs.erofs in MICROBUILD_MKFS_EROFS\n',
  );
}

function findMkfs(program: string): Mkfs | undefined {
  const stdout = versionOf(program);
  const told = /mkfs\.erofs.*?(\d+)\.(\d+)/.exec(stdout);
  if (told === null) return undefined;
  const version = Number(told[1]) * 1000 + Number(told[2]);
  const list = /compressors[^:]*: *(.*)/.exec(stdout)?.[1] ?? '';
  return version < 1008 ? undefined : { program, version, compressors: list.split(/, */) };
}

function versionOf(program: string): string {
  try {
    return runTool(program, ['-V']).stdout;
  } catch {
    return '';
  }
}

/** Whether it was built with what an image asks for. */
function canMake(args: string, since = 1008): boolean {
  const compressor = /-z(\w+)/.exec(args)?.[1];
  const { version = 0, compressors = [] } = mkfs ?? {};
  return version >= since && (compressor === undefined || compressors.includes(compressor));
}

const work = mkdtempSync(join(tmpdir(), 'mb-newer-'));
const folder = join(work, 'samples');
afterAll(() => rmSync(work, { recursive: true }));
beforeAll(() => {
  if (mkfs === undefined) return;
  for (const [path, bytes] of Object.entries(erofsSamples)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  for (const name of ['text', 'short', 'noise', 'zeros', 'turns']) {
    for (const [key, value] of [
      [name, `value of ${name}`],
      ['all', 'shared'],
    ]) {
      const args = ['-n', `user.longish.prefix.${key}`, '-v', `${value}`, join(folder, name)];
      expect(runTool('setfattr', args)).toMatchObject({ status: 0, stderr: '' });
    }
  }
});

function makeImage(args: string): Uint8Array {
  const image = join(work, 'image.erofs');
  rmSync(image, { force: true });
  const fixed = ['-T7', '--all-root', '-U00112233-4455-6677-8899-aabbccddeeff'];
  const made = runTool(mkfs?.program ?? '', [...fixed, ...args.split(' '), image, folder]);
  expect(made).toMatchObject({ status: 0 });
  return new Uint8Array(readFileSync(image));
}

async function contents(root: Directory): Promise<Map<string, Buffer>> {
  const inodes: [string, Inode][] = [];
  walk(root, (path, inode) => inodes.push([path, inode]));
  const files = new Map<string, Buffer>();
  for (const [path, inode] of inodes) {
    if (inode.kind !== 'file') continue;
    const chunks: Uint8Array[] = [];
    for await (const chunk of inode.content.stream()) chunks.push(chunk.slice());
    files.set(path.slice(1), Buffer.concat(chunks));
  }
  return files;
}

const readable: Readonly<Record<string, string>> = {
  'LZ4 with fragments and deduplication': '-zlz4hc -Ededupe,fragments',
  'LZ4 with all as fragments': '-zlz4 -Eall-fragments,ztailpacking',
  'LZ4 with deduplication and tails': '-zlz4 -Ededupe,ztailpacking',
  'LZMA in clusters of 16 KiB': '-zlzma -C16384',
  'LZMA with fragments': '-zlzma -C16384 -Efragments,dedupe',
  'deflate in clusters of 16 KiB': '-zdeflate,level=9 -C16384',
  'deflate with tails': '-zdeflate,level=9 -Eztailpacking',
  'deflate with all as fragments': '-zdeflate,level=9 -Eall-fragments,dedupe',
  'zstd in clusters of 16 KiB': '-zzstd,level=15 -C16384',
  'zstd with tails': '-zzstd,level=15 -Eztailpacking',
  'zstd with fragments': '-zzstd,level=15 -C8192 -Efragments,dedupe',
  'blocks of 512 bytes': '-b512 -zlz4 -Eztailpacking',
  'prefixes of attributes': '-zlzma --xattr-prefix=user.longish.prefix. -x1 -Exattr-name-filter',
  'equal chunks': '-Ededupe',
  'indexes of chunks': '--chunksize=4096 -Eforce-chunk-indexes',
};

for (const [name, args] of Object.entries(readable)) {
  describe.skipIf(!canMake(args))(`an image with ${name}`, () => {
    let image: Uint8Array;
    beforeAll(() => {
      image = makeImage(args);
    });

    test('holds the files that it was made from', async () => {
      const root = await readTree(await openErofs(bytesSource(image)));
      const files = await contents(root);
      expect([...files.keys()].toSorted()).toEqual(Object.keys(erofsSamples).toSorted());
      for (const [path, bytes] of Object.entries(erofsSamples)) {
        expect(Buffer.compare(files.get(path) ?? Buffer.alloc(0), bytes)).toBe(0);
      }
      expect(Object.fromEntries(findInode(root, '/short')?.xattrs ?? [])).toEqual({
        'user.longish.prefix.all': new Uint8Array(Buffer.from('shared')),
        'user.longish.prefix.short': new Uint8Array(Buffer.from('value of short')),
      });
    });

    test('has no problems', async () => {
      const report = await checkErofs(bytesSource(image));
      expect(report.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
      expect(report.dataSize).toBe(
        Object.values(erofsSamples).reduce((size, { length }) => size + length, 0),
      );
    });

    test('is told byte for byte whose it is', async () => {
      const all = { offset: 0, length: image.length };
      const owners = await locateErofsBlocks(bytesSource(image), [all]);
      expect(owners.filter(({ kind }) => kind === 'unknown')).toEqual([]);
      const told = new Set(owners.filter(({ kind }) => kind === 'data').map(({ path }) => path));
      const filled = Object.keys(erofsSamples).filter((path) => path !== 'empty');
      expect(told).toEqual(new Set(filled.map((path) => `/${path}`)));
    });

    test('changed anywhere, is read or refused with FormatError, and the check never fails', async () => {
      const places = fc.array(fc.tuple(fc.nat(image.length - 1), fc.nat(255)), {
        minLength: 1,
        maxLength: 6,
      });
      await fc.assert(
        fc.asyncProperty(places, async (edits) => {
          const changed = image.slice();
          // The checksum would be the first to tell; without the flag nobody asks it.
          for (const [at, value] of edits) if (at < 1024 || at > 1040) changed[at] = value;
          changed[1032]! &= ~1;
          try {
            await contents(await readTree(await openErofs(bytesSource(changed))));
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
          const report = await checkErofs(bytesSource(changed));
          expect(report.problems.length).toBeLessThanOrEqual(1000);
        }),
        { numRuns: 25 },
      );
    });
  });
}

const unsupported: readonly [string, string, RegExp][] = [
  ['block addresses of 48 bits', '-zlzma -E48bit', /48-bit block addresses/],
  ['compressed metadata', '-zlzma -m4096 --MZ', /metabox/],
];
for (const [name, args, message] of unsupported) {
  test.skipIf(!canMake(args, 1009))(`an image with ${name} is refused by that name`, async () => {
    const opened = openErofs(bytesSource(makeImage(args)));
    await expect(opened).rejects.toMatchObject({
      code: 'unsupported',
      field: 'feature_incompat',
    });
    await expect(opened).rejects.toThrow(message);
  });
}
