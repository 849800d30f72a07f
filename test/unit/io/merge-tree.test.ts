import { describe, expect, test } from 'vitest';
import {
  bytesContent,
  directory,
  findInode,
  regularFile,
  splitPath,
} from '../../../src/io/file-tree.ts';
import { addInode, mergeTree, PathConflict } from '../../../src/io/merge-tree.ts';

const file = () => regularFile(bytesContent(Buffer.from('x')));

describe('mergeTree()', () => {
  test('unites folders and keeps the attributes of the first', () => {
    const root = directory();
    addInode(root, '/etc/a', file(), { mode: 0o700 });
    const added = directory();
    addInode(added, '/etc/b', file(), { mode: 0o755 });
    expect(mergeTree(root, added)).toEqual([]);
    expect(findInode(root, '/etc')?.mode).toBe(0o700);
    expect(findInode(root, '/etc/a')).toBeDefined();
    expect(findInode(root, '/etc/b')).toBeDefined();
  });

  test('takes the attributes of the first that names a folder, not of who needed it', () => {
    const root = directory();
    addInode(root, '/etc/a', file(), { mode: 0o700 });
    for (const mode of [0o750, 0o711]) {
      const added = directory();
      added.children.set('etc', directory({ mode }));
      mergeTree(root, added);
    }
    expect(findInode(root, '/etc')?.mode).toBe(0o750);
  });

  test('leaves a file that is there, and names its path', () => {
    const root = directory();
    addInode(root, '/etc/a', file(), {});
    const added = directory();
    addInode(added, '/etc/a', file(), {});
    const known = findInode(root, '/etc/a');
    expect(mergeTree(root, added).map(({ path }) => path)).toEqual(['/etc/a']);
    expect(findInode(root, '/etc/a')).toBe(known);
  });

  test('refuses a folder where a file is', () => {
    const root = directory();
    addInode(root, '/a', file(), {});
    expect(() => addInode(root, '/a/b', file(), {})).toThrow(new PathConflict('/a'));
  });
});

describe('splitPath()', () => {
  test.each(['relative', '/a//b', '/a/', '/../a', '/a/.', '/a\0b', `/${'n'.repeat(256)}`])(
    'refuses %j',
    (path) => {
      expect(() => splitPath(path)).toThrow(RangeError);
    },
  );
});
