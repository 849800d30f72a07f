/** What of a file tree EROFS cannot store, told as the end of a sentence. */

import type { Inode } from '../../io/file-tree.ts';
import { EROFS_NAME_LEN, MAX_SYMLINK_SIZE } from './layout.ts';

/** Half of a surrogate pair has no UTF-8, and a NUL would end the text early. */
export const isStorableText = (text: string): boolean => !/[\0\uD800-\uDFFF]/u.test(text);

const within = (value: number, limit: number): boolean =>
  Number.isInteger(value) && value >= 0 && value < limit;

/** Why a name cannot be that of a directory entry. */
export function nameProblem(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || !isStorableText(name)) {
    return `${JSON.stringify(name)} is no file name`;
  }
  const size = Buffer.byteLength(name);
  return size > EROFS_NAME_LEN ? `its name has ${size} bytes, over ${EROFS_NAME_LEN}` : undefined;
}

/** The kernel takes the largest number as "no one": even root could not open such a file. */
const OWNER_LIMIT = 2 ** 32 - 1;

/** Why an inode cannot be stored, apart from its xattrs and names. */
export function inodeProblem(inode: Inode): string | undefined {
  if (!within(inode.mode, 0o10000)) return `its mode is ${inode.mode}`;
  if (!within(inode.uid, OWNER_LIMIT) || !within(inode.gid, OWNER_LIMIT)) {
    return `its owner is ${inode.uid}:${inode.gid}`;
  }
  if (!Number.isSafeInteger(inode.mtime) || !within(inode.mtimeNsec, 1e9)) {
    return `its modification time is ${inode.mtime} s and ${inode.mtimeNsec} ns`;
  }
  switch (inode.kind) {
    case 'char-device':
    case 'block-device':
      return within(inode.major, 2 ** 12) && within(inode.minor, 2 ** 20)
        ? undefined
        : `its device number is ${inode.major}:${inode.minor}`;
    case 'file':
      return within(inode.content.size, 2 ** 53) ? undefined : `its size is ${inode.content.size}`;
    case 'symlink':
      return symlinkProblem(inode.target);
    case 'directory':
    case 'fifo':
    case 'socket':
      return undefined;
  }
}

function symlinkProblem(target: string): string | undefined {
  const size = Buffer.byteLength(target);
  if (size === 0 || size > MAX_SYMLINK_SIZE) {
    return `its target has ${size} bytes, possible are 1 to ${MAX_SYMLINK_SIZE}`;
  }
  return isStorableText(target) ? undefined : 'its target is not valid text';
}
