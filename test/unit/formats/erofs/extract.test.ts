import fc from 'fast-check';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { extractErofs } from '../../../../src/formats/erofs/extract.ts';
import { findErofsPath } from '../../../../src/formats/erofs/find-path.ts';
import { listErofs, type ErofsListing } from '../../../../src/formats/erofs/list.ts';
import { planErofs } from '../../../../src/formats/erofs/plan.ts';
import { openErofs } from '../../../../src/formats/erofs/reader.ts';
import { writeErofs } from '../../../../src/formats/erofs/writer.ts';
import { bytesSource, type ByteSource } from '../../../../src/io/byte-source.ts';
import {
  bytesContent,
  device,
  directory,
  regularFile,
  specialFile,
  symlink,
  walk,
  type Directory,
} from '../../../../src/io/file-tree.ts';
import { MemorySink } from '../../../../src/io/image-sink.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { testBytes, treeArbitrary } from './trees.ts';

async function imageOf(root: Directory): Promise<ByteSource> {
  const sink = new MemorySink();
  await writeErofs(planErofs(root, { buildTime: 1, uuid: new Uint8Array(16) }), sink);
  return bytesSource(sink.bytes(), 'image');
}

function sampleTree(): Directory {
  const root = directory({ mtime: 10 });
  const bin = directory({ mtime: 20, mode: 0o555 });
  const tool = regularFile(bytesContent(testBytes(9000)), {
    mode: 0o4755,
    mtime: 30,
    mtimeNsec: 250_000_000,
  });
  root.children.set('bin', bin);
  bin.children.set('tool', tool);
  root.children.set('tool-too', tool);
  root.children.set('escape', symlink('/etc', { mtime: 40 }));
  root.children.set('null', device('char-device', 1, 3));
  root.children.set('pipe', specialFile('fifo'));
  root.children.set('empty', regularFile(bytesContent(new Uint8Array(0))));
  tool.xattrs.set('user.note', testBytes(3));
  return root;
}
const image = await imageOf(sampleTree());

describe('extractErofs', () => {
  test('writes files, links, modes and times, and says what it left out', async () => {
    const out = join(tmpDir(), 'out');
    const report = await extractErofs(image, out);
    expect(report).toEqual({
      files: 2,
      directories: 2,
      symlinks: 1,
      links: 1,
      written: 9000,
      skipped: [
        { path: '/bin/tool', what: 'the extended attribute user.note' },
        { path: '/null', what: 'a char-device' },
        { path: '/pipe', what: 'a fifo' },
      ],
      moreSkipped: 0,
    });
    expect(new Uint8Array(readFileSync(join(out, 'bin/tool')))).toEqual(testBytes(9000));
    const tool = statSync(join(out, 'bin/tool'));
    expect(statSync(join(out, 'tool-too')).ino).toBe(tool.ino);
    // Somebody else's set-uid bit would be ours.
    expect(tool.mode & 0o7777).toBe(0o755);
    expect(tool.mtimeMs).toBe(30_250);
    expect(statSync(join(out, 'bin')).mode & 0o7777).toBe(0o555);
    expect(statSync(join(out, 'bin')).mtimeMs).toBe(20_000);
    expect(statSync(out).mtimeMs).toBe(10_000);
    expect(readlinkSync(join(out, 'escape'))).toBe('/etc');
    expect(lstatSync(join(out, 'escape')).mtimeMs).toBe(40_000);
    expect(readdirSync(out).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'bin',
      'empty',
      'escape',
      'tool-too',
    ]);
  });

  test('a folder of the image can be meant', async () => {
    const out = join(tmpDir(), 'out');
    await extractErofs(image, out, { from: '/bin' });
    expect(readdirSync(out)).toEqual(['tool']);
    await expect(extractErofs(image, `${out}-2`, { from: '/tool-too' })).rejects.toMatchObject({
      code: 'input',
    });
    await expect(extractErofs(image, `${out}-2`, { from: '/none' })).rejects.toMatchObject({
      code: 'input',
    });
  });

  test('what exists is not touched, nor what a link there leads to', async () => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'there'));
    symlinkSync('nowhere', join(folder, 'dangling'));
    for (const name of ['there', 'dangling']) {
      await expect(extractErofs(image, join(folder, name))).rejects.toMatchObject({
        code: 'output',
      });
    }
    expect(readdirSync(folder)).toHaveLength(2);
    expect(readdirSync(join(folder, 'there'))).toEqual([]);
  });

  test('more bytes than are allowed leave nothing behind', async () => {
    const folder = tmpDir();
    await expect(
      extractErofs(image, join(folder, 'out'), { maxBytes: 8999 }),
    ).rejects.toMatchObject({ code: 'too-large', field: 'i_size' });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('an interruption leaves nothing behind', async () => {
    const folder = tmpDir();
    const stop = new AbortController();
    const extraction = extractErofs(image, join(folder, 'out'), {
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('enough')),
    });
    await expect(extraction).rejects.toThrow('enough');
    expect(readdirSync(folder)).toEqual([]);
  });

  test('random trees come out as they went in', async () => {
    await fc.assert(
      fc.asyncProperty(treeArbitrary, async (root) => {
        const out = join(tmpDir(), 'out');
        await extractErofs(await imageOf(root), out);
        walk(root, (path, inode) => {
          // Directories without permissions stay closed to all but root.
          if (process.getuid?.() !== 0) return;
          const place = join(out, path);
          const isWritten = ['file', 'directory', 'symlink'].includes(inode.kind);
          if (!isWritten) expect(existsSync(place)).toBe(false);
          else if (inode.kind === 'symlink') expect(readlinkSync(place)).toBe(inode.target);
          else {
            const stats = statSync(place);
            expect(stats.isDirectory()).toBe(inode.kind === 'directory');
            expect(stats.mode & 0o1777).toBe(inode.mode & 0o1777);
            if (inode.kind === 'file') expect(stats.size).toBe(inode.content.size);
          }
        });
      }),
      { numRuns: 15 },
    );
  });
});

