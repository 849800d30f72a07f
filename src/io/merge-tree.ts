/** Puts trees together, and refuses what two of them both claim. */

import { equalBytes } from '../core/digest.ts';
import {
  directory,
  splitPath,
  type Directory,
  type FileContent,
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
      next.isImplied = true;
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

/** One path that two trees have, and that is not a folder in both. */
export interface PathClash {
  readonly path: string;
  readonly known: Inode;
  readonly added: Inode;
}

/**
 * Merges all of `added` into `root`: folders unite, and keep the attributes that were given to them first.
 *
 * @param onAdd Told of each inode, other than by hard links once, that is new or now says what a folder is like.
 * @returns the paths that both have: there `root` stays as it was.
 */
export function mergeTree(
  root: Directory,
  added: Directory,
  onAdd: (inode: Inode) => void = () => undefined,
): PathClash[] {
  const clashes: PathClash[] = [];
  const announce = (inode: Inode): void => {
    onAdd(inode);
    if (inode.kind === 'directory') for (const child of inode.children.values()) announce(child);
  };
  const unite = (into: Directory, from: Directory, at: string): void => {
    for (const [name, inode] of from.children) {
      const known = into.children.get(name);
      const path = `${at}/${name}`;
      if (known === undefined) {
        into.children.set(name, inode);
        announce(inode);
      } else if (known.kind === 'directory' && inode.kind === 'directory') {
        if (known.isImplied === true && inode.isImplied !== true) {
          copyAttributes(known, inode);
          delete known.isImplied;
          onAdd(known);
        }
        unite(known, inode, path);
      } else clashes.push({ path, known, added: inode });
    }
  };
  unite(root, added, '');
  return clashes;
}

/** Gives `to` owner, mode, time and extended attributes of `from`. */
export function copyAttributes(to: Inode, from: Inode): void {
  to.mode = from.mode;
  to.uid = from.uid;
  to.gid = from.gid;
  to.mtime = from.mtime;
  to.mtimeNsec = from.mtimeNsec;
  to.xattrs = from.xattrs;
}

/** Whether two inodes are the same but for their times: kind, owner, mode, extended attributes, content. */
export async function isSameInode(a: Inode, b: Inode): Promise<boolean> {
  if (a === b) return true;
  if (a.kind !== b.kind || a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  if (a.xattrs.size !== b.xattrs.size) return false;
  for (const [name, value] of a.xattrs) {
    const other = b.xattrs.get(name);
    if (other === undefined || !equalBytes(value, other)) return false;
  }
  if (a.kind === 'symlink' && b.kind === 'symlink') return a.target === b.target;
  if (a.kind === 'file' && b.kind === 'file') return isSameContent(a.content, b.content);
  return false;
}

async function isSameContent(a: FileContent, b: FileContent): Promise<boolean> {
  if (a.size !== b.size) return false;
  const other = b.stream()[Symbol.asyncIterator]();
  try {
    let rest: Uint8Array = new Uint8Array(0);
    for await (const chunk of a.stream()) {
      for (let at = 0; at < chunk.length;) {
        if (rest.length === 0) {
          const next = await other.next();
          if (next.done === true) return false;
          rest = next.value;
          continue;
        }
        const length = Math.min(rest.length, chunk.length - at);
        if (!equalBytes(chunk.subarray(at, at + length), rest.subarray(0, length))) return false;
        at += length;
        rest = rest.subarray(length);
      }
    }
    return true;
  } finally {
    await other.return?.();
  }
}
