/** Archives, packages, images and commits that other programs made, as sources: the files are those that went in. */

import {
  chmodSync,
  linkSync,
  mkdirSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { archiveCommit } from '../../src/builder/fetch/git.ts';
import { sha256, toHex } from '../../src/core/digest.ts';
import { RecipeError } from '../../src/core/errors.ts';
import { readExactTree } from '../../src/io/disk-tree.ts';
import { findInode } from '../../src/io/file-tree.ts';
import { gitKey, ociKey, type LockedImage } from '../../src/recipe/lockfile.ts';
import { bytesOf, listTree, treeOf, type SourcesOptions } from '../support/source-trees.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { runTool } from '../support/tools.ts';

function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): string {
  const result = runTool(program, args, {
    cwd,
    env: { ...process.env, LC_ALL: 'C', PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, ...env },
  });
  expect([program, result.status, result.stderr]).toEqual([program, 0, result.stderr]);
  return result.stdout;
}

/** A folder with one of everything that archives may hold. */
function fill(folder: string): void {
  for (const name of ['usr/bin', 'usr/share/doc/\u00fcmlaut', 'etc']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  writeFileSync(join(folder, 'usr/bin/large'), Buffer.alloc(300_001, 'microbuild '));
  chmodSync(join(folder, 'usr/bin/large'), 0o4755);
  linkSync(join(folder, 'usr/bin/large'), join(folder, 'usr/bin/linked'));
  writeFileSync(join(folder, 'usr/share/empty'), '');
  writeFileSync(join(folder, 'usr/share', 'n'.repeat(180)), 'a long name');
  mkdirSync(join(folder, 'usr/share', 'd'.repeat(120)));
  symlinkSync('l'.repeat(150), join(folder, 'usr/share', 'd'.repeat(120), 'link'));
  symlinkSync('../share', join(folder, 'usr/bin/up'));
  writeFileSync(join(folder, 'etc/conf'), 'key=value\n', { mode: 0o640 });
  const sparse = openSync(join(folder, 'usr/share/sparse'), 'w');
  for (let part = 0; part < 40; part += 1) writeSync(sparse, `part ${part}`, part * 200_000 + 5);
  closeSync(sparse);
}

const below = async (folder: string): Promise<string[]> =>
  (await listTree(await readExactTree(folder))).slice(1);

const made = async (folder: string, source: object, options?: SourcesOptions): Promise<string[]> =>
  (await listTree((await treeOf(folder, [source], options)).tree)).slice(1);

describe('tar archives', () => {
  test.each([
    ['tar', ['--format=gnu', '-cf']],
    ['tar', ['--format=gnu', '--sparse', '-czf']],
    ['tar', ['--format=posix', '--xattrs', '-cJf']],
    ['tar', ['--format=posix', '--sparse', '-cf']],
    ['tar', ['--format=pax', '--zstd', '-cf']],
    ['bsdtar', ['--format=pax', '-cf']],
    ['bsdtar', ['--format=gnutar', '--no-read-sparse', '-czf']],
  ])('of %s %j hold what went in', async (program, options) => {
    const folder = tmpDir();
    fill(join(folder, 'root'));
    run(program, [...options, join(folder, 'x.tar'), '-C', join(folder, 'root'), '.'], folder);
    expect(await made(folder, { tar: 'x.tar' })).toEqual(await below(join(folder, 'root')));
  });

  test.each([
    ['tar', ['--format=posix', '--xattrs', '-cf']],
    ['bsdtar', ['--format=pax', '-cf']],
  ])('of %s %j keep extended attributes, byte by byte', async (program, options) => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'root'));
    writeFileSync(join(folder, 'root/file'), 'x');
    const value = '0x00ff0a3d80';
    run('setfattr', ['-n', 'user.note', '-v', value, 'root/file'], folder);
    run(program, [...options, 'x.tar', '-C', 'root', '.'], folder);
    const { tree } = await treeOf(folder, [{ tar: 'x.tar' }]);
    const found = Buffer.from(findInode(tree, '/file')?.xattrs.get('user.note') ?? []);
    expect(`0x${found.toString('hex')}`).toBe(value);
  });

  test('with strip hold what GNU tar unpacks with --strip-components', async () => {
    const folder = tmpDir();
    fill(join(folder, 'root'));
    run('tar', ['-cf', 'x.tar', 'root'], folder);
    mkdirSync(join(folder, 'out'));
    run('tar', ['-xpf', 'x.tar', '--strip-components=2', '-C', 'out'], folder);
    expect(await made(folder, { tar: 'x.tar', strip: 2 })).toEqual(
      await below(join(folder, 'out')),
    );
  });
});

