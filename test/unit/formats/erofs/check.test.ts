import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBitSet } from '../../../../src/formats/erofs/block-usage.ts';
import { checkErofs } from '../../../../src/formats/erofs/check.ts';
import type { ErofsProblem } from '../../../../src/formats/erofs/check-report.ts';
import { crc32c } from '../../../../src/formats/erofs/crc32c.ts';
import { findErofsPath } from '../../../../src/formats/erofs/find-path.ts';
import type { ErofsInode } from '../../../../src/formats/erofs/inode.ts';
import { locateErofsBlocks } from '../../../../src/formats/erofs/locate.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  directory,
  regularFile,
  symlink,
  type Directory,
} from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { testBytes, treeArbitrary } from './trees.ts';

const now = { mtime: 1 };

async function imageOf(root: Directory): Promise<Uint8Array> {
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) }), sink);
  return sink.bytes();
}

function sampleTree(): Directory {
  const root = directory(now);
  const folder = directory(now);
  const linked = regularFile(bytesContent(testBytes(5000, 1)), now);
  root.children.set('folder', folder);
  root.children.set('first', regularFile(bytesContent(testBytes(12_282, 2)), now));
  root.children.set('linked', linked);
  folder.children.set('linked-too', linked);
  folder.children.set('link', symlink('../first', now));
  folder.xattrs.set('user.note', testBytes(20));
  return root;
}
const good = await imageOf(sampleTree());
const reader = await openErofs(bytesSource(good));
const at = (path: string): Promise<ErofsInode> => findErofsPath(reader, path);
const [root, folder, first, linked] = [
  reader.root,
  await at('/folder'),
  await at('/first'),
  await at('/linked'),
];

/** The good image with some 32-bit numbers replaced, sealed again. */
async function problemsOf(
  ...edits: readonly (readonly [offset: number, value: number])[]
): Promise<readonly ErofsProblem[]> {
  const image = good.slice();
  const view = new DataView(image.buffer);
  for (const [offset, value] of edits) view.setUint32(offset, value, true);
  view.setUint32(1028, 0, true);
  view.setUint32(1028, crc32c(image.subarray(1024, 4096)), true);
  return (await checkErofs(bytesSource(image))).problems;
}
const read32 = (offset: number): number => new DataView(good.buffer).getUint32(offset, true);
/** `i_mode` and, in its upper half, `i_nlink`. */
const links = ({ offset }: ErofsInode, count: number): readonly [number, number] => [
  offset + 4,
  (read32(offset + 4) & 0xffff) | (count << 16),
];

describe('checkErofs', () => {
  test('finds nothing in an image of ours, and counts it', async () => {
    expect(await checkErofs(bytesSource(good))).toMatchObject({
      problems: [],
      more: 0,
      inodes: 5,
      names: 6,
      dataSize: 17_282,
    });
  });

  test('finds nothing in images of random trees', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (tree) => {
        const report = await checkErofs(bytesSource(await imageOf(tree)));
        expect(report.problems).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  test('a link count that is not the number of names is told, of files and directories', async () => {
    const problems = await problemsOf(links(linked, 3), links(folder, 5));
    expect(problems).toMatchObject([
      { severity: 'error', field: 'i_nlink', path: '/folder', offset: folder.offset },
      { severity: 'error', field: 'i_nlink', path: '/folder/linked-too', offset: linked.offset },
    ]);
  });

  test('blocks that two files use are told', async () => {
    const [problem] = await problemsOf([linked.offset + 16, first.union]);
    expect(problem).toMatchObject({ severity: 'error', field: 'data', offset: first.union * 4096 });
  });

  test('data in the blocks of inodes is told', async () => {
    const [problem] = await problemsOf([first.offset + 16, Math.floor(root.offset / 4096)]);
    expect(problem).toMatchObject({ severity: 'error', field: 'data' });
  });

  test('bytes without use and behind the end of data are to be zero', async () => {
    const all = { offset: 1024, length: good.length };
    const owners = await locateErofsBlocks(bytesSource(good), [all]);
    const unused = owners.find(({ kind, length }) => kind === 'unused' && length > 16);
    const offset = ((unused?.offset ?? 0) + 8) & ~3;
    expect(offset).toBeGreaterThan(1024);
    // Before the superblock stands what a boot loader wants.
    expect(await problemsOf([500, 1], [offset, 1])).toMatchObject([
      { severity: 'warning', code: 'trailing-data', offset },
    ]);
    const behind = first.union * 4096 + 12_284;
    expect(await problemsOf([behind, 1])).toMatchObject([
      { severity: 'warning', code: 'trailing-data', path: '/first', offset: behind },
    ]);
  });

  test('reserved fields that are set, unknown features and a wrong count are warned of', async () => {
    const compat = read32(1024 + 8) | 0x100;
    const problems = await problemsOf([first.offset + 12, 7], [1024 + 16, 77], [1024 + 8, compat]);
    expect(problems.map(({ severity, field }) => [severity, field])).toEqual([
      ['warning', 'feature_compat'],
      ['warning', 'i_reserved'],
      ['warning', 'inos'],
    ]);
  });

  test('many problems are told at once', async () => {
    const problems = await problemsOf(
      links(linked, 9),
      [first.offset + 16, 0xfffff],
      [folder.offset + 12, 1],
    );
    expect(problems.map(({ field }) => field).toSorted((a, b) => ((a ?? '') < (b ?? '') ? -1 : 1)))
      // The order is that of the walk.
      .toEqual(['i_nlink', 'i_reserved', 'i_u']);
  });

  test('what is no image at all is one problem', async () => {
    const report = await checkErofs(bytesSource(new Uint8Array(8192)));
    expect(report.problems).toMatchObject([{ severity: 'error', code: 'bad-magic' }]);
    expect(report.inodes).toBe(0);
  });

  test('it stops when told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(checkErofs(bytesSource(good), { signal })).rejects.toThrow('enough');
  });
});

test('a bit set holds what was added and tells what was there', () => {
  const run = fc.tuple(fc.nat(100_000), fc.integer({ min: 1, max: 70_000 }));
  fc.assert(
    fc.property(fc.array(run, { maxLength: 5 }), (runs) => {
      const set = createBitSet();
      const model = new Set<number>();
      for (const [start, count] of runs) {
        let expected: number | undefined;
        for (let bit = start; bit < start + count; bit += 1) {
          if (model.has(bit)) expected ??= bit;
          model.add(bit);
        }
        expect(set.add(start, count)).toBe(expected);
      }
      for (const [start, count] of runs) {
        for (const bit of [start - 1, start, start + count - 1, start + count]) {
          expect(set.has(bit)).toBe(model.has(bit));
        }
      }
    }),
    { numRuns: 20 },
  );
});
