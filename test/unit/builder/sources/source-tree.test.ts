/** What each kind of source puts into a partition, and what two of them may not both have. */

import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { pack, type Headers } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../../../src/core/digest.ts';
import { RecipeError } from '../../../../src/core/errors.ts';
import {
  bytesContent,
  directory,
  findInode,
  regularFile,
  walk,
} from '../../../../src/io/file-tree.ts';
import { expandRuns } from '../../../../src/io/origins.ts';
import { addInode } from '../../../../src/io/merge-tree.ts';
import { bytesOf, listTree, namesBelow, treeOf } from '../../../support/source-trees.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { forge } from '../../formats/zip/forge.ts';

type Item = Headers & { readonly data?: string };

async function tarOf(items: readonly Item[]): Promise<Uint8Array> {
  const stream = pack();
  for (const { data = '', ...header } of items) {
    stream.entry({ mtime: new Date(1_600_000_000_000), ...header }, data);
  }
  stream.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** A folder with the given files. */
function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = tmpDir();
  for (const [name, data] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), data);
  }
  return folder;
}

async function problemsOf(work: Promise<unknown>): Promise<readonly string[]> {
  try {
    await work;
    return [];
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return error.diagnostics.map(({ line, message, hint }) => `${line}: ${message}; ${hint ?? ''}`);
  }
}