describe('Debian packages', () => {
  function build(folder: string, md5: string | undefined): void {
    fill(join(folder, 'root'));
    mkdirSync(join(folder, 'root/DEBIAN'));
    const control =
      'Package: sample\nVersion: 1.2-3\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n';
    writeFileSync(join(folder, 'root/DEBIAN/control'), control);
    writeFileSync(join(folder, 'root/DEBIAN/conffiles'), '/etc/conf\n');
    const script = `#!/bin/sh\ntouch ${folder}/was-run\n`;
    writeFileSync(join(folder, 'root/DEBIAN/postinst'), script, { mode: 0o755 });
    if (md5 !== undefined) writeFileSync(join(folder, 'root/DEBIAN/md5sums'), md5);
    run('dpkg-deb', ['--build', 'root', 'sample.deb'], folder);
    rmSync(join(folder, 'root/DEBIAN'), { recursive: true });
  }
  const md5Of = (folder: string, name: string): string =>
    run('md5sum', [name], join(folder, 'root')).split(' ', 1)[0] ?? '';

  test('hold what dpkg-deb unpacks; conffiles are told, scripts are not run', async () => {
    const folder = tmpDir();
    fill(join(folder, 'root'));
    const sums = `${md5Of(folder, 'usr/bin/large')}  usr/bin/large\n${md5Of(folder, 'usr/share/empty')}  usr/share/empty\n`;
    rmSync(join(folder, 'root'), { recursive: true });
    build(folder, sums);
    run('dpkg-deb', ['-x', 'sample.deb', 'out'], folder);
    const { tree, notes } = await treeOf(folder, [{ deb: './sample.deb' }]);
    expect((await listTree(tree)).slice(1)).toEqual(await below(join(folder, 'out')));
    expect(notes).toContainEqual({
      kind: 'package',
      package: 'sample',
      version: '1.2-3',
      architecture: 'all',
      conffiles: ['/etc/conf'],
      scripts: ['postinst'],
      // It brings no copyright file.
      license: null,
    });
    expect(() => statSync(join(folder, 'was-run'))).toThrow('ENOENT');
  });

  test.each([
    [
      'another digest',
      `${'0'.repeat(32)}  usr/bin/large\n`,
      /\/usr\/bin\/large has the MD5 [0-9a-f]{32}, its list says 0{32}/,
    ],
    [
      'a file that is not there',
      `${'0'.repeat(32)}  usr/bin/gone\n`,
      /\/usr\/bin\/gone is in its list/,
    ],
    ['no digests at all', 'usr/bin/large\n', /its list of digests is not one/],
  ])('whose list of digests has %s are refused at their line', async (_, md5, why) => {
    const folder = tmpDir();
    build(folder, md5);
    const error: unknown = await treeOf(folder, [{ deb: './sample.deb' }]).catch(
      (each: unknown) => each,
    );
    expect(error).toBeInstanceOf(RecipeError);
    expect((error as RecipeError).message).toMatch(why);
    expect((error as RecipeError).diagnostics[0]?.line).toBe(6);
  });

  test('for another architecture are refused', async () => {
    const folder = tmpDir();
    mkdirSync(join(folder, 'root/DEBIAN'), { recursive: true });
    writeFileSync(
      join(folder, 'root/DEBIAN/control'),
      'Package: sample\nVersion: 1\nArchitecture: arm64\nMaintainer: x <x@example.org>\nDescription: x\n',
    );
    run('dpkg-deb', ['--build', 'root', 'sample.deb'], folder);
    await expect(treeOf(folder, [{ deb: './sample.deb' }])).rejects.toThrow(
      'a package for arm64, the guest is amd64',
    );
  });
});

