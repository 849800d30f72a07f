/** Layers on top of each other, against the words of the image specification and a model of them. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { applyLayer } from '../../../../src/formats/oci/layer.ts';
import type { ArchiveEntry } from '../../../../src/io/archive-entry.ts';
import {
  bytesContent,
  directory,
  findInode,
  walk,
  type Directory,
} from '../../../../src/io/file-tree.ts';

const base = { mode: 0o644, uid: 0, gid: 0, mtime: 0, xattrs: new Map<string, Uint8Array>() };
const file = (path: string, mark = 0): ArchiveEntry => ({
  ...base,
  uid: mark,
  path,
  kind: 'file',
  size: 0,
  offset: 0,
});
const folder = (path: string, mode = 0o755): ArchiveEntry => ({
  ...base,
  path,
  mode,
  kind: 'directory',
});
const link = (path: string, target: string): ArchiveEntry => ({
  ...base,
  path,
  kind: 'symlink',
  target,
});
const hardlink = (path: string, target: string): ArchiveEntry => ({
  ...base,
  path,
  kind: 'hardlink',
  target,
});

function stacked(...layers: readonly (readonly ArchiveEntry[])[]): Directory {
  const root = directory();
  for (const [index, entries] of layers.entries()) {
    const content = () => bytesContent(new Uint8Array(0));
    applyLayer(root, { name: `layer ${index}`, entries, content });
  }
  return root;
}

function paths(root: Directory): string[] {
  const found: string[] = [];
  walk(root, (path, inode) => {
    if (path !== '/') found.push(inode.kind === 'directory' ? `${path}/` : `${path}:${inode.uid}`);
  });
  return found;
}

function refusal(...layers: readonly (readonly ArchiveEntry[])[]): string {
  try {
    stacked(...layers);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return error.message;
  }
}

describe('a layer', () => {
  test('replaces files, unites folders with its own attributes, keeps what it does not name', () => {
    const root = stacked(
      [folder('/a', 0o700), file('/a/x', 1), file('/a/y', 1)],
      [folder('/a', 0o750), file('/a/x', 2)],
    );
    expect(paths(root)).toEqual(['/a/', '/a/x:2', '/a/y:1']);
    expect(findInode(root, '/a')?.mode).toBe(0o750);
  });

  test('removes by whiteouts what is below it, never what is its own, in any order', () => {
    const below = [file('/a/x', 1), file('/a/d/e', 1), file('/b', 1)];
    expect(
      paths(stacked(below, [file('/a/.wh.x'), file('/a/.wh.d'), file('/.wh.b'), file('/.wh.c')])),
    ).toEqual(['/a/']);
    for (const entries of [
      [file('/a/.wh.x'), file('/a/x', 2)],
      [file('/a/x', 2), file('/a/.wh.x')],
    ]) {
      expect(paths(stacked(below, entries))).toContain('/a/x:2');
    }
  });

  test('hides by an opaque whiteout all children of layers below, and none of its own', () => {
    const below = [folder('/a'), file('/a/x', 1), file('/a/d/e', 1), file('/b', 1)];
    for (const entries of [
      [folder('/a', 0o711), file('/a/.wh..wh..opq'), file('/a/n', 2)],
      [folder('/a', 0o711), file('/a/n', 2), file('/a/.wh..wh..opq')],
    ]) {
      const root = stacked(below, entries);
      expect(paths(root)).toEqual(['/a/', '/a/n:2', '/b:1']);
      expect(findInode(root, '/a')?.mode).toBe(0o711);
    }
  });

  test('puts a file where a folder was and a folder where a file or link was', () => {
    expect(paths(stacked([file('/a/x', 1)], [file('/a', 2)]))).toEqual(['/a:2']);
    expect(paths(stacked([file('/a', 1)], [folder('/a'), file('/a/x', 2)]))).toEqual([
      '/a/',
      '/a/x:2',
    ]);
    expect(
      paths(stacked([folder('/b'), link('/a', 'b')], [folder('/a'), file('/a/x', 2)])),
    ).toEqual(['/a/', '/a/x:2', '/b/']);
  });

  test('reaches folders through links of layers below, inside the image, as far as the kernel would', () => {
    const below = [folder('/usr/lib'), link('/lib', '../../usr/lib'), link('/l', '/lib')];
    expect(paths(stacked(below, [file('/lib/x', 2), file('/l/y', 2)]))).toContain('/usr/lib/x:2');
    expect(findInode(stacked(below, [file('/l/y', 2)]), '/usr/lib/y')).toBeDefined();
    expect(
      findInode(stacked(below, [file('/lib/x', 1)], [file('/lib/.wh.x')]), '/usr/lib/x'),
    ).toBeUndefined();
    expect(refusal([link('/a', 'b'), link('/b', 'a')], [file('/a/x')])).toContain(
      'leads to no folder',
    );
    expect(refusal([link('/a', 'gone')], [file('/a/x')])).toContain('leads to no folder');
  });

  test('goes through no link of its own, and has no path twice', () => {
    expect(refusal([folder('/d'), link('/a', 'd'), file('/a/x')])).toContain(
      'a link of the same layer',
    );
    expect(refusal([file('/a'), file('/a')])).toContain('"/a" is there already');
    expect(refusal([file('/a/x'), file('/a')])).toContain('is there already');
    expect(refusal([file('/a', 1)], [hardlink('/b', '/a'), hardlink('/b', '/a')])).toContain(
      '"/b" is there already',
    );
  });

  test('may link to files of layers below, which stay when the other name is replaced', () => {
    const root = stacked([file('/a', 1)], [hardlink('/b', '/a')], [file('/a', 3)]);
    expect(paths(root)).toEqual(['/a:3', '/b:1']);
    expect(refusal([file('/a', 1)], [file('/.wh.a'), hardlink('/b', '/a')])).toContain(
      'no file before it',
    );
  });

  test.each([
    [[file('/.wh.')], 'whiteout of nothing'],
    [[file('/a/.wh...')], 'whiteout of nothing'],
    [[file('/.wh..wh.plnk')], 'of no known kind'],
    [[folder('/.wh.a')], 'is no file'],
    [[file('/a'), file('/a/b')], 'goes through "a"'],
    [[file('/')], 'is the root'],
  ] as [ArchiveEntry[], string][])('with %j is refused: %s', (entries, why) => {
    expect(refusal(entries)).toContain(why);
  });

  test('ends as a model of the rules does, whatever the layers are', () => {
    const names = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 });
    const change = fc.record({
      names,
      what: fc.constantFrom('file', 'folder', 'remove', 'opaque'),
    });
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 6 }), { maxLength: 4 }), (layers) => {
        const model = new Map<string, string>();
        const drop = (path: string, self: boolean): void => {
          for (const known of model.keys()) {
            if ((self && known === path) || known.startsWith(`${path}/`)) model.delete(known);
          }
        };
        const root = directory();
        for (const [index, changes] of layers.entries()) {
          // Only layers that do not contradict themselves.
          const own = new Map<string, string>();
          const entries: ArchiveEntry[] = [];
          for (const { names: parts, what } of changes) {
            const path = `/${parts.join('/')}`;
            const name = parts.at(-1) ?? '';
            if (what === 'remove') entries.push(file(`${path.slice(0, -name.length)}.wh.${name}`));
            else if (what === 'opaque') entries.push(file(`${path}/.wh..wh..opq`));
            else {
              const above = parts.map((_, depth) => `/${parts.slice(0, depth).join('/')}`).slice(1);
              const clash =
                own.get(path) === 'file' ||
                (own.has(path) && what === 'file') ||
                above.some((each) => own.get(each) === 'file') ||
                (what === 'file' && [...own.keys()].some((each) => each.startsWith(`${path}/`)));
              if (clash) continue;
              own.set(path, what);
              entries.push(folder('/'));
              for (const each of above) {
                if (own.has(each)) continue;
                own.set(each, 'folder');
                entries.push(folder(each));
              }
              entries.push(what === 'file' ? file(path, index + 1) : folder(path));
            }
          }
          for (const { names: parts, what } of changes) {
            if (what === 'remove') drop(`/${parts.join('/')}`, true);
            if (what === 'opaque') drop(`/${parts.join('/')}`, false);
          }
          for (const [path, what] of own) {
            if (what === 'file') {
              drop(path, true);
              model.set(path, `${path}:${index + 1}`);
            } else if (model.get(path)?.endsWith('/') !== true) model.set(path, `${path}/`);
          }
          applyLayer(root, { name: 'l', entries, content: () => bytesContent(new Uint8Array(0)) });
        }
        // A folder that was a file in a layer below has nothing of before.
        expect(paths(root)).toEqual([...model.values()].sort());
      }),
      { numRuns: 300 },
    );
  });
});
