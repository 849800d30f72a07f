/**
 * The inodes of a tree, each once, in the order of the image: that of a walk by name, so that equal
 * trees give equal images whatever order their directories were filled in.
 */

import { UsageError } from '../../core/errors.ts';
import { compareNames, type Directory, type Inode } from '../../io/file-tree.ts';
import { Dirent } from './layout.ts';
import { nameProblem } from './limits.ts';

interface Named {
  readonly name: string;
  readonly found: FoundInode;
}
export interface FoundInode {
  /** The first by name order; a hard link has more. */
  path: string;
  readonly inode: Inode;
  /** Its place in the order. */
  index: number;
  /** Of directories: with `.` and `..`, by the bytes of their names. */
  entries: readonly Named[];
  /** Names that lead here; of a directory as usual 2 and one for each directory in it. */
  nlink: number;
}

export const unusable = (path: string, problem: string, cause?: unknown): UsageError =>
  new UsageError('input', `Cannot store ${path} in EROFS: ${problem}`, { cause });

/**
 * Every inode once; the first is the root.
 *
 * @throws {UsageError} `input` on names that cannot be stored and on a directory with two parents.
 */
export function collectInodes(root: Directory): FoundInode[] {
  const known = new Map<Inode, FoundInode>();
  const find = (inode: Inode): FoundInode => {
    let found = known.get(inode);
    if (found === undefined) {
      found = { path: '', inode, index: 0, entries: NO_ENTRIES, nlink: 1 };
      known.set(inode, found);
    }
    return found;
  };
  const order: FoundInode[] = [];
  const top = find(root);
  const stack: { path: string; found: FoundInode; parent: FoundInode }[] = [
    { path: '/', found: top, parent: top },
  ];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { path, found, parent } = at;
    const { inode } = found;
    if (found.path !== '') {
      if (inode.kind === 'directory') {
        throw unusable(path, `it is the same directory as ${found.path}`);
      }
      found.nlink += 1;
      continue;
    }
    found.path = path;
    found.index = order.length;
    order.push(found);
    if (inode.kind !== 'directory') continue;

    const children = namedChildren(path, inode, find);
    found.nlink = 2;
    for (let i = children.length - 1; i >= 0; i -= 1) {
      const { name, found: child } = children[i] as Named;
      if (child.inode.kind === 'directory') found.nlink += 1;
      stack.push({ path: join(path, name), found: child, parent: found });
    }
    // `.` and `..` have their place in the order: `!` and `-` come before them.
    children.unshift({ name: '.', found }, { name: '..', found: parent });
    found.entries = children.sort(byName);
  }
  return order;
}

const NO_ENTRIES: readonly Named[] = [];

const byName = (a: Named, b: Named): number => compareNames(a.name, b.name);

const join = (parent: string, name: string): string =>
  parent === '/' ? `/${name}` : `${parent}/${name}`;

/** The children of a directory, in the order of their names' bytes; the names must be usable. */
function namedChildren(
  parent: string,
  { children }: Directory,
  find: (inode: Inode) => FoundInode,
): Named[] {
  const named: Named[] = [];
  for (const [name, inode] of children) {
    const problem = nameProblem(name);
    if (problem !== undefined) throw unusable(join(parent, name), problem);
    named.push({ name, found: find(inode) });
  }
  return named.sort(byName);
}

/**
 * Fills blocks with entries.
 *
 * @returns the first entry of each block, and the size, which counts the last block only as far as
 *   it is used.
 */
export function splitDirents(
  entries: FoundInode['entries'],
  blockSize: number,
): { starts: number[]; size: number } {
  const starts = [0];
  let used = 0;
  let index = 0;
  for (const { name } of entries) {
    const need = Dirent.size + Buffer.byteLength(name);
    if (used + need > blockSize) {
      starts.push(index);
      used = 0;
    }
    used += need;
    index += 1;
  }
  return { starts, size: (starts.length - 1) * blockSize + used };
}
