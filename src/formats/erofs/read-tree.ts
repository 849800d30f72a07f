/** A whole image as a file tree, with the contents left where they are. */

import {
  device,
  directory,
  regularFile,
  specialFile,
  symlink,
  type Directory,
  type Inode,
} from '../../io/file-tree.ts';
import type { ErofsDirent } from './directory.ts';
import type { ErofsInode } from './inode.ts';
import { decodeDevice } from './layout.ts';
import type { ErofsReader } from './reader.ts';
import { bad } from './superblock.ts';
import { MAX_DEPTH } from './walk-image.ts';

interface PendingDirectory {
  readonly read: ErofsInode;
  readonly directory: Directory;
  readonly parent: ErofsInode;
  readonly depth: number;
}

/**
 * Reads the tree. Contents stay in the image, whose source must stay open while they are used. That
 * flat contents lie within the image is checked here; of compressed ones that they have room for an
 * index, the rest when they are streamed.
 *
 * @throws {FormatError} on everything that is not a tree: a directory with two names or within
 *   itself, wrong `.` or `..`, entries that contradict their inodes; `too-large` when parts of the
 *   image are used so often that the tree would outgrow it.
 */
export async function readTree(reader: ErofsReader): Promise<Directory> {
  const known = new Map<number, { readonly read: ErofsInode; readonly inode: Inode }>();
  const pending: PendingDirectory[] = [];
  // Honest directories and symbolic links share no bytes, so together they fit the image.
  let budget = reader.geometry.imageSize;

  const load = async (read: ErofsInode, parent: ErofsInode, depth: number): Promise<Inode> => {
    if (read.kind !== 'file') budget -= read.size;
    const { offset } = read;
    if (budget < 0) {
      const problem = 'its directories take more bytes than the image has';
      throw bad('too-large', problem, { offset, field: 'i_size' });
    }
    if (depth > MAX_DEPTH) {
      const problem = `directories are nested over ${MAX_DEPTH} deep`;
      throw bad('too-large', problem, { offset, field: 'nid' });
    }
    const inode = await convert(reader, read);
    for (const [name, value] of await reader.readXattrs(read)) inode.xattrs.set(name, value);
    known.set(read.nid, { read, inode });
    if (inode.kind === 'directory') pending.push({ read, directory: inode, parent, depth });
    return inode;
  };

  const loadEntry = async (at: PendingDirectory, entry: ErofsDirent): Promise<Inode> => {
    const found = known.get(Number(entry.nid));
    if (found?.read.kind === 'directory') {
      throw bad('bad-value', `directory ${found.read.nid} has two names`, {
        offset: found.read.offset,
        field: 'nid',
      });
    }
    const read = found?.read ?? (await reader.readInode(entry.nid));
    if (read.kind !== entry.kind) {
      throw bad(
        'bad-value',
        `an entry says that inode ${read.nid} is a ${entry.kind}, it is a ${read.kind}`,
        { offset: read.offset, field: 'file_type' },
      );
    }
    return found?.inode ?? load(read, at.read, at.depth + 1);
  };

  const root = await load(reader.root, reader.root, 0);
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const dots = new Map([
      ['.', at.read.nid],
      ['..', at.parent.nid],
    ]);
    for await (const entry of reader.listDirectory(at.read)) {
      const expected = dots.get(entry.name);
      if (expected === undefined) {
        at.directory.children.set(entry.name, await loadEntry(at, entry));
        continue;
      }
      if (entry.nid !== BigInt(expected) || entry.kind !== 'directory') {
        throw bad('bad-value', `"${entry.name}" of directory ${at.read.nid} is ${entry.nid}`, {
          offset: at.read.offset,
          field: entry.name,
        });
      }
      dots.delete(entry.name);
    }
    if (dots.size > 0) {
      throw bad('bad-value', `directory ${at.read.nid} lacks "." or ".."`, {
        offset: at.read.offset,
        field: 'name',
      });
    }
  }
  return root as Directory;
}

async function convert(reader: ErofsReader, read: ErofsInode): Promise<Inode> {
  const attributes = {
    mode: read.mode,
    uid: read.uid,
    gid: read.gid,
    ...reader.modificationTime(read),
  };
  switch (read.kind) {
    case 'file':
      await reader.checkData(read);
      return regularFile({ size: read.size, stream: () => reader.readData(read) }, attributes);
    case 'directory':
      return directory(attributes);
    case 'symlink':
      return symlink(await reader.readSymlink(read), attributes);
    case 'char-device':
    case 'block-device': {
      const { major, minor } = decodeDevice(read.union);
      return device(read.kind, major, minor, attributes);
    }
    case 'fifo':
    case 'socket':
      return specialFile(read.kind, attributes);
  }
}
