/** Trees for the native scanner, on disk. */

import {
  chmodSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { walk, type Directory, type Inode } from '../../../src/io/file-tree.ts';
import { runTool } from '../../support/tools.ts';

const isRoot = process.getuid?.() === 0;

/** Makes a tree on disk, as far as the user may: no sockets, devices and owners only as root. */
export async function plantTree(root: Directory, folder: string): Promise<void> {
  const first = new Map<Inode, string>();
  const settings: (() => void)[] = [];
  const files: [path: string, inode: Inode][] = [];
  walk(root, (path, inode) => void files.push([join(folder, path), inode]));
  for (const [path, inode] of files) {
    const known = first.get(inode);
    if (known !== undefined) {
      linkSync(known, path);
      continue;
    }
    if (inode.kind === 'socket') continue;
    const isDevice = inode.kind === 'char-device' || inode.kind === 'block-device';
    if (isDevice && !isRoot) continue;
    first.set(inode, path);
    if (inode === root) continue;
    switch (inode.kind) {
      case 'file': {
        const chunks: Uint8Array[] = [];
        for await (const chunk of inode.content.stream()) chunks.push(chunk.slice());
        writeFileSync(path, Buffer.concat(chunks));
        break;
      }
      case 'directory':
        mkdirSync(path);
        break;
      case 'symlink':
        symlinkSync(inode.target, path);
        break;
      case 'char-device':
      case 'block-device': {
        const type = inode.kind === 'char-device' ? 'c' : 'b';
        runTool('mknod', ['--', path, type, `${inode.major}`, `${inode.minor}`]);
        break;
      }
      case 'fifo':
        runTool('mkfifo', ['--', path]);
    }
    // The inner ones first: making names in a directory changes its time.
    settings.unshift(() => {
      if (isRoot) lchownSync(path, inode.uid, inode.gid);
      // Whoever is not root must be able to read it.
      const mode = isRoot ? inode.mode : inode.mode | 0o700;
      if (inode.kind !== 'symlink') chmodSync(path, mode);
      const time = inode.mtime + inode.mtimeNsec / 1e9;
      lutimesSync(path, time, time);
    });
  }
  for (const set of settings) set();
}
