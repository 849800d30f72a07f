/**
 * Changes to the files of a tree by patterns of their paths: owners, modes, times, extended attributes,
 * removal. Rules are applied in order, each to what the ones before left.
 */

import type { Directory, Inode } from './file-tree.ts';
import { pathMatcher, prefixMatcher } from './glob.ts';
import { visitTree } from './visit-tree.ts';

export interface TreeChange {
  /** Patterns of `pathMatcher`, of which one must match. */
  readonly match: readonly string[];
  /** 0..0o7777. */
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Seconds since 1970. */
  readonly mtime?: number | undefined;
  /** Values to set; null removes one. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array | null> | undefined;
  /** Removes what matches, and all below it. */
  readonly remove?: boolean | undefined;
}

/** Why a rule did nothing. */
export type RuleProblem = 'no-match' | 'only-links';

/**
 * Applies one rule. A file of several names is one: what is said of a name is said of all.
 *
 * @returns why it changed nothing, or undefined. Symbolic links have no mode of their own: a mode passes them over.
 * @throws {UsageError} `usage` on a pattern that is none.
 */
export function applyRule(root: Directory, change: TreeChange): RuleProblem | undefined {
  const matches = pathMatcher(change.match);
  if (change.remove === true) {
    const count = removeWhere(root, (path) => matches(path));
    return count === 0 ? 'no-match' : undefined;
  }
  const found: Inode[] = [];
  visitTree(root, (path, inode) => {
    // The root has no name: only `/` itself means it.
    if (path === '/' ? change.match.includes('/') : matches(path)) found.push(inode);
  });
  if (found.length === 0) return 'no-match';
  const { mode, uid, gid, mtime, xattrs } = change;
  const isModeOnly = [uid, gid, mtime, xattrs].every((value) => value === undefined);
  if (isModeOnly && found.every(({ kind }) => kind === 'symlink')) return 'only-links';
  for (const inode of found) {
    if (mode !== undefined && inode.kind !== 'symlink') inode.mode = mode;
    if (uid !== undefined) inode.uid = uid;
    if (gid !== undefined) inode.gid = gid;
    if (mtime !== undefined) {
      inode.mtime = mtime;
      inode.mtimeNsec = 0;
    }
    for (const [name, value] of xattrs ?? []) {
      if (value === null) inode.xattrs.delete(name);
      else inode.xattrs.set(name, value);
    }
    if (inode.kind === 'directory') delete inode.isImplied;
  }
  return undefined;
}

export interface Selection {
  /** Takes only what one of these matches, and what is below it; default all. */
  readonly include?: readonly string[] | undefined;
  /** Leaves out what one of these matches, and what is below it. */
  readonly exclude?: readonly string[] | undefined;
}

/**
 * Leaves in a tree only what is selected. Folders above it stay, too.
 *
 * @returns whether anything is left but folders above nothing, or nothing was to be selected by `include`.
 * @throws {UsageError} `usage` on a pattern that is none.
 */
export function selectFiles(root: Directory, { include, exclude }: Selection): boolean {
  if (exclude !== undefined) removeWhere(root, pathMatcher(exclude));
  if (include === undefined) return true;
  const isIncluded = prefixMatcher(include);
  const keep = (folder: Directory, at: string): boolean => {
    for (const [name, inode] of folder.children) {
      const path = `${at}/${name}`;
      if (isIncluded(path)) continue;
      if (inode.kind !== 'directory' || !keep(inode, path)) folder.children.delete(name);
    }
    return folder.children.size > 0;
  };
  return keep(root, '');
}

/** Removes names, and what is below them. @returns how many of those that the test said yes to. */
function removeWhere(root: Directory, test: (path: string) => boolean): number {
  let count = 0;
  const step = (folder: Directory, at: string): void => {
    for (const [name, inode] of folder.children) {
      const path = `${at}/${name}`;
      if (test(path)) {
        folder.children.delete(name);
        count += 1;
      } else if (inode.kind === 'directory') step(inode, path);
    }
  };
  step(root, '');
  return count;
}
