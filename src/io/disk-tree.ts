/**
 * Folders and files of this machine as parts of a `FileTree`: either as they are, or without anything
 * that varies between machines.
 *
 * What a folder holds is found by a scanner: the one here, or the native library's, which is faster and
 * reads extended attributes. What becomes of it is decided here for both.
 */

import { closeSync, openSync, readSync, type BigIntStats } from 'node:fs';
import { lstat, open, readdir, readlink, stat, type FileHandle } from 'node:fs/promises';
import { FormatError, UsageError } from '../core/errors.ts';
import {
  device,
  directory,
  regularFile,
  specialFile,
  symlink,
  type Directory,
  type FileContent,
  type Inode,
  type InodeAttributes,
} from './file-tree.ts';
import { systemError } from './system-error.ts';
import { isTextOf } from './text-of.ts';

/** A file on disk as content. It must not change its size between planning and writing. */
export function fileContent(path: string, size: number): FileContent {
  return new DiskFile(path, size);
}

/** Smaller files are read at once, in bytes. */
const SMALL_FILE = 64 << 10;
const CHUNK_SIZE = 1 << 20;

/** A class, as there are as many as files: each is one small object. */
class DiskFile implements FileContent {
  readonly size: number;
  readonly #path: string;

  constructor(path: string, size: number) {
    this.#path = path;
    this.size = size;
  }

