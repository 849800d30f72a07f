/**
 * The inodes of a tree, each once, in the order of the image: that of a walk by name, so that equal
 * trees give equal images whatever order their directories were filled in.
 */

import { UsageError } from '../../core/errors.ts';
import type { Directory, Inode } from '../../io/file-tree.ts';
import { Dirent } from './layout.ts';
import { nameProblem } from './limits.ts';

interface Named {
  readonly name: Uint8Array;
  readonly inode: Inode;
}
export interface FoundInode {
  /** The first by name order; a hard link has more. */
  readonly path: string;
  readonly inode: Inode;
  /** Of directories: with `.` and `..`, by the bytes of their names. */
  readonly entries: readonly Named[];
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
  const found = new Map<Inode, FoundInode>();
  const stack: { path: string; inode: Inode; parent: Inode }[] = [
    { path: '/', inode: root, parent: root },
  ];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { path, inode, parent } = at;
    const known = found.get(inode);
    if (known !== undefined) {
      if (inode.kind === 'directory') {
        throw unusable(path, `it is the same directory as ${known.path}`);
      }
      known.nlink += 1;
      continue;
    }
    if (inode.kind !== 'directory') {
      found.set(inode, { path, inode, entries: [], nlink: 1 });
      continue;
    }
    const children = namedChildren(path, inode);
    const entries = [{ name: DOT, inode }, { name: DOT_DOT, inode: parent }, ...children];
    // `.` and `..` have their place in the order: `!` and `-` come before them.
    entries.sort((a, b) => Buffer.compare(a.name, b.name));
    const subdirectories = children.filter((child) => child.inode.kind === 'directory').length;
    found.set(inode, { path, inode, entries, nlink: 2 + subdirectories });
    for (const child of children.toReversed()) {
      stack.push({ path: child.path, inode: child.inode, parent: inode });
    }
  }
  return [...found.values()];
}

/** The children of a directory, in the order of their names' bytes; the names must be usable. */
function namedChildren(parent: string, directory: Directory): (Named & { path: string })[] {
  const children = [...directory.children].map(([text, inode]) => {
    const path = `${parent === '/' ? '' : parent}/${text}`;
    const problem = nameProblem(text);
    if (problem !== undefined) throw unusable(path, problem);
    const name = new Uint8Array(Buffer.from(text));
    return { name, path, inode };
  });
  return children.sort((a, b) => Buffer.compare(a.name, b.name));
}

const DOT = new Uint8Array([0x2e]);
const DOT_DOT = new Uint8Array([0x2e, 0x2e]);

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
  for (const [index, { name }] of entries.entries()) {
    const need = Dirent.size + name.length;
    if (used + need > blockSize) {
      starts.push(index);
      used = 0;
    }
    used += need;
  }
  return { starts, size: (starts.length - 1) * blockSize + used };
}