describe('a source', () => {
  test('of one file, text, link or folder is that, with parents that say nothing', async () => {
    const folder = folderWith({ motd: 'hi' });
    const { tree } = await treeOf(folder, [
      { file: 'motd', to: '/etc/motd', mode: '0600', uid: 7, gid: 8 },
      { inline: 'a=1\n', to: '/etc/x.conf' },
      { symlink: '../etc/x.conf', to: '/opt/link', uid: 3 },
      { folder: '/srv', mode: '1777', gid: 5 },
    ]);
    expect(await listTree(tree)).toEqual([
      '/ directory 755 0:0',
      '/etc directory 755 0:0',
      '/etc/motd file 600 7:8 8f434346648f6b96',
      expect.stringContaining('/etc/x.conf file 644 0:0'),
      '/opt directory 755 0:0',
      '/opt/link symlink  3:0 -> ../etc/x.conf',
      '/srv directory 1777 0:5',
    ]);
    expect((await bytesOf(tree, '/etc/x.conf')).toString()).toBe('a=1\n');
  });

  test('of a folder goes where it is told, without what is excluded, also below it', async () => {
    const folder = folderWith({
      'root/a.txt': '1',
      'root/b.pyc': '2',
      'root/cache/c': '3',
      'root/keep/d.txt': '4',
      'root/odd[1].txt': '5',
    });
    const paths = async (patterns: object): Promise<string[]> => {
      const { tree } = await treeOf(folder, [{ dir: 'root', to: '/opt', ...patterns }]);
      const found: string[] = [];
      walk(tree, (path, { kind }) => kind === 'file' && found.push(path));
      return found;
    };
    expect(await paths({ exclude: ['*.pyc', '/opt/cache'] })).toEqual([
      '/opt/a.txt',
      '/opt/keep/d.txt',
      '/opt/odd[1].txt',
    ]);
    expect(await paths({ exclude: ['/opt/odd[1].txt', '/opt/*/c'] })).toHaveLength(3);
    expect(await paths({ include: ['*.txt'], exclude: ['/opt/keep/**'] })).toEqual([
      '/opt/a.txt',
      '/opt/odd[1].txt',
    ]);
    expect(await paths({ include: ['/opt/keep'] })).toEqual(['/opt/keep/d.txt']);
  });

  test.each([
    ['plain', (data: Uint8Array) => data],
    ['gzip', (data: Uint8Array) => gzipSync(data)],
  ])(
    'of a %s archive keeps owners, modes, times and links; contents are slices of one file',
    async (_, pressed) => {
      const data = await tarOf([
        { name: './', type: 'directory', mode: 0o700 },
        { name: './bin/', type: 'directory', mode: 0o751, uid: 9 },
        { name: './bin/tool', data: 'x'.repeat(5000), mode: 0o4755, uid: 1, gid: 2 },
        { name: './bin/same', type: 'link', linkname: './bin/tool' },
        { name: './bin/up', type: 'symlink', linkname: '..' },
        { name: './empty', mode: 0o640 },
      ]);
      const folder = folderWith({ 'x.tar': pressed(data) });
      const { tree, notes } = await treeOf(folder, [{ tar: 'x.tar', to: '/opt/x' }], {
        sourceDate: 1_700_000_000,
      });
      expect(await listTree(tree)).toEqual([
        '/ directory 755 0:0',
        '/opt directory 755 0:0',
        '/opt/x directory 700 0:0',
        '/opt/x/bin directory 751 9:0',
        `/opt/x/bin/same file 4755 1:2 ${toHex(sha256(Buffer.from('x'.repeat(5000)))).slice(0, 16)}`,
        '/opt/x/bin/tool file 4755 1:2 = /opt/x/bin/same',
        '/opt/x/bin/up symlink  0:0 -> ..',
        '/opt/x/empty file 640 0:0 e3b0c44298fc1c14',
      ]);
      const tool = findInode(tree, '/opt/x/bin/tool');
      if (tool?.kind !== 'file') throw new Error('no file');
      const { slice } = tool.content;
      expect(
        readFileSync(slice?.path ?? '')
          .subarray(slice?.offset, (slice?.offset ?? 0) + 5000)
          .toString(),
      ).toBe('x'.repeat(5000));
      expect(tool.mtime).toBe(1_600_000_000);
      expect(findInode(tree, '/opt')?.mtime).toBe(1_700_000_000);
      expect(notes).toMatchObject([
        { kind: 'warning', message: expect.stringContaining('/opt/x/bin/same') },
      ]);
      // Nothing but the cache was written.
      expect(namesBelow(folder)).toEqual(['x.tar']);
    },
  );

  test('is never newer than the build', async () => {
    const folder = folderWith({ 'x.tar': await tarOf([{ name: 'a' }]), 'd/f': '' });
    utimesSync(join(folder, 'd/f'), 1, 1);
    const { tree } = await treeOf(folder, [{ tar: 'x.tar' }, { dir: 'd' }], { sourceDate: 5000 });
    const times = new Set<number>();
    walk(tree, (_, { mtime }) => times.add(mtime));
    expect([...times]).toEqual([5000]);
  });

  test('cuts off the front of names as GNU tar does, and links with them', async () => {
    const folder = folderWith({
      'x.tar': await tarOf([
        { name: 'p-1/', type: 'directory', mode: 0o750 },
        { name: 'p-1/a', data: '1' },
        { name: 'p-1/b/c', type: 'link', linkname: 'p-1/a' },
        { name: 'README', data: 'r' },
      ]),
    });
    const { tree } = await treeOf(folder, [{ tar: 'x.tar', strip: 1, to: '/p' }]);
    expect((await listTree(tree)).slice(1)).toEqual([
      '/p directory 750 0:0',
      expect.stringMatching('^/p/a file'),
      '/p/b directory 755 0:0',
      '/p/b/c file 644 0:0 = /p/a',
    ]);
    expect(await problemsOf(treeOf(folder, [{ tar: 'x.tar', strip: 3 }]))).toEqual([
      expect.stringContaining('nothing is 3 folders deep'),
    ]);
  });

  test('may have devices only where they are left out', async () => {
    const folder = folderWith({
      'x.tar': await tarOf([
        { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3 },
        { name: 'a' },
      ]),
    });
    expect(await problemsOf(treeOf(folder, [{ tar: 'x.tar' }]))).toEqual([
      '6: Cannot take /dev/null: it is a char-device; Leave it out: exclude: [/dev/null]',
    ]);
    const { tree } = await treeOf(folder, [{ tar: 'x.tar', exclude: ['/dev'] }]);
    expect(findInode(tree, '/dev')).toBeUndefined();
  });

  test('of a ZIP archive has the modes and links of Unix, and the time that is told in UTC', async () => {
    const time = Buffer.from('5554050001' + '00ca9a3b', 'hex');
    const unix = { versionMadeBy: 0x031e };
    const folder = folderWith({
      'x.zip': forge({
        entries: [
          { name: 'top/', central: { ...unix, externalAttributes: 0o040700 * 65536 } },
          {
            name: 'top/run',
            data: 'run',
            deflate: true,
            extra: time,
            central: { ...unix, externalAttributes: 0o104755 * 65536 },
          },
          {
            name: 'top/link',
            data: 'run',
            central: { ...unix, externalAttributes: 0o120777 * 65536 },
          },
          { name: 'top/dos', data: 'd', central: { externalAttributes: 0x20 } },
        ],
        comment: 'a comment',
      }),
    });
    const { tree } = await treeOf(folder, [{ zip: 'x.zip', strip: 1, to: '/z' }], {
      sourceDate: 2e9,
    });
    expect((await listTree(tree)).slice(1)).toEqual([
      '/z directory 700 0:0',
      expect.stringMatching('^/z/dos file 644'),
      '/z/link symlink  0:0 -> run',
      expect.stringMatching('^/z/run file 4755'),
    ]);
    expect(findInode(tree, '/z/run')?.mtime).toBe(1_000_000_000);
    expect(findInode(tree, '/z/dos')?.mtime).toBe(2_000_000_000);
    expect((await bytesOf(tree, '/z/run')).toString()).toBe('run');
  });

  test.each([
    ['leads outside', '../../etc/passwd', 'outside the archive'],
    ['leads to nothing', '', 'to nothing'],
    ['is not text', '\0', 'not text'],
  ])('of a ZIP archive whose link %s is refused, naming the entry', async (_, target, why) => {
    const central = { versionMadeBy: 0x031e, externalAttributes: 0o120777 * 65536 };
    const folder = folderWith({
      'x.zip': forge({ entries: [{ name: 'd/link', data: target, central }] }),
    });
    expect(await problemsOf(treeOf(folder, [{ zip: 'x.zip' }]))).toEqual([
      expect.stringMatching(`^6: x.zip: .*"d/link" is a link.*${why}`),
    ]);
  });

  test('whose archive changed is read anew; one that did not is unpacked once', async () => {
    const folder = folderWith({ 'x.tar.gz': gzipSync(await tarOf([{ name: 'a', data: '1' }])) });
    const slice = async (): Promise<unknown> => {
      const inode = findInode((await treeOf(folder, [{ tar: 'x.tar.gz' }])).tree, '/a');
      return inode?.kind === 'file' ? inode.content.slice : undefined;
    };
    const first = await slice();
    expect(await slice()).toEqual(first);
    writeFileSync(join(folder, 'x.tar.gz'), gzipSync(await tarOf([{ name: 'a', data: '2' }])));
    expect(await slice()).not.toEqual(first);
  });

  test('cannot decompress to a hundred times its size', async () => {
    const bomb = await tarOf([{ name: 'zeros', data: '\0'.repeat(65 << 20) }]);
    const folder = folderWith({ 'bomb.tar.gz': gzipSync(bomb) });
    expect(await problemsOf(treeOf(folder, [{ tar: 'bomb.tar.gz' }]))).toEqual([
      expect.stringMatching(/^6: Cannot decompress bomb.tar.gz: it holds more than 67108864 bytes/),
    ]);
  });
});

