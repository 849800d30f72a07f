import { mkdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { identifyContents, type ContentIdentity } from '../../../src/builder/content-identity.ts';
import { readDiskTree } from '../../../src/io/disk-tree.ts';
import { plainFileReader } from '../../../src/io/file-signatures.ts';
import { findInode, type Directory, type RegularFile } from '../../../src/io/file-tree.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

let folder: string;
beforeEach(async () => {
  folder = tmpDir();
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'a'), 'one');
  writeFileSync(join(folder, 'sub', 'b'), 'two');
  await setTimeout(50);
});

const identify = async (
  change: (root: Directory) => void = () => undefined,
  from = folder,
): Promise<ContentIdentity & { readonly root: Directory }> => {
  const root = await readDiskTree(from, 0);
  change(root);
  const options = { cacheDirectory: '/nowhere', reader: plainFileReader };
  return { ...(await identifyContents(root, options)), root };
};
const file = (root: Directory, path: string): RegularFile => findInode(root, path) as RegularFile;

describe('identifyContents()', () => {
  test('gives equal trees one digest, wherever they are', async () => {
    const other = tmpDir();
    mkdirSync(join(other, 'sub'));
    writeFileSync(join(other, 'a'), 'one');
    writeFileSync(join(other, 'sub', 'b'), 'two');
    await setTimeout(50);
    const { treeDigest } = await identify();
    expect(treeDigest).toBeDefined();
    expect((await identify(undefined, other)).treeDigest).toBe(treeDigest);
  });

  test.each<[string, (root: Directory) => void]>([
    ['a mode', (root) => (file(root, '/a').mode = 0o600)],
    ['an owner', (root) => (file(root, '/a').uid = 1)],
    ['a time', (root) => (file(root, '/a').mtime = 1)],
    ['an attribute', (root) => file(root, '/a').xattrs.set('user.x', Uint8Array.of(1))],
    ['a name', (root) => root.children.set('c', file(root, '/a'))],
    ['a content', (root) => (file(root, '/a').content = file(root, '/sub/b').content)],
    ['a folder', (root) => void root.children.delete('sub')],
  ])('gives another one when %s is another', async (_, change) => {
    expect((await identify(change)).treeDigest).not.toBe((await identify()).treeDigest);
  });

  test('gives a large file another identity when it is written again with its old size and time', async () => {
    const path = join(folder, 'large');
    const write = (fill: string): void => writeFileSync(path, Buffer.alloc(33 << 20, fill));
    write('x');
    const { mtime } = statSync(path);
    await setTimeout(50);
    const first = await identify();
    const digest = first.digestOf(file(first.root, '/large'));
    expect(digest).toBeDefined();
    write('y');
    utimesSync(path, mtime, mtime);
    await setTimeout(50);
    const second = await identify();
    expect(second.digestOf(file(second.root, '/large'))).not.toEqual(digest);
    // What was not touched keeps its own.
    expect(second.digestOf(file(second.root, '/a'))).toEqual(
      first.digestOf(file(first.root, '/a')),
    );
  });

  test('does not know a file that was changed just now', async () => {
    const { digestOf, root, treeDigest } = await identify(() => {
      writeFileSync(join(folder, 'a'), 'new');
    });
    expect(digestOf(file(root, '/a'))).toBeUndefined();
    expect(digestOf(file(root, '/sub/b'))).toBeDefined();
    expect(treeDigest).toBeUndefined();
  });

  test('notices that a file that was read is another one by now', async () => {
    const identity = await identify();
    expect(await identity.isUnchanged()).toBe(true);
    writeFileSync(join(folder, 'new'), 'one');
    renameSync(join(folder, 'new'), join(folder, 'a'));
    expect(await identity.isUnchanged()).toBe(false);
    rmSync(join(folder, 'a'));
    expect(await identity.isUnchanged()).toBe(false);
  });
});
