/** Puts trees together, and refuses what two of them both claim. */

import {
  directory,
  splitPath,
  type Directory,
  type Inode,
  type InodeAttributes,
} from './file-tree.ts';

/** Two sources name the same path, or one needs a folder where the other has a file. */
export class PathConflict extends Error {
  readonly path: string;

  constructor(path: string) {
    super(`${path} is there already`);
    this.name = 'PathConflict';
    this.path = path;
  }
}

/** The folder at `path`, made with its parents where it is not there yet. */
export function ensureDirectory(
  root: Directory,
  path: string,
  attributes: InodeAttributes,
): Directory {
  let at = root;
  let walked = '';
  for (const name of splitPath(path)) {
    walked += `/${name}`;
    let next = at.children.get(name);
    if (next === undefined) {
      next = directory(attributes);
      at.children.set(name, next);
    }
    if (next.kind !== 'directory') throw new PathConflict(walked);
    at = next;
  }
  return at;
}

/** Adds one inode at `path`. @throws {PathConflict} when something is there. */
export function addInode(
  root: Directory,
  path: string,
  inode: Inode,
  parents: InodeAttributes,
): void {
  const names = splitPath(path);
  const name = names.pop();
  if (name === undefined) throw new PathConflict(path);
  const parent = ensureDirectory(root, `/${names.join('/')}`, parents);
  if (parent.children.has(name)) throw new PathConflict(path);
  parent.children.set(name, inode);
}

/** Merges all of `added` below `path`: folders unite (the first one's attributes stay), the rest must be new. */
export function mergeTree(
  root: Directory,
  path: string,
  added: Directory,
  parents: InodeAttributes,
): void {
  const unite = (into: Directory, from: Directory, at: string): void => {
    for (const [name, inode] of from.children) {
      const known = into.children.get(name);
      const childPath = `${at}/${name}`;
      if (known === undefined) into.children.set(name, inode);
      else if (known.kind === 'directory' && inode.kind === 'directory') {
        unite(known, inode, childPath);
      } else throw new PathConflict(childPath);
    }
  };
  unite(ensureDirectory(root, path, parents), added, path === '/' ? '' : path);
}
