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
    addInode(added, '/b', file(), {});
    mergeTree(root, '/etc', added, { mode: 0o755 });
    expect(findInode(root, '/etc')?.mode).toBe(0o700);
    expect(findInode(root, '/etc/a')).toBeDefined();
    expect(findInode(root, '/etc/b')).toBeDefined();
  });

  test('refuses a file that is there, naming its path', () => {
    const root = directory();
    addInode(root, '/etc/a', file(), {});
    const added = directory();
    addInode(added, '/etc/a', file(), {});
    expect(() => mergeTree(root, '/', added, {})).toThrow(new PathConflict('/etc/a'));
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
