import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { crc32c } from '../../../../src/formats/erofs/crc32c.ts';
import { dumpErofs } from '../../../../src/formats/erofs/dump.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { readTree } from '../../../../src/formats/erofs/read-tree.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource, openFileSource, type ByteSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  directory,
  regularFile,
  symlink,
  walk,
  type Inode,
} from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';
import { testBytes } from './trees.ts';

/** Reads all there is: the tree, the xattrs and the contents. */
async function readAll(source: ByteSource): Promise<string[]> {
  const root = await readTree(await openErofs(source));
  const files: [string, Inode][] = [];
  walk(root, (path, inode) => files.push([path, inode]));
  for (const [, inode] of files) {
    if (inode.kind !== 'file') continue;
    let size = 0;
    for await (const chunk of inode.content.stream()) size += chunk.length;
    expect(size).toBe(inode.content.size);
  }
  return files.map(([path]) => path);
}

async function smallImage(): Promise<Uint8Array> {
  const attributes = { mtime: 1 };
  const root = directory(attributes);
  const sub = directory(attributes);
  root.children.set('sub', sub);
  sub.children.set('file', regularFile(bytesContent(testBytes(5000)), attributes));
  sub.children.set('link', symlink('file', attributes));
  sub.xattrs.set('user.name', testBytes(20));
  const sink = new MemorySink();
  const plan = planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) });
  await writeErofs(plan, sink);
  return sink.bytes();
}
const good = await smallImage();

/** The image with some bytes replaced and the checksum made right again, as an attacker would. */
function resealed(image: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  const copy = image.slice();
  for (const [at, value] of changes) copy[at] = value;
  const view = new DataView(copy.buffer);
  view.setUint32(1028, 0, true);
  view.setUint32(1028, crc32c(copy.subarray(1024, 4096)), true);
  return copy;
}

describe('openErofs', () => {
  test('any bytes are read or refused with FormatError, quickly', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (junk) => {
        await expect(readAll(bytesSource(junk))).rejects.toThrow(FormatError);
      }),
    );
  });

  test('an image changed at random and sealed again is read or refused with FormatError', async () => {
    const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 4,
    });
    const metadata = fc.array(
      fc.tuple(
        fc.integer({ min: 1024, max: 1600 }),
        fc.constantFrom(0, 1, 2, 4, 12, 127, 128, 255),
      ),
      { minLength: 1, maxLength: 4 },
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(changes, metadata), async (edits) => {
        const image = resealed(good, edits);
        for (const use of [readAll, dumpErofs]) {
          try {
            await use(bytesSource(image));
          } catch (error) {
            expect(error).toBeInstanceOf(FormatError);
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('a changed byte in the block of the superblock fails its checksum', async () => {
    for (let at = 1024 + 128; at < 4096; at += 37) {
      const image = good.slice();
      image[at]! ^= 1;
      await expect(openErofs(bytesSource(image))).rejects.toMatchObject({ code: 'bad-checksum' });
    }
  });

  test('every truncation is refused', async () => {
    for (let size = 0; size < good.length; size += 97) {
      await expect(openErofs(bytesSource(good.subarray(0, size)))).rejects.toMatchObject({
        format: 'erofs',
        code: 'truncated',
      });
    }
  });

  test.each([
    ['magic', 1024, 0, 'bad-magic'],
    ['an unknown feature', 1024 + 80 + 3, 0x40, 'unsupported'],
    ['48-bit addresses', 1024 + 80, 0x80, 'unsupported'],
    ['a metabox', 1024 + 81, 0x01, 'unsupported'],
    ['more devices', 1024 + 86, 1, 'unsupported'],
    ['other directory blocks', 1024 + 90, 1, 'unsupported'],
    ['blocks of 8 KiB', 1024 + 12, 13, 'unsupported'],
    ['an extension that leaves the block', 1024 + 13, 255, 'bad-value'],
    ['metadata behind the image', 1024 + 40, 99, 'out-of-range'],
    ['shared xattrs behind the image', 1024 + 44, 99, 'out-of-range'],
    ['a root outside of the image', 1024 + 15, 255, 'out-of-range'],
  ])('%s is refused', async (_, at, value, code) => {
    await expect(openErofs(bytesSource(resealed(good, [[at, value]])))).rejects.toMatchObject({
      format: 'erofs',
      code,
    });
  });
});

describe('dumpErofs', () => {
  test('shows every inode with its fields', async () => {
    const node = await dumpErofs(bytesSource(good, 'small.img'));
    const [superblock, root] = node.children;
    expect(superblock?.fields).toContainEqual({
      name: 'magic',
      value: 0xe0f5e1e2,
      offset: 1024,
      size: 4,
    });
    expect(root?.children[0]?.name).toBe('sub');
    expect(root?.children[0]?.children.map(({ name }) => name)).toEqual(['file', 'link']);
    expect(root?.children[0]?.children[1]?.fields).toContainEqual({
      name: 'target',
      value: 'file',
    });
  });
});

interface Manifest {
  readonly files: Record<string, { readonly expect: string }>;
}

describe.skipIf(corpus === undefined)('images made to deceive', () => {
  const files =
    corpus === undefined
      ? {}
      : (JSON.parse(readFileSync(corpusPath('sig-erofs', 'manifest.json'), 'utf8')) as Manifest)
          .files;
  const cases = Object.entries(files).map(([name, file]) => ({ name, verdict: file.expect }));

  test.each(cases)('$name: $verdict', async ({ name, verdict }) => {
    const source = await openFileSource(corpusPath('sig-erofs', name));
    const outcome = await readAll(source).then(
      () => 'accept',
      (error: unknown) => error,
    );
    await source.close();
    const allowed = [
      ...(verdict === 'reject' ? [] : ['accept']),
      ...(verdict !== 'accept' && outcome instanceof FormatError ? [outcome] : []),
    ];
    expect(allowed).toContain(outcome);
  });
});