  get file(): { readonly path: string } {
    return { path: this.#path };
  }

  async *stream(): AsyncGenerator<Uint8Array> {
    if (this.size === 0) return;
    if (this.size <= SMALL_FILE) {
      yield this.#readSmall();
      return;
    }
    const handle = await open(this.#path);
    try {
      yield* this.#chunks(handle);
    } finally {
      await handle.close();
    }
  }

  /** Into two buffers by turns: one is filled while the other is used. */
  async *#chunks(handle: FileHandle): AsyncGenerator<Uint8Array> {
    let buffer = Buffer.allocUnsafeSlow(CHUNK_SIZE);
    let spare = Buffer.allocUnsafeSlow(CHUNK_SIZE);
    const start = (at: number): Promise<{ readonly bytesRead: number }> => {
      // One byte more than expected shows a file that has grown.
      const reading = handle.read(spare, 0, Math.min(CHUNK_SIZE, this.size + 1 - at), at);
      // Its error counts when it is awaited; until then it must not count as unhandled.
      reading.catch(() => undefined);
      return reading;
    };
    let done = 0;
    let next = start(0);
    try {
      for (;;) {
        const { bytesRead } = await next;
        if (bytesRead === 0) break;
        done += bytesRead;
        if (done > this.size) break;
        [buffer, spare] = [spare, buffer];
        next = start(done);
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      // The file must not be closed under it.
      await next.catch(() => undefined);
    }
    if (done !== this.size) throw this.#changed();
  }

  /** A stream of its own takes ten times as long as such a file. */
  #readSmall(): Uint8Array {
    const fd = openSync(this.#path, 'r');
    try {
      // One byte more than expected shows a file that has grown.
      const buffer = new Uint8Array(this.size + 1);
      let done = 0;
      // A file ends where less comes than there is room for.
      for (let read = -1; read !== 0 && done < this.size; done += read) {
        read = readSync(fd, buffer, done, buffer.length - done, done);
      }
      if (done !== this.size) throw this.#changed();
      return buffer.subarray(0, done);
    } finally {
      closeSync(fd);
    }
  }

  #changed(): FormatError {
    return new FormatError('file', 'bad-value', `${this.#path} changed while it was read`);
  }
}

/** What a scanner finds of one name. */
export interface DiskEntry {
  /** Number of the directory that holds it: the root has 0, every other one a larger number than its own. */
  readonly parent: number;
  /** Of a directory: its number. */
  readonly number: number;
  readonly name: string;
  /** `st_mode`: type and permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
  /** Of devices. */
  readonly major: number;
  readonly minor: number;
  /** Equal for names of one file; absent when it has only one. */
  readonly link: string | undefined;
  /** Of symbolic links. */
  readonly target: string;
  /** By name; absent without any. */
  readonly xattrs?: readonly (readonly [name: string, value: Uint8Array])[] | undefined;
  /** What of it is not UTF-8. */
  readonly notText?: 'name' | 'target' | undefined;
  /** The system's error when it could not be read: then the rest may be missing. */
  readonly errno?: number | undefined;
}

export interface ScanOptions {
  /** Whether extended attributes are wanted. Node cannot read them: only the native library can. */
  readonly xattrs?: boolean;
}

/** Finds all names below a folder: the root first, with no name, and a directory before what it holds. */
export type DiskScanner = (path: string, options: ScanOptions) => Promise<Iterable<DiskEntry>>;

export interface DiskTreeOptions extends ScanOptions {
  /** The one modification time; default each file's own. */
  readonly mtime?: number | undefined;
  /** Whether all belongs to user and group 0. */
  readonly allRoot?: boolean;
  /** Leaves out what it says yes to, and all below. Paths begin with `/`, the folder itself. */
  readonly exclude?: ((path: string) => boolean) | undefined;
  /** Default: with Node's functions. */
  readonly scan?: DiskScanner | undefined;
}

/**
 * A folder and everything below it: owned by root, modes 0755 (folders and what its owner may
 * execute) or 0644, one modification time. So the umask, the user and the checkout do not show.
 *
 * @throws {UsageError} `input` for a device, socket or pipe, or a name that is not UTF-8.
 */
export function readDiskTree(
  path: string,
  mtime: number,
  scan: DiskScanner = scanDisk,
): Promise<Directory> {
  const options = { mtime, allRoot: true };
  return buildTree(path, scan, { ...options, splitLinks: true }, ({ mode }, at) => {
    const type = mode & S_IFMT;
    if (type !== S_IFDIR && type !== S_IFREG && type !== S_IFLNK) {
      throw new UsageError('input', `Cannot use ${at}: it is not a file, folder or symbolic link`);
    }
    const isOpen = type === S_IFDIR || (mode & 0o100) !== 0;
    const plain = type === S_IFLNK ? 0o777 : isOpen ? 0o755 : 0o644;
    return type | plain;
  });
}

/**
 * A folder and everything below it as it is: owners, modes, times, devices, hard links.
 *
 * @throws {UsageError} `input` for a name that is not UTF-8; `usage` when extended attributes are asked
 *   of a scanner that cannot read them.
 */
export function readExactTree(path: string, options: DiskTreeOptions = {}): Promise<Directory> {
  return buildTree(path, options.scan ?? scanDisk, options, ({ mode }) => mode);
}

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;

interface OpenDirectory {
  readonly inode: Directory;
  /** On disk. */
  readonly path: string;
  /** In the tree, where somebody asks for it; empty for the root. */
  readonly treePath: string;
}

/** @param modeOf The `st_mode` that an entry gets. */
async function buildTree(
  root: string,
  scan: DiskScanner,
  options: DiskTreeOptions & { readonly splitLinks?: boolean },
  modeOf: (entry: DiskEntry, path: string) => number,
): Promise<Directory> {
  const directories = new Map<number, OpenDirectory>();
  const links = new Map<string, Inode>();
  const { exclude } = options;
  for (const entry of await scan(root, { xattrs: options.xattrs === true })) {
    const parent = directories.get(entry.parent);
    const isRoot = directories.size === 0;
    // What is below a directory that is left out.
    if (parent === undefined && !isRoot) continue;
    const path = parent === undefined ? root : join(parent.path, entry.name);
    // Long paths for nothing would cost more than all else here.
    const treePath = exclude && parent ? `${parent.treePath}/${entry.name}` : '';
    if (entry.name !== '' && exclude?.(treePath) === true) continue;
    checkEntry(entry, path);
    const mode = modeOf(entry, path);
    const link = options.splitLinks === true ? undefined : entry.link;
    const known = link === undefined ? undefined : links.get(link);
    const inode = known ?? inodeOf(entry, mode, path, options);
    if (link !== undefined) links.set(link, inode);
    if (inode.kind === 'directory') {
      directories.set(entry.number, { inode, path, treePath });
    } else if (isRoot) {
      throw new UsageError('input', `Cannot use ${root}: it is not a folder`);
    }
    parent?.inode.children.set(entry.name, inode);
  }
  const found = directories.get(0);
  if (found === undefined) throw new TypeError('A scan starts with the root');
  return found.inode;
}

function checkEntry({ errno, notText }: DiskEntry, path: string): void {
  if (errno !== undefined) throw systemError(errno, 'scandir', path);
  if (notText === 'name') {
    throw new UsageError('input', `Cannot use ${path}: its name is not UTF-8`);
  }
  if (notText === 'target') {
    throw new UsageError('input', `Cannot use ${path}: where it leads to is not UTF-8`);
  }
}

const join = (folder: string, name: string): string => (name === '' ? folder : `${folder}/${name}`);

function inodeOf(entry: DiskEntry, mode: number, path: string, options: DiskTreeOptions): Inode {
  const { xattrs } = entry;
  const attributes: InodeAttributes = {
    mode: mode & 0o7777,
    uid: options.allRoot === true ? 0 : entry.uid,
    gid: options.allRoot === true ? 0 : entry.gid,
    mtime: options.mtime ?? entry.mtime,
    mtimeNsec: options.mtime === undefined ? entry.mtimeNsec : 0,
  };
  const inode = inodeOfKind(entry, path, attributes);
  if (xattrs !== undefined) for (const [name, value] of xattrs) inode.xattrs.set(name, value);
  return inode;
}

function inodeOfKind(entry: DiskEntry, path: string, attributes: InodeAttributes): Inode {
  switch (entry.mode & S_IFMT) {
    case S_IFDIR:
      return directory(attributes);
    case S_IFREG:
      return regularFile(fileContent(path, entry.size), attributes);
    case S_IFLNK:
      return symlink(entry.target, attributes);
    case S_IFCHR:
      return device('char-device', entry.major, entry.minor, attributes);
    case S_IFBLK:
      return device('block-device', entry.major, entry.minor, attributes);
    case S_IFIFO:
      return specialFile('fifo', attributes);
    case S_IFSOCK:
      return specialFile('socket', attributes);
    default:
      throw new UsageError('input', `Cannot use ${path}: it is of no known kind`);
  }
}

/** How many entries of a directory are asked for at a time. */
const AT_ONCE = 64;

/** Finds all names with Node's functions. */
async function scanDisk(root: string, { xattrs }: ScanOptions): Promise<DiskEntry[]> {
  if (xattrs === true) {
    throw new UsageError('usage', 'Cannot read extended attributes without the native library', {
      hint: 'Build it with `cargo build --release -p microbuild-native`',
    });
  }
  const top = await stat(root, { bigint: true });
  const found: DiskEntry[] = [{ ...noEntry, ...statEntry(top) }];
  const directories: Buffer[] = top.isDirectory() ? [Buffer.from(root)] : [];
  for (let parent = 0; parent < directories.length; parent += 1) {
    const path = directories[parent] as Buffer;
    const readOne = async (bytes: Buffer): Promise<DiskEntry> => {
      const name = bytes.toString();
      const notText = isTextOf(name, () => bytes) ? undefined : ('name' as const);
      const entry = { ...noEntry, parent, name, notText };
      const at = Buffer.concat([path, Buffer.from('/'), bytes]);
      return orError(entry, async () => {
        const stats = await lstat(at, { bigint: true });
        const known = { ...entry, ...statEntry(stats) };
        if (!stats.isSymbolicLink()) return known;
        const link = await readlink(at, { encoding: 'buffer' });
        const target = link.toString();
        return isTextOf(target, () => link)
          ? { ...known, target }
          : { ...known, target, notText: notText ?? 'target' };
      });
    };
    let names: Buffer[] = [];
    try {
      names = await readdir(path, { encoding: 'buffer' });
    } catch (error) {
      found.push({ ...noEntry, parent, errno: errnoOf(error) });
    }
    names.sort((a, b) => Buffer.compare(a, b));
    for (let first = 0; first < names.length; first += AT_ONCE) {
      const some = names.slice(first, first + AT_ONCE);
      for (const [index, entry] of (await Promise.all(some.map(readOne))).entries()) {
        const isDirectory = (entry.mode & S_IFMT) === S_IFDIR;
        const name = some[index] as Buffer;
        if (isDirectory) directories.push(Buffer.concat([path, Buffer.from('/'), name]));
        found.push(isDirectory ? { ...entry, number: directories.length - 1 } : entry);
      }
    }
  }
  return found;
}

async function orError(entry: DiskEntry, read: () => Promise<DiskEntry>): Promise<DiskEntry> {
  try {
    return await read();
  } catch (error) {
    return { ...entry, errno: errnoOf(error) };
  }
}

function errnoOf(error: unknown): number {
  const errno = error instanceof Error ? (error as NodeJS.ErrnoException).errno : undefined;
  if (errno === undefined) throw error;
  return -errno;
}

/** All of an entry that nothing is known of. */
export const noEntry: DiskEntry = {
  parent: 0,
  number: 0,
  name: '',
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  mtimeNsec: 0,
  major: 0,
  minor: 0,
  link: undefined,
  target: '',
};

function statEntry(
  stats: BigIntStats,
): Omit<DiskEntry, 'parent' | 'number' | 'name' | 'target' | 'notText'> {
  const { rdev, mtimeNs } = stats;
  const mtimeNsec = ((mtimeNs % NANO) + NANO) % NANO;
  return {
    mode: Number(stats.mode),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    size: Number(stats.size),
    mtime: Number((mtimeNs - mtimeNsec) / NANO),
    mtimeNsec: Number(mtimeNsec),
    // The C library's form of a device number.
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn)),
    link: !stats.isDirectory() && stats.nlink > 1n ? `${stats.dev}:${stats.ino}` : undefined,
  };
}

const NANO = 1_000_000_000n;
