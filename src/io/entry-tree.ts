/**
 * The tree that the entries of one archive make.
 *
 * No entry goes through a link, and none is there twice: readers disagree on what such an archive holds.
 */

import { FormatError } from '../core/errors.ts';
import type { ArchiveEntry, ArchiveFile } from './archive-entry.ts';
import {
  device,
  directory,
  findInode,
  regularFile,
  specialFile,
  splitPath,
  symlink,
  type Directory,
  type FileContent,
  type Inode,
} from './file-tree.ts';

export interface EntryTreeOptions {
  /** The format and name of the archive, for errors. */
  readonly format: string;
  readonly archive: string;
  /** Takes device nodes and pipes, which are refused otherwise. */
  readonly allowDevices?: boolean | undefined;
}

/** Takes entries, in order. */
export interface EntryTree {
  readonly root: Directory;
  /**
   * @param content Of a file; asked for when it has a place.
   * @throws {FormatError} `bad-value`, naming the entry, when there is no place for it.
   */
  add(entry: ArchiveEntry, content: (file: ArchiveFile) => FileContent): void;
}

/** A tree that is empty yet. */
export function entryTree(options: EntryTreeOptions): EntryTree {
  const root = directory();
  root.isImplied = true;
  const refuse = (entry: ArchiveEntry, why: string): never => {
    throw new FormatError(
      options.format,
      'bad-value',
      `Cannot read ${options.archive}: entry ${JSON.stringify(entry.path.slice(0, 300))} ${why}`,
      { field: entry.path },
    );
  };
  const parentOf = (entry: ArchiveEntry, names: readonly string[]): Directory => {
    let at = root;
    for (const name of names) {
      let next = at.children.get(name);
      if (next === undefined) {
        next = directory();
        next.isImplied = true;
        at.children.set(name, next);
      }
      // Never through a link: where it leads is the image's matter, not the archive's.
      if (next.kind !== 'directory') return refuse(entry, `goes through "${name}", a ${next.kind}`);
      at = next;
    }
    return at;
  };
  const hardlink = (entry: ArchiveEntry & { kind: 'hardlink' }): Inode => {
    const target = findInode(root, entry.target);
    return target?.kind === 'file'
      ? target
      : refuse(entry, `is a hard link to "${entry.target}", no file before it`);
  };
  return {
    root,
    add(entry, content) {
      if (entry.path === '/') {
        if (entry.kind !== 'directory') refuse(entry, 'is the root but no directory');
        setAttributes(root, entry);
        return;
      }
      const names = splitPath(entry.path);
      const name = names.pop() ?? '';
      const parent = parentOf(entry, names);
      const known = parent.children.get(name);
      if (known !== undefined) {
        // A directory may come again, with its final attributes; anything else is a contradiction.
        if (known.kind !== 'directory' || entry.kind !== 'directory') {
          refuse(entry, 'is there already');
        }
        setAttributes(known, entry);
        return;
      }
      if (entry.kind === 'hardlink') {
        parent.children.set(name, hardlink(entry));
        return;
      }
      if (options.allowDevices !== true && isDevice(entry)) {
        refuse(entry, entry.kind === 'fifo' ? 'is a pipe' : `is a ${entry.kind}`);
      }
      parent.children.set(name, inodeOfEntry(entry, content));
    },
  };
}

/** Whether an entry is a device or pipe: nothing that a sealed image needs. */
export const isDevice = ({ kind }: ArchiveEntry): boolean =>
  kind === 'char-device' || kind === 'block-device' || kind === 'fifo';

/** The inode of an entry that is no hard link. */
export function inodeOfEntry(
  entry: Exclude<ArchiveEntry, { kind: 'hardlink' }>,
  content: (file: ArchiveFile) => FileContent,
): Inode {
  const inode = bareInode(entry, content);
  setAttributes(inode, entry);
  return inode;
}

function bareInode(
  entry: Exclude<ArchiveEntry, { kind: 'hardlink' }>,
  content: (file: ArchiveFile) => FileContent,
): Inode {
  switch (entry.kind) {
    case 'file':
      return regularFile(content(entry));
    case 'directory':
      return directory();
    case 'symlink':
      return symlink(entry.target);
    case 'char-device':
    case 'block-device':
      return device(entry.kind, entry.major, entry.minor);
    case 'fifo':
      return specialFile('fifo');
    default:
      return entry satisfies never;
  }
}

/** Gives an inode the owner, mode, time and attributes of an entry. */
export function setAttributes(inode: Inode, entry: ArchiveEntry): void {
  inode.mode = entry.kind === 'symlink' ? 0o777 : entry.mode;
  inode.uid = entry.uid;
  inode.gid = entry.gid;
  inode.mtime = entry.mtime;
  if (entry.xattrs.size > 0 || inode.xattrs.size > 0) inode.xattrs = new Map(entry.xattrs);
  if (inode.kind === 'directory') delete inode.isImplied;
}
