/** Trees that a kernel hands out whole. */

import { walk, type Directory } from '../../src/io/file-tree.ts';

/** `getfacl` would say: user::rw-, user:1000:r--, group::r--, mask::r--, other::---. */
export const ACL = new Uint8Array(
  Buffer.from(
    '02000000' +
      '01000600ffffffff' +
      '02000400e8030000' +
      '04000400ffffffff' +
      '10000400ffffffff' +
      '20000000ffffffff',
    'hex',
  ),
);

/** Leaves only the attributes that the kernel hands out: valid ACLs, and none for users on special files. */
export function kernelReadable(root: Directory): Directory {
  walk(root, (_, inode) => {
    for (const name of inode.xattrs.keys()) {
      const isPlain = inode.kind === 'file' || inode.kind === 'directory';
      const isAcl = name.startsWith('system.');
      if (isAcl && isPlain && (inode.kind === 'directory' || name.endsWith('access'))) {
        inode.xattrs.set(name, ACL);
      } else if (isAcl || (name.startsWith('user.') && !isPlain)) {
        inode.xattrs.delete(name);
      }
    }
  });
  return root;
}
