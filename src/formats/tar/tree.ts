/** A tar archive as a file tree. */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  bytesContent,
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
} from '../../io/file-tree.ts';
import { decompress } from './decompress.ts';
import { readTar, type TarEntry } from './read.ts';

/** Where the data of files goes while the archive streams by. */
export interface ContentStore {
  /** Takes exactly `size` bytes. */
  add(data: AsyncIterable<Uint8Array>, size: number): Promise<FileContent>;
}

/** Keeps files in memory: for small archives, or a small selection of a large one. */
export const memoryStore: ContentStore = {
  async add(data, size) {
    const bytes = new Uint8Array(size);
    let at = 0;
    for await (const chunk of data) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytesContent(bytes);
  },
};

export interface TarTreeOptions {
  /** Default: in memory. */
  readonly store?: ContentStore;
  /** Which paths to take; directories above them come along with default attributes. Default: all. */
  readonly select?: (path: string) => boolean;
  /** Takes device nodes and pipes, which are refused otherwise. */
  readonly allowDevices?: boolean;
  /** Of the decompressed archive, in bytes. Default 4 GiB. */
  readonly maxSize?: number;
  /** Default 1 000 000. */
  readonly maxEntries?: number;
}

class TreeBuilder {
  readonly root: Directory = directory();
  readonly #archive: string;
  readonly #options: TarTreeOptions;

  constructor(archive: string, options: TarTreeOptions) {
    this.#archive = archive;
    this.#options = options;
  }

  async add(entry: TarEntry): Promise<void> {
    if (entry.path === '/') {
      if (entry.kind !== 'directory') this.#refuse(entry, 'is the root but no directory');
      this.#setAttributes(this.root, entry);
      return;
    }
    const names = splitPath(entry.path);
    const name = names.pop() ?? '';
    const parent = this.#parent(entry, names);
    const known = parent.children.get(name);
    if (known !== undefined) {
      // A directory may come again, with its final attributes; anything else is a contradiction.
      if (known.kind !== 'directory' || entry.kind !== 'directory') {
        this.#refuse(entry, 'is there already');
      }
      this.#setAttributes(known, entry);
      return;
    }
    const inode = await this.#inode(entry);
    if (entry.kind !== 'hardlink') this.#setAttributes(inode, entry);
    parent.children.set(name, inode);
  }

  #refuse(entry: TarEntry, why: string): never {
    throw new FormatError(
      'tar',
      'bad-value',
      `Cannot read ${this.#archive}: entry ${JSON.stringify(entry.path)} ${why}`,
      { field: entry.path },
    );
  }

  #parent(entry: TarEntry, names: readonly string[]): Directory {
    let at = this.root;
    for (const name of names) {
      let next = at.children.get(name);
      if (next === undefined) {
        next = directory();
        at.children.set(name, next);
      }
      // Never through a link: where it leads is the image's matter, not the archive's.
      if (next.kind !== 'directory') this.#refuse(entry, `goes through "${name}", a ${next.kind}`);
      at = next;
    }
    return at;
  }

  async #inode(entry: TarEntry): Promise<Inode> {
    switch (entry.kind) {
      case 'file':
        return regularFile(await (this.#options.store ?? memoryStore).add(entry.data, entry.size));
      case 'directory':
        return directory();
      case 'symlink':
        return symlink(entry.target);
      case 'hardlink': {
        const target = findInode(this.root, entry.target);
        if (target?.kind !== 'file') {
          return this.#refuse(entry, `is a hard link to "${entry.target}", no file before it`);
        }
        return target;
      }
      case 'char-device':
      case 'block-device':
        if (this.#options.allowDevices !== true) this.#refuse(entry, `is a ${entry.kind}`);
        return device(entry.kind, entry.major, entry.minor);
      case 'fifo':
        if (this.#options.allowDevices !== true) this.#refuse(entry, 'is a pipe');
        return specialFile('fifo');
      default:
        return entry satisfies never;
    }
  }

  #setAttributes(inode: Inode, entry: TarEntry): void {
    inode.mode = entry.kind === 'symlink' ? 0o777 : entry.mode;
    inode.uid = entry.uid;
    inode.gid = entry.gid;
    inode.mtime = entry.mtime;
    inode.xattrs = new Map(entry.xattrs);
  }
}

/**
 * Reads an archive, compressed or not, into a tree.
 *
 * @throws {FormatError} naming archive and entry, when it is damaged, hostile or too large.
 */
export async function tarToTree(
  source: ByteSource,
  options: TarTreeOptions = {},
): Promise<Directory> {
  const { select, maxSize = 2 ** 32, maxEntries = 1_000_000 } = options;
  const builder = new TreeBuilder(source.name, options);
  let count = 0;
  for await (const entry of readTar(decompress(source, maxSize), source.name)) {
    count++;
    if (count > maxEntries) {
      throw new FormatError(
        'tar',
        'too-large',
        `Cannot read ${source.name}: it has more than ${maxEntries} entries`,
      );
    }
    if (select === undefined || select(entry.path)) await builder.add(entry);
  }
  return builder.root;
}