test('a ZIP archive of Info-ZIP holds what unzip unpacks: modes and links', async () => {
  const folder = tmpDir();
  fill(join(folder, 'root'));
  rmSync(join(folder, 'root/usr/bin/linked'));
  run('zip', ['-qryX', '../x.zip', '.'], join(folder, 'root'));
  run('unzip', ['-qK', 'x.zip', '-d', 'out'], folder);
  const owner = / \d+:\d+/;
  const plain = (lines: readonly string[]): string[] =>
    lines.map((line) => line.replace(owner, ''));
  expect(plain(await made(folder, { zip: 'x.zip' }))).toEqual(
    plain(await below(join(folder, 'out'))),
  );
});

describe('container images', () => {
  const rootless = process.getuid?.() === 0 ? [] : ['--rootless'];
  const umoci = (folder: string, ...args: readonly string[]): string => run('umoci', args, folder);

  /** Three layers: files, then removed and changed ones, then a folder that was emptied and filled anew. */
  function build(folder: string): void {
    umoci(folder, 'init', '--layout', 'image');
    umoci(folder, 'new', '--image', 'image:x');
    umoci(folder, 'config', '--image', 'image:x', '--architecture', 'amd64', '--os', 'linux');
    const layer = (change: (root: string) => void): void => {
      umoci(folder, 'unpack', ...rootless, '--image', 'image:x', 'bundle');
      change(join(folder, 'bundle/rootfs'));
      umoci(folder, 'repack', '--image', 'image:x', 'bundle');
      rmSync(join(folder, 'bundle'), { recursive: true, force: true });
    };
    layer(fill);
    layer((root) => {
      rmSync(join(root, 'usr/bin/linked'));
      rmSync(join(root, 'usr/share/doc'), { recursive: true });
      writeFileSync(join(root, 'etc/conf'), 'other\n');
      chmodSync(join(root, 'usr'), 0o750);
    });
    layer((root) => {
      rmSync(join(root, 'usr/bin/up'));
      mkdirSync(join(root, 'usr/bin/up'));
      writeFileSync(join(root, 'usr/bin/up/file'), 'x');
      linkSync(join(root, 'usr/share/empty'), join(root, 'etc/empty'));
    });
    umoci(folder, 'unpack', ...rootless, '--image', 'image:x', 'out');
  }

  test('of umoci and skopeo hold what umoci unpacks: a layout, an archive of it, with zstd, of Docker, of a registry', async () => {
    const folder = tmpDir();
    build(folder);
    const expected = await below(join(folder, 'out/rootfs'));
    expect(expected.length).toBeGreaterThan(10);
    expect(await made(folder, { oci: './image' })).toEqual(expected);
    const copy = (to: string, ...options: readonly string[]): string =>
      run('skopeo', ['--insecure-policy', 'copy', '-q', ...options, 'oci:image:x', to], folder);
    copy('oci-archive:image.tar:x');
    expect(await made(folder, { oci: './image.tar' })).toEqual(expected);
    copy('oci:zstd:x', '--dest-compress', '--dest-compress-format=zstd');
    expect(await made(folder, { oci: './zstd' })).toEqual(expected);
    copy('dir:pulled', '--format=v2s2');
    const manifest = readFileSync(join(folder, 'pulled/manifest.json'));
    const { config, layers } = JSON.parse(manifest.toString()) as Pick<
      LockedImage,
      'config' | 'layers'
    >;
    const digest = `sha256:${toHex(sha256(manifest))}`;
    const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
    const oci = 'registry.example.org/team/image:x';
    const image = {
      manifest: { digest, size: manifest.length, mediaType },
      config,
      layers,
      platform: 'linux/amd64',
    };
    const hex = (each: string): string => each.slice('sha256:'.length);
    const blobs = Object.fromEntries([
      [hex(digest), join(folder, 'pulled/manifest.json')],
      ...[config, ...layers].map((each) => [
        hex(each.digest),
        join(folder, 'pulled', hex(each.digest)),
      ]),
    ]) as Record<string, string>;
    const lock = { oci: { [ociKey({ oci })]: image } };
    expect(await made(folder, { oci }, { lock, blobs })).toEqual(expected);

    const other = { [ociKey({ oci: './image' })]: image };
    await expect(made(folder, { oci: './image' }, { lock: { oci: other } })).rejects.toThrow(
      `pinned is ${digest}`,
    );
    copy('docker-archive:docker.tar:x:latest');
    await expect(made(folder, { oci: './docker.tar' })).rejects.toThrow('no file oci-layout');
    await expect(made(folder, { oci: './image', platform: 'linux/arm64' })).rejects.toThrow(
      'is for linux/amd64',
    );

    // Every blob is compared with its digest, and layers with what they decompress to.
    const [first] = layers;
    for (const name of [hex(first?.digest ?? ''), hex(config.digest)]) {
      const path = [join(folder, 'image/blobs/sha256', name)].find((each) =>
        statSync(each, { throwIfNoEntry: false }),
      );
      if (path === undefined) continue;
      const bytes = readFileSync(path);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(path, bytes);
      await expect(made(folder, { oci: './image' })).rejects.toThrow('is damaged');
    }
  });
});