describe('findErofsPath', () => {
  test('finds by names and follows no links', async () => {
    const reader = await openErofs(image);
    expect((await findErofsPath(reader, '/')).nid).toBe(reader.root.nid);
    expect((await findErofsPath(reader, '/bin/')).kind).toBe('directory');
    expect((await findErofsPath(reader, '/bin/tool')).size).toBe(9000);
    await expect(findErofsPath(reader, '/escape/passwd')).rejects.toThrow(/escape is a symlink/);
  });

  test.each(['bin', '/bin/../bin', '//bin', '/none', '/bin/tool/more', ''])(
    '%j is not found',
    async (path) => {
      const reader = await openErofs(image);
      await expect(findErofsPath(reader, path)).rejects.toMatchObject({ code: 'input' });
    },
  );
});

describe('listErofs', () => {
  const list = async (path: string, isRecursive = false): Promise<ErofsListing[]> => {
    const entries: ErofsListing[] = [];
    const reader = await openErofs(image);
    for await (const entry of listErofs(reader, path, isRecursive)) entries.push(entry);
    return entries;
  };

  test('lists a folder, all below it, or one file', async () => {
    expect((await list('/')).map(({ path }) => basename(path))).toEqual([
      'bin',
      'empty',
      'escape',
      'null',
      'pipe',
      'tool-too',
    ]);
    expect((await list('/', true)).map(({ path }) => path)).toContain('/bin/tool');
    expect((await list('/bin')).map(({ path }) => path)).toEqual(['/bin/tool']);
    expect((await list('/tool-too')).map(({ path }) => path)).toEqual(['/tool-too']);
  });

  test('tells modes, times, targets and devices as ls does', async () => {
    const byPath = new Map((await list('/', true)).map((entry) => [entry.path, entry]));
    expect(byPath.get('/bin/tool')).toMatchObject({
      modeText: '-rwsr-xr-x',
      links: 2,
      size: 9000,
      modified: '1970-01-01T00:00:30.250000000Z',
    });
    expect(byPath.get('/bin')?.modeText).toBe('dr-xr-xr-x');
    expect(byPath.get('/escape')?.target).toBe('/etc');
    expect(byPath.get('/null')?.device).toBe('1:3');
    expect(byPath.get('/pipe')?.modeText).toBe('prw-------');
  });
});
