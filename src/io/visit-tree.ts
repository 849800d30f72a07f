/** All names of a tree where their order does not matter: sorting takes most of the time of `walk`. */

import type { Directory, Inode } from './file-tree.ts';

/** Calls `visit` for every path below `root`, and for `/` itself: a folder before what it holds. */
export function visitTree(root: Directory, visit: (path: string, inode: Inode) => void): void {
  const step = (folder: Directory, at: string): void => {
    for (const [name, inode] of folder.children) {
      const path = `${at}/${name}`;
      visit(path, inode);
      if (inode.kind === 'directory') step(inode, path);
    }
  };
  visit('/', root);
  step(root, '');
}
