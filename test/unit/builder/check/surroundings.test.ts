/** Surroundings of builds: what a process sees in them, and what is told of those that cannot be made. */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commonFolder, copyRecipe } from '../../../../src/builder/check/copy-recipe.ts';
import { probe } from '../../../../src/builder/check/probe.ts';
import { findFaketime, launchOf } from '../../../../src/builder/check/surroundings.ts';
import { variationNames, type VariationName } from '../../../../src/builder/check/variation.ts';
import { emptyLock } from '../../../../src/recipe/lockfile.ts';
import { readRecipe } from '../../../../src/recipe/parse.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

async function run(
  on: readonly VariationName[],
  script: string,
  frozenAt?: number,
): Promise<string> {
  const { argv, env } = await launchOf(['sh', '-c', script], {
    env: process.env,
    on: new Set(on),
    home: '/somewhere',
    frozenAt,
    faketime: await findFaketime(),
  });
  const [program = '', ...args] = argv;
  return execFileSync(program, args, { env, encoding: 'utf8' }).trim();
}

describe('a process', () => {
  test.each<[VariationName, string, string]>([
    ['umask', 'umask', '0077'],
    ['time-zone', 'date +%z', '+1400'],
    ['locale', 'echo $LC_ALL', 'tr_TR.UTF-8'],
    ['home', 'echo $HOME', '/somewhere'],
    ['cores', 'nproc', '1'],
  ])('with another %s', async (name, script, expected) => {
    expect(await run([name], script)).toBe(expected);
  });

  test('a year later, on another weekday', async () => {
    const now = new Date();
    const [year = '', weekday = ''] = (await run(['clock'], 'date -u "+%Y %w"')).split(' ');
    expect(Number(year)).toBeGreaterThan(now.getUTCFullYear());
    expect(Number(weekday)).not.toBe(now.getUTCDay());
  });

  test('whose clock stands still, also in another time zone', async () => {
    const script = 'date +%s; sleep 1.1; TZ=Asia/Tokyo date +%s';
    expect(await run(['time-zone'], script, 1_800_000_000)).toBe('1800000000\n1800000000');
  });
});

describe('looking around', () => {
  const options = (wanted: readonly VariationName[]) => ({
    env: process.env,
    work: tmpDir(),
    wanted,
  });

  test('what is not asked for is off', async () => {
    const { variations } = await probe({ ...options([]), faketime: undefined });
    expect(variations).toEqual(
      variationNames.map((name) => ({ name, on: false, why: 'not asked for' })),
    );
  });

  test('a clock that cannot be set is told with what is missing', async () => {
    const { variations } = await probe({ ...options(['clock']), faketime: undefined });
    expect(variations.find(({ name }) => name === 'clock')).toEqual({
      name: 'clock',
      on: false,
      why: expect.stringContaining('apt install faketime') as string,
    });
  });

  test('what a process sees is told of both builds', async () => {
    const { variations } = await probe({ ...options(['umask']), faketime: undefined });
    expect(variations.find(({ name }) => name === 'umask')).toMatchObject({ on: true, b: '077' });
  });

  test('a program that is not there makes its variations be off, and says so', async () => {
    const folder = tmpDir();
    symlinkSync('/bin/sh', join(folder, 'sh'));
    const env = { ...process.env, PATH: folder };
    const { variations } = await probe({
      ...options(['host-name', 'umask']),
      env,
      faketime: undefined,
    });
    const found = variations.find(({ name }) => name === 'host-name');
    expect(found).toMatchObject({ on: false, why: expect.stringContaining('unshare') as string });
    expect(variations.find(({ name }) => name === 'umask')?.on).toBe(true);
  });
});

describe('a copy of a recipe', () => {
  const RECIPE = `apiVersion: microbuild/v1
extends: ../base/microbuild.yaml
name: tiny
payload:
  package: dev.microbuild.tiny
  versionCode: 1
  libraries: { x86_64: [libtiny.so] }
  entry: libtiny.so
`;
  const BASE = `apiVersion: microbuild/v1
name: base
arch: x86_64
kernel: { source: { file: vmlinux } }
partitions:
  system:
    contents:
      - { dir: tree, to: /opt }
payload:
  package: dev.microbuild.base
  versionCode: 1
  libraries: { x86_64: [libtiny.so] }
  entry: libtiny.so
`;

  function make(): string {
    const folder = tmpDir();
    mkdirSync(join(folder, 'own'));
    mkdirSync(join(folder, 'base', 'tree'), { recursive: true });
    writeFileSync(join(folder, 'own', 'microbuild.yaml'), RECIPE);
    writeFileSync(join(folder, 'own', 'libtiny.so'), 'library');
    writeFileSync(join(folder, 'base', 'microbuild.yaml'), BASE);
    writeFileSync(join(folder, 'base', 'vmlinux'), 'kernel');
    writeFileSync(join(folder, 'base', 'tree', 'run'), 'program');
    chmodSync(join(folder, 'base', 'tree', 'run'), 0o755);
    symlinkSync('run', join(folder, 'base', 'tree', 'link'));
    writeFileSync(join(folder, 'unrelated'), 'not copied');
    return folder;
  }

  test('has all that it is made of, its base too, and nothing else', async () => {
    const recipe = await readRecipe(join(make(), 'own'));
    const target = tmpDir();
    const file = await copyRecipe(recipe, emptyLock, target, { reverse: true, umask: 0o077 });
    const copy = await readRecipe(file);
    expect(copy.data).toEqual(recipe.data);
    expect(copy.files).toEqual(recipe.files);
    expect(readFileSync(join(target, 'own', 'libtiny.so'), 'utf8')).toBe('library');
    expect(readlinkSync(join(target, 'base', 'tree', 'link'))).toBe('run');
    expect(lstatSync(join(target, 'base', 'tree', 'run')).mode & 0o777).toBe(0o700);
    expect(() => lstatSync(join(target, 'unrelated'))).toThrow('ENOENT');
  });

  test('the folder that all paths have in common', () => {
    expect(commonFolder(['/a/b/c', '/a/b/d/e', '/a/bc'])).toBe('/a');
    expect(commonFolder(['/a/b', '/c/d'])).toBe('/');
    expect(commonFolder(['/a/b/c'])).toBe('/a/b');
  });
});
