import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { strictTar } from '../../../../src/formats/tar/strict.ts';
import { memoryStore, tarToTree } from '../../../../src/formats/tar/tree.ts';
import { bytesSource } from '../../../../src/io/byte-source.ts';
import { findInode, walk, type Directory } from '../../../../src/io/file-tree.ts';

interface Item {
  readonly name: string;
  readonly type?: 'file' | 'directory' | 'symlink' | 'link';
  readonly data?: string;
  readonly linkname?: string;
  readonly mode?: number;
}

async function tar(items: readonly Item[]): Promise<Uint8Array> {
  const stream = pack();
  for (const { name, type = 'file', data = '', linkname, mode } of items) {
    stream.entry(
      {
        name,
        type,
        mtime: new Date(1_600_000_000_000),
        ...(mode !== undefined && { mode }),
        ...(linkname !== undefined && { linkname }),
      },
      data,
    );
  }
  stream.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

const read = (data: Uint8Array): Promise<Directory> => tarToTree(bytesSource(data, 'x.tar'));

function paths(root: Directory): string[] {
  const found: string[] = [];
  walk(root, (path, inode) => found.push(`${path} ${inode.kind}`));
  return found;
}

async function contentOf(root: Directory, path: string): Promise<string> {
  const inode = findInode(root, path);
  if (inode?.kind !== 'file') return `not a file: ${inode?.kind}`;
  const chunks: Uint8Array[] = [];
  for await (const chunk of inode.content.stream()) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const sample: readonly Item[] = [
  { name: './', type: 'directory', mode: 0o750 },
  { name: './usr/', type: 'directory', mode: 0o755 },
  { name: './usr/bin/tool', data: 'x'.repeat(1500), mode: 0o4755 },
  { name: './usr/bin/same', type: 'link', linkname: './usr/bin/tool' },
  { name: './bin', type: 'symlink', linkname: 'usr/bin' },
  { name: `./${'long/'.repeat(50)}end`, data: 'deep' },
];

describe('tarToTree', () => {
  test('gives files, links, modes and times, and one inode for hard links', async () => {
    const root = await read(await tar(sample));
    expect(paths(root).slice(0, 3)).toEqual(['/ directory', '/bin symlink', '/long directory']);
    const tool = findInode(root, '/usr/bin/tool');
    expect(tool).toMatchObject({ kind: 'file', mode: 0o4755, mtime: 1_600_000_000 });
    expect(findInode(root, '/usr/bin/same')).toBe(tool);
    expect(root.mode).toBe(0o750);
    expect(await contentOf(root, '/usr/bin/tool')).toBe('x'.repeat(1500));
    expect(await contentOf(root, `/${'long/'.repeat(50)}end`)).toBe('deep');
  });

  test('reads gzip as plain, whatever the file is called', async () => {
    const data = await tar(sample);
    expect(paths(await read(new Uint8Array(gzipSync(data))))).toEqual(paths(await read(data)));
  });

  test('takes only what is selected, and reads no data of the rest', async () => {
    const asked: number[] = [];
    const root = await tarToTree(bytesSource(await tar(sample), 'x.tar'), {
      select: (path) => path === '/bin' || path.endsWith('/end'),
      store: {
        add(data, size) {
          asked.push(size);
          return memoryStore.add(data, size);
        },
      },
    });
    expect(asked).toEqual([4]);
    expect(findInode(root, '/usr')).toBeUndefined();
    expect(findInode(root, '/bin')?.kind).toBe('symlink');
  });

  test.each<[string, Item[], RegExp]>([
    ['an absolute path', [{ name: '/etc/passwd' }], /"\/etc\/passwd" has an absolute path/],
    ['a path out of the root', [{ name: 'a/../../b' }], /".." segment/],
    ['a control character', [{ name: 'a\nb' }], /control character/],
    [
      'a file through a link',
      [{ name: 'l', type: 'symlink', linkname: '/tmp' }, { name: 'l/x' }],
      /goes through "l"/,
    ],
    ['a file below a file', [{ name: 'f' }, { name: 'f/x' }], /goes through "f"/],
    ['a name twice', [{ name: 'f' }, { name: './f' }], /is there already/],
    [
      'a hard link to a later file',
      [{ name: 'h', type: 'link', linkname: 'f' }, { name: 'f' }],
      /no file before it/,
    ],
    [
      'a hard link to a folder',
      [
        { name: 'd', type: 'directory' },
        { name: 'h', type: 'link', linkname: 'd' },
      ],
      /no file before it/,
    ],
  ])('refuses %s, naming archive and entry', async (_, items, message) => {
    const error: unknown = await read(await tar(items)).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toMatch(message);
    expect((error as FormatError).message).toContain('x.tar');
  });

  test('refuses more entries or bytes than it was told', async () => {
    const source = bytesSource(await tar(sample), 'x.tar');
    await expect(tarToTree(source, { maxEntries: 3 })).rejects.toMatchObject({ code: 'too-large' });
    await expect(tarToTree(source, { maxSize: 4000 })).rejects.toMatchObject({ code: 'too-large' });
  });

  test('refuses an archive that is cut off anywhere', async () => {
    const data = await tar(sample);
    for (let length = 0; length < data.length - 512; length += 171) {
      await expect(read(data.subarray(0, length)), `${length}`).rejects.toThrow(FormatError);
    }
    const packed = new Uint8Array(gzipSync(data));
    for (let length = 20; length < packed.length; length += 41) {
      await expect(read(packed.subarray(0, length)), `${length}`).rejects.toThrow(FormatError);
    }
  });

  test('any change of any byte is read or gives a FormatError', async () => {
    const data = await tar(sample.slice(0, 5));
    await fc.assert(
      fc.asyncProperty(fc.nat(data.length - 1), fc.nat(255), async (at, value) => {
        const changed = data.slice();
        changed[at] = value;
        const outcome = await read(changed).then(
          () => 'read',
          (error: unknown) => (error instanceof FormatError ? 'refused' : error),
        );
        expect(outcome).toMatch(/^(read|refused)$/);
      }),
      { numRuns: 200 },
    );
  });
});

describe('strictTar', () => {
  test('passes a good archive on unchanged, however it is cut into chunks', async () => {
    const data = await tar(sample);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2000 }), async (size) => {
        async function* chunks(): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < data.length; at += size) {
            yield await Promise.resolve(data.subarray(at, at + size));
          }
        }
        const passed: Uint8Array[] = [];
        for await (const chunk of strictTar(chunks(), 'x')) passed.push(chunk.slice());
        expect(Buffer.compare(Buffer.concat(passed), data)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });
});
