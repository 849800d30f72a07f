/** Digests of a recipe's own files: what a build sees of them, nothing else. */

import {
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { openFileDigests } from '../../../src/builder/file-digests.ts';
import { digestInputs } from '../../../src/builder/input-digests.ts';
import { emptyLock } from '../../../src/recipe/lockfile.ts';
import { readRecipe } from '../../../src/recipe/parse.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const RECIPE = `apiVersion: microbuild/v1
name: tiny
arch: x86_64
kernel: { source: { file: vmlinux } }
partitions:
  system:
    contents:
      - { dir: tree, to: /opt, exclude: [/opt/left-out, '*.tmp'] }
      - { file: motd, to: /etc/motd }
payload:
  package: dev.microbuild.tiny
  versionCode: 1
  libraries: { x86_64: [libtiny.so] }
  entry: libtiny.so
`;

const TREE = 'partitions.system.contents[0]';
let folder: string;
const at = (...names: string[]): string => join(folder, ...names);
const digests = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    await digestInputs(await readRecipe(folder), emptyLock, {
      files: openFileDigests(at('cache')),
    }),
  );
const treeDigest = async (): Promise<string | undefined> => (await digests())[TREE];

beforeEach(() => {
  folder = tmpDir();
  mkdirSync(at('tree', 'bin'), { recursive: true });
  writeFileSync(at('microbuild.yaml'), RECIPE);
  writeFileSync(at('motd'), 'hello\n');
  writeFileSync(at('vmlinux'), 'kernel');
  writeFileSync(at('tree', 'a'), 'a');
  writeFileSync(at('tree', 'bin', 'run'), '#!/bin/sh\n', { mode: 0o755 });
  symlinkSync('a', at('tree', 'link'));
});

test('a file has the digest of its bytes, and what is missing has none', async () => {
  const sha256 = createHash('sha256').update('hello\n').digest('hex');
  expect(await digests()).toEqual({
    'kernel.source': expect.stringMatching(/^sha256:/) as string,
    [TREE]: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string,
    'partitions.system.contents[1]': `sha256:${sha256}`,
  });
});

describe('a folder keeps its digest', () => {
  test.each<[string, () => void]>([
    ['under another umask', () => chmodSync(at('tree', 'a'), 0o600)],
    ['when it was checked out at another time', () => utimesSync(at('tree', 'a'), 1, 1)],
    ['when its source leaves the file out', () => writeFileSync(at('tree', 'x.tmp'), 'x')],
    ['when its source leaves the folder out', () => mkdirSync(at('tree', 'left-out'))],
    [
      'when a file was written anew with the same bytes',
      () => {
        rmSync(at('tree', 'a'));
        writeFileSync(at('tree', 'a'), 'a');
      },
    ],
  ])('%s', async (_, change) => {
    const before = await treeDigest();
    change();
    expect(await treeDigest()).toBe(before);
  });
});

describe('a folder has another digest', () => {
  test.each<[string, () => void]>([
    ['with another byte', () => writeFileSync(at('tree', 'a'), 'b')],
    ['with another name', () => renameSync(at('tree', 'a'), at('tree', 'b'))],
    ['with another folder', () => mkdirSync(at('tree', 'empty'))],
    ['when a file can be executed', () => chmodSync(at('tree', 'a'), 0o755)],
    [
      'when a link leads elsewhere',
      () => {
        rmSync(at('tree', 'link'));
        symlinkSync('bin', at('tree', 'link'));
      },
    ],
    [
      'when a link is the file that it led to',
      () => {
        rmSync(at('tree', 'link'));
        writeFileSync(at('tree', 'link'), 'a');
      },
    ],
  ])('%s', async (_, change) => {
    const before = await treeDigest();
    change();
    expect(await treeDigest()).not.toBe(before);
  });
});
