/** Folders and files of this machine as parts of a `FileTree`, without anything that varies between machines. */

import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, UsageError } from '../core/errors.ts';
import {
  directory,
  regularFile,
  symlink,
  type Directory,
  type FileContent,
  type Inode,
} from './file-tree.ts';

/** A file on disk as content. It must not change its size between planning and writing. */
export function fileContent(path: string, size: number): FileContent {
  return {
    size,
    async *stream() {
      if (size === 0) return;
      let done = 0;
      // One byte more than expected shows a file that has grown.
      for await (const chunk of createReadStream(path, { end: size, highWaterMark: 1 << 20 })) {
        done += (chunk as Buffer).length;
        if (done > size) break;
        yield chunk as Uint8Array;
      }
      if (done !== size) {
        throw new FormatError('file', 'bad-value', `${path} changed while it was read`);
      }
    },
  };
}

/**
 * A folder and everything below it: owned by root, modes 0755 (folders and what its owner may
 * execute) or 0644, one modification time. So the umask, the user and the checkout do not show.
 *
 * @throws {UsageError} `input` for a device, socket or pipe, or a name that is not UTF-8.
 */
export async function readDiskTree(path: string, mtime: number): Promise<Directory> {
  const root = directory({ mode: 0o755, mtime });
  const entries = await readdir(path, { encoding: 'buffer' });
  for (const bytes of entries) {
    const name = bytes.toString('utf8');
    if (!Buffer.from(name).equals(bytes)) {
      throw new UsageError('input', `Cannot use ${join(path, name)}: its name is not UTF-8`);
    }
    root.children.set(name, await readDiskInode(join(path, name), mtime));
  }
  return root;
}

async function readDiskInode(path: string, mtime: number): Promise<Inode> {
  const stats = await lstat(path);
  if (stats.isDirectory()) return readDiskTree(path, mtime);
  if (stats.isSymbolicLink()) return symlink(await readlink(path), { mtime });
  if (stats.isFile()) {
    const mode = (stats.mode & 0o100) === 0 ? 0o644 : 0o755;
    return regularFile(fileContent(path, stats.size), { mode, mtime });
  }
  throw new UsageError('input', `Cannot use ${path}: it is not a file, folder or symbolic link`);
}
