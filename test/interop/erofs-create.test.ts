/** `microbuild erofs create` as a user runs it, judged by erofs-utils, veritysetup and the kernel. */

import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CreatedErofs } from '../../src/builder/create-erofs-image.ts';
import { loadNativeLibrary } from '../../src/native/library.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { runTool } from '../support/tools.ts';

const hasLibrary = (await loadNativeLibrary()) !== undefined;
const isRoot = process.getuid?.() === 0;

describe('microbuild erofs create', () => {
  let sandbox: Sandbox;
  let source: string;
  const at = (name: string): string => join(sandbox.folder, name);

  beforeAll(() => {
    sandbox = openSandbox();
    source = at('source');
    cpSync(join(import.meta.dirname, '../../src'), source, { recursive: true });
    writeFileSync(join(source, 'large'), Buffer.alloc(3_000_001, 'large'));
    writeFileSync(join(source, 'script'), '#!/bin/sh\n');
    chmodSync(join(source, 'script'), 0o4755);
    symlinkSync('script', join(source, 'link'));
    utimesSync(join(source, 'script'), 1000, 1000.5);
  });
  afterAll(() => sandbox.dispose());

  async function create(
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): Promise<CreatedErofs> {
    const result = await sandbox.microbuild(['erofs', 'create', ...args, '--json'], env);
    if (result.status !== 0) throw new Error(result.stderr + result.stdout);
    return JSON.parse(result.stdout) as CreatedErofs;
  }
  const sha256 = (path: string): string =>
    createHash('sha256').update(readFileSync(path)).digest('hex');

  test('makes an image that fsck.erofs accepts, with a tree that veritysetup verifies', async () => {
    const { image, verity } = await create([source, at('a'), '--hash-file', at('a.tree')]);
    expect(runTool('fsck.erofs', [at('a')])).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(runTool('dump.erofs', ['-s', at('a')]).stdout).toContain(image.uuid);
    expect(image.size).toBe(statSync(at('a')).size);
    const root = verity?.rootDigest ?? '';
    const { status, stderr } = runTool('veritysetup', ['verify', at('a'), at('a.tree'), root]);
    expect([status, stderr]).toEqual([0, '']);
    const wrong = root.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
    expect(runTool('veritysetup', ['verify', at('a'), at('a.tree'), wrong]).status).not.toBe(0);
  });

  test('puts the tree behind the data, byte for byte what veritysetup makes of it', async () => {
    const { image, verity } = await create([source, at('b'), '--verity', '--salt', 'abcdef']);
    if (verity === undefined) throw new TypeError('No tree was made');
    const { hashOffset, rootDigest, uuid, salt } = verity;
    expect(salt).toBe('abcdef');
    const bytes = readFileSync(at('b'));
    expect(bytes).toHaveLength(image.size);
    writeFileSync(at('b.data'), bytes.subarray(0, hashOffset));
    const { stdout } = runTool('veritysetup', [
      'format',
      `--uuid=${uuid}`,
      `--salt=${salt}`,
      at('b.data'),
      at('b.theirs'),
    ]);
    expect(stdout).toContain(rootDigest);
    expect(Buffer.compare(bytes.subarray(hashOffset), readFileSync(at('b.theirs')))).toBe(0);
    const verified = ['verify', `--hash-offset=${hashOffset}`, at('b'), at('b'), rootDigest];
    expect(runTool('veritysetup', verified).status).toBe(0);
  });

  test('makes the same bytes of the same tree: elsewhere, in another order, by any umask, without the library', async () => {
    const args = ['--hash-file', at('x.tree'), '--digest'];
    const first = await create([source, at('x'), ...args]);
    const expected = [sha256(at('x')), sha256(at('x.tree'))];
    expect(first.image.sha256).toBe(expected[0]);

    const copy = at('copy');
    mkdirSync(copy);
    chmodSync(copy, statSync(source).mode & 0o7777);
    for (const name of readdirSync(source).toReversed()) {
      expect(runTool('cp', ['-a', join(source, name), copy]).stderr).toBe('');
    }
    const old = process.umask(0o077);
    try {
      const second = await create([copy, at('x'), ...args]);
      expect(second).toEqual(first);
    } finally {
      process.umask(old);
    }
    expect([sha256(at('x')), sha256(at('x.tree'))]).toEqual(expected);
    expect(statSync(at('x')).mode & 0o777).toBe(0o644);
    const third = await create([source, at('x'), ...args], { MICROBUILD_NATIVE: '' });
    expect(third).toEqual(first);
    expect([sha256(at('x')), sha256(at('x.tree'))]).toEqual(expected);
  });

  test('sets what it was told to: label, UUID, times, owners, exclusions', async () => {
    const uuid = '00112233-4455-6677-8899-aabbccddeeff';
    const told = ['--uuid', uuid, '--label', 'system', '--mtime', '12345', '--all-root'];
    const { image } = await create([source, at('c'), ...told, '--exclude', '*.ts']);
    expect(image).toMatchObject({ uuid, label: 'system', buildTime: 12345 });
    const path = ['--path=/script', at('c')];
    expect(runTool('dump.erofs', path).stdout).toMatch(/Uid: 0 +Gid: 0 /);
    expect(runTool('dump.erofs', path).stdout).toContain('1970-01-01 03:25:45');
    const kept = await create([source, at('d'), '--keep-times', '--exclude', '/large']);
    expect(kept.image.inodes).toBeGreaterThan(image.inodes);
    expect(runTool('dump.erofs', ['--path=/script', at('d')]).stdout).toContain(
      '00:16:40.500000000',
    );
    expect(runTool('dump.erofs', ['--path=/large', at('d')]).stdout).not.toContain('File : ');
  });

  test.runIf(isRoot && hasLibrary)(
    'stores extended attributes that the kernel reads back',
    async () => {
      const folder = at('labelled');
      mkdirSync(folder);
      writeFileSync(join(folder, 'file'), 'text');
      for (const [name, value] of Object.entries({ 'user.a': 'one', 'trusted.b': 'two' })) {
        expect(runTool('setfattr', ['-n', name, '-v', value, join(folder, 'file')]).stderr).toBe(
          '',
        );
      }
      await create([folder, at('e'), '--xattrs']);
      const mounted = at('mounted');
      mkdirSync(mounted);
      expect(runTool('mount', ['-t', 'erofs', '-o', 'loop,ro', at('e'), mounted]).stderr).toBe('');
      try {
        const seen = runTool('getfattr', ['-d', '-m-', '--absolute-names', join(mounted, 'file')]);
        expect(seen.stdout).toContain('user.a="one"');
        expect(seen.stdout).toContain('trusted.b="two"');
      } finally {
        runTool('umount', [mounted]);
      }
    },
  );

  const refused: [string, () => string[], RegExp, number][] = [
    ['a folder that is not there', () => ['/nowhere', at('f')], /ENOENT/, 1],
    ['an image within the folder', () => [source, join(source, 'image')], /it is in .*stored/, 2],
    ['a label that is too long', () => [source, at('f'), '--label', 'x'.repeat(16)], /15 bytes/, 2],
    ['a UUID that is none', () => [source, at('f'), '--uuid', 'x'], /UUID/, 2],
    ['a salt that is no hexadecimal', () => [source, at('f'), '--salt', 'abc'], /hexadecimal/, 2],
    ['a time that is none', () => [source, at('f'), '--mtime', '1.5'], /whole number/, 2],
    ['one file for image and tree', () => [source, at('f'), '--hash-file', at('f')], /twice/, 2],
    ['a folder in the place of the image', () => [source, sandbox.folder], /not a file/, 2],
  ];
  test.each(refused)('refuses %s and writes nothing', async (_, args, message, status) => {
    const result: CliResult = await sandbox.microbuild(['erofs', 'create', ...args()]);
    expect(result.stderr).toMatch(message);
    expect(result.status).toBe(status);
    expect(existsSync(at('f'))).toBe(false);
    expect(readdirSync(sandbox.folder).filter((name) => name.includes('.new-'))).toEqual([]);
  });

  test('leaves the old image in place when a file cannot be stored', async () => {
    const folder = at('broken');
    mkdirSync(folder);
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff])]), '');
    writeFileSync(at('g'), 'old');
    const result = await sandbox.microbuild(['erofs', 'create', folder, at('g')]);
    expect(result.stderr).toMatch(/not UTF-8/);
    expect(result.status).toBe(2);
    expect(readFileSync(at('g'), 'utf8')).toBe('old');
    rmSync(folder, { recursive: true });
  });
});
