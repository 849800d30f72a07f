/** Images of mkfs.erofs 1.9.3: whatever it compresses or packs comes back as it was. */

import fc from 'fast-check';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../src/core/errors.ts';
import { checkErofs } from '../../src/formats/erofs/check.ts';
import { locateErofsBlocks } from '../../src/formats/erofs/locate.ts';
import { openErofs } from '../../src/formats/erofs/reader.ts';
import { readTree } from '../../src/formats/erofs/read-tree.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { findInode, walk, type Directory, type Inode } from '../../src/io/file-tree.ts';
import { erofsSamples } from './support/erofs-samples.ts';

const folder = join(import.meta.dirname, '../fixtures/erofs');
const load = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
const images = readdirSync(folder).filter((name) => name.endsWith('.erofs'));
const readable = images.filter((name) => !name.startsWith('unsupported'));

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

describe.each(readable)('%s', (name) => {
  const image = load(name);

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

  test('every byte is told whose it is', async () => {
    const owners = await locateErofsBlocks(bytesSource(image), [
      { offset: 0, length: image.length },
    ]);
    expect(owners.filter(({ kind }) => kind === 'unknown')).toEqual([]);
    const told = new Set(owners.filter(({ kind }) => kind === 'data').map(({ path }) => path));
    const filled = Object.keys(erofsSamples).filter((path) => path !== 'empty');
    expect(told).toEqual(new Set(filled.map((path) => `/${path}`)));
  });

  test('changed anywhere, it is read or refused with FormatError, and the check never fails', async () => {
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

test.each([
  ['unsupported-48bit.erofs', /48-bit block addresses/],
  ['unsupported-metabox.erofs', /metabox/],
])('%s is refused by the name of what it needs', async (name, message) => {
  const opened = openErofs(bytesSource(load(name)));
  await expect(opened).rejects.toMatchObject({ code: 'unsupported', field: 'feature_incompat' });
  await expect(opened).rejects.toThrow(message);
});
