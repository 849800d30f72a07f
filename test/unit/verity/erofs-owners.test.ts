import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planErofs } from '../../../src/formats/erofs/plan.ts';
import { writeErofs } from '../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { bytesContent, directory, regularFile } from '../../../src/io/file-tree.ts';
import { MemorySink } from '../../../src/io/image-sink.ts';
import { findErofsOwners, type ErofsOwners } from '../../../src/verity/erofs-owners.ts';

const BLOCK = 4096;
const filled = (size: number, byte: number): ReturnType<typeof regularFile> =>
  regularFile(bytesContent(new Uint8Array(size).fill(byte)));

async function image(): Promise<Uint8Array> {
  const root = directory();
  const folder = directory();
  root.children.set('etc', folder);
  folder.children.set('one', filled(3 * BLOCK, 0x11));
  folder.children.set('two', filled(2 * BLOCK + 5, 0x22));
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 0, uuid: new Uint8Array(16) }), sink);
  return sink.bytes();
}

/** Blocks that begin with a byte. */
function blocksOf(bytes: Uint8Array, byte: number): number[] {
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK) if (bytes[at] === byte) found.push(at / BLOCK);
  return found;
}
const find = (bytes: Uint8Array, blocks: number[]): Promise<ErofsOwners | undefined> =>
  findErofsOwners(bytesSource(bytes), blocks, BLOCK);

describe('findErofsOwners', () => {
  test('blocks have the paths of their files', async () => {
    const bytes = await image();
    const [one, two] = [blocksOf(bytes, 0x11), blocksOf(bytes, 0x22)];
    expect(one).toHaveLength(3);
    const owners = await find(
      bytes,
      [one[1]!, two[0]!].sort((a, b) => a - b),
    );
    expect(owners?.paths.get(one[1]!)).toEqual(['/etc/one']);
    expect(owners?.paths.get(two[0]!)).toEqual(['/etc/two']);
    expect(owners?.paths.size).toBe(2);
    expect(owners?.unreadable).toEqual([]);
  });

  test('the first block holds the superblock and inodes', async () => {
    const owners = await find(await image(), [0]);
    expect(owners?.paths.get(0)).toEqual(
      expect.arrayContaining(['(superblock)', '/', '/etc', '/etc/two']),
    );
  });

  test('what cannot be read is named, and the rest is still found', async () => {
    const bytes = await image();
    const two = blocksOf(bytes, 0x22);
    // The inode of one of the files: its first 32 bytes hold its size.
    const at = bytes.findIndex(
      (_, i) =>
        i % 32 === 0 && i > 1152 && new DataView(bytes.buffer).getUint32(i + 8, true) === 3 * BLOCK,
    );
    bytes.fill(0xff, at, at + 32);
    const owners = await find(bytes, two);
    expect(owners?.unreadable).toEqual(['/etc/one']);
    expect(owners?.paths.get(two[0]!)).toEqual(['/etc/two']);
  });

  test('what is no EROFS has no owners', async () => {
    expect(await find(new Uint8Array(8 * BLOCK), [1])).toBeUndefined();
    expect(await find(new Uint8Array(10), [0])).toBeUndefined();
  });

  test('any damage gives owners or none, and never throws', async () => {
    const bytes = await image();
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        fc.integer({ min: 1024, max: bytes.length - 64 }),
        async (junk, at) => {
          const damaged = bytes.slice();
          damaged.set(junk, at);
          const owners = await find(damaged, [0, 1, 2, 3]);
          expect(owners?.paths.size ?? 0).toBeLessThanOrEqual(4);
        },
      ),
      { numRuns: 200 },
    );
  });
});