describe('commits', () => {
  const settings = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
  const git = (folder: string, ...args: readonly string[]): string =>
    run('git', ['-c', 'user.name=x', '-c', 'user.email=x@example.org', ...args], folder, settings);

  test('hold the files as they were committed, whatever attributes and settings say; submodules are refused, LFS is told', async () => {
    const folder = tmpDir();
    const repository = join(folder, 'repository');
    mkdirSync(join(repository, 'sub/dir'), { recursive: true });
    git(repository, 'init', '-q');
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 5\n`;
    const files = {
      'sub/tool': '#!/bin/sh\r\n$Id$\r\n',
      'sub/dir/secret': '$Format:%H$',
      'sub/large.bin': pointer,
      other: 'x',
    };
    for (const [name, data] of Object.entries(files)) writeFileSync(join(repository, name), data);
    chmodSync(join(repository, 'sub/tool'), 0o755);
    symlinkSync('tool', join(repository, 'sub/link'));
    git(repository, 'add', '.');
    writeFileSync(
      join(repository, '.gitattributes'),
      '* text eol=lf ident export-subst\nsecret export-ignore\n',
    );
    writeFileSync(
      join(repository, '.gitmodules'),
      '[submodule "m"]\n\tpath = sub/module\n\turl = https://example.org/m\n',
    );
    git(repository, 'add', '.gitattributes', '.gitmodules');
    git(repository, 'update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},sub/module`);
    git(repository, 'commit', '-qm', 'x');
    const commit = git(repository, 'rev-parse', 'HEAD').trim();
    const target = join(folder, 'made.tar');
    await archiveCommit('./repository', { commit }, target, {
      directory: folder,
      env: { ...process.env, GIT_CONFIG_GLOBAL: '/nowhere' },
      signal: undefined,
    });
    const bytes = readFileSync(target);
    const digest = toHex(sha256(bytes));
    const source = { git: './repository', commit, path: 'sub', to: '/src' };
    const options = {
      lock: { git: { [gitKey(source)]: { commit, sha256: digest, size: bytes.length } } },
      blobs: { [digest]: target },
    };
    await expect(treeOf(folder, [source], options)).rejects.toThrow('/sub/module is a submodule');
    const { tree, notes } = await treeOf(
      folder,
      [{ ...source, exclude: ['/src/module'] }],
      options,
    );
    expect((await listTree(tree)).map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
      '/ directory 755',
      '/src directory 755',
      '/src/dir directory 755',
      '/src/dir/secret file 644',
      '/src/large.bin file 644',
      '/src/link symlink ',
      '/src/tool file 755',
    ]);
    expect((await bytesOf(tree, '/src/tool')).toString()).toBe(files['sub/tool']);
    expect((await bytesOf(tree, '/src/dir/secret')).toString()).toBe(files['sub/dir/secret']);
    expect(notes).toMatchObject([
      { kind: 'warning', message: expect.stringContaining('/src/large.bin') as string },
    ]);
    await expect(treeOf(folder, [{ ...source, path: 'gone' }], options)).rejects.toThrow(
      'has no folder gone',
    );
  });
});