test('programs with more rights than who starts them are told, unless rules took the rights away', async () => {
  const folder = folderWith({
    'x.tar': await tarOf([
      { name: 'su', mode: 0o4755 },
      { name: 'wall', mode: 0o2755 },
    ]),
    f: '',
  });
  const contents = [{ tar: 'x.tar' }, { file: 'f', to: '/own', mode: '4755' }];
  const { notes } = await treeOf(folder, contents);
  expect(notes.map((each) => each.kind === 'warning' && each.message)).toEqual([
    'Runs with more rights than who starts it: /su, /wall',
  ]);
  const rules = [{ match: ['su', 'wall'], mode: '0755' }];
  expect((await treeOf(folder, contents, { rules })).notes).toEqual([]);
});

describe('rules', () => {
  const files = { 'd/bin/a': '', 'd/bin/b.so': '', 'd/etc/c': '' };

  test('change what matches, in order: owner, mode, time, attributes, removal', async () => {
    const folder = folderWith(files);
    symlinkSync('a', join(folder, 'd/bin/l'));
    const { tree } = await treeOf(
      folder,
      [
        {
          dir: 'd',
          to: '/x',
          rules: [
            { match: '/x/bin/**', mode: '0700', uid: 5 },
            { match: ['*.so', '/x/etc/c'], gid: 6 },
          ],
        },
      ],
      {
        rules: [
          { match: '/x/bin', mode: '0711', mtime: 77 },
          { match: 'b.so', mtime: 4_100_000_000 },
          {
            match: 'a',
            xattrs: {
              'user.t': 'text',
              'user.h': '0x00ff',
              'user.b': 'base64:AAE=',
              'user.n': null,
            },
          },
          { match: '/x/etc', remove: true },
        ],
      },
    );
    expect(tree.mode).toBe(0o755);
    expect((await listTree(tree)).slice(2)).toEqual([
      '/x/bin directory 711 0:0',
      expect.stringMatching('^/x/bin/a file 700 5:0'),
      expect.stringMatching('^/x/bin/b.so file 700 5:6'),
      '/x/bin/l symlink  5:0 -> a',
    ]);
    expect(findInode(tree, '/x/bin')?.mtime).toBe(77);
    expect(findInode(tree, '/x/bin/b.so')?.mtime).toBe(4_100_000_000);
    expect(Object.fromEntries(findInode(tree, '/x/bin/a')?.xattrs ?? [])).toEqual({
      'user.t': new Uint8Array(Buffer.from('text')),
      'user.h': Uint8Array.of(0, 255),
      'user.b': Uint8Array.of(0, 1),
    });
  });

  test('that match nothing are all told, each at its line; an included name that is not there, too', async () => {
    const folder = folderWith(files);
    const rules = [
      { match: '*.nothing', mode: '0700' },
      { match: '/bin/a', mode: '0700' },
      { match: ['/etc/d', '[x'], uid: 1 },
    ];
    expect(await problemsOf(treeOf(folder, [{ dir: 'd' }], { rules }))).toEqual([
      expect.stringMatching(/^7: Nothing matches \*\.nothing/),
      expect.stringMatching(/^7: .*bracket is not closed/),
    ]);
    expect(await problemsOf(treeOf(folder, [{ dir: 'd', rules: [rules[0]] }]))).toEqual([
      expect.stringMatching(/^6: Nothing matches/),
    ]);
    expect(await problemsOf(treeOf(folder, [{ dir: 'd', include: ['/nowhere'] }]))).toEqual([
      expect.stringMatching(/^6: Nothing of the source matches/),
    ]);
    symlinkSync('a', join(folder, 'd/bin/l'));
    const link = [{ match: 'l', mode: '0600' }];
    expect(await problemsOf(treeOf(folder, [{ dir: 'd' }], { rules: link }))).toEqual([
      expect.stringMatching(/^7: Only symbolic links match l: they have no mode/),
    ]);
  });
});

describe('two sources', () => {
  test('may not have one path: every conflict is told, with both sources and lines', async () => {
    const folder = folderWith({
      'a/x': '1',
      'a/y': '1',
      'a/z/f': '1',
      'b/x': '2',
      'b/y': '1',
      'b/z': '',
    });
    expect(await problemsOf(treeOf(folder, [{ dir: 'a' }, { dir: 'b' }]))).toEqual([
      expect.stringMatching(
        /^7: \/x is in the image already, and not the same; contents\[0\] \(dir: a, microbuild\.yaml:6\)/,
      ),
      expect.stringMatching(
        /^7: \/z is in the image already, as a directory where this has a file; /,
      ),
    ]);
  });

  test('may have equal files, but not with other owners, modes or attributes', async () => {
    const folder = folderWith({ f: 'same', g: 'same', h: 'other' });
    const both = (second: object): Promise<readonly string[]> =>
      problemsOf(
        treeOf(folder, [
          { file: 'f', to: '/f' },
          { to: '/f', ...second },
        ]),
      );
    expect(await both({ file: 'g' })).toEqual([]);
    for (const different of [
      { file: 'g', uid: 1 },
      { file: 'g', gid: 1 },
      { file: 'g', mode: '0600' },
      { file: 'h' },
      { symlink: 'f' },
      { file: 'g', rules: [{ match: '/f', xattrs: { 'user.a': 'b' } }] },
    ]) {
      expect([different, (await both(different)).length]).toEqual([different, 1]);
    }
  });

  test('unite folders; the first that names one says what it is like', async () => {
    const folder = folderWith({ f: '' });
    const { tree, origins } = await treeOf(folder, [
      { file: 'f', to: '/a/f' },
      { folder: '/a', mode: '0750' },
      { folder: '/a', mode: '0700' },
    ]);
    expect(findInode(tree, '/a')?.mode).toBe(0o750);
    expect(origins).toEqual([
      [1, -1],
      [1, 1],
      [1, 0],
    ]);
  });
});

describe('origins', () => {
  const names = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1, maxLength: 4 });

  test('name for every path the first source that has it, whatever the sources are', async () => {
    const folder = tmpDir();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(names, { maxLength: 6 }), { maxLength: 5 }),
        async (sources) => {
          // Folders only: they never conflict, and nothing else decides who was first.
          const contents = sources.flatMap((paths) =>
            paths.map((path) => ({ folder: `/${path.join('/')}` })),
          );
          fc.pre(contents.length > 0);
          const { tree, origins } = await treeOf(folder, contents);
          const found = [...expandRuns(origins)];
          const expected: number[] = [];
          walk(tree, (path) => {
            const named = contents.findIndex((each) => each.folder === path);
            const implied = contents.findIndex((each) => each.folder.startsWith(`${path}/`));
            expected.push(path === '/' ? -1 : named === -1 ? implied : named);
          });
          expect(found).toEqual(expected);
          for (const [index, run] of origins.entries()) {
            expect(run[0]).toBeGreaterThan(0);
            if (index > 0) expect(run[1]).not.toBe(origins[index - 1]?.[1]);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('stay with a file that rules change', async () => {
    const folder = folderWith({ 'd/a': '', 'd/b': '' });
    linkSync(join(folder, 'd/a'), join(folder, 'd/c'));
    chmodSync(join(folder, 'd/a'), 0o755);
    const guest = directory();
    addInode(guest, '/bin/init', regularFile(bytesContent(new Uint8Array(0))), {});
    const { origins } = await treeOf(folder, [{ guest: 'runtime' }, { dir: 'd', to: '/z' }], {
      guest,
      rules: [
        { match: '/z/b', remove: true },
        { match: '*', mode: '0700' },
      ],
    });
    expect(origins).toEqual([
      [1, -1],
      [2, 0],
      [3, 1],
    ]);
  });
});
