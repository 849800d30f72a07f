/**
 * A file system in memory: inodes, hard links, owners, modes, times and extended attributes, with
 * file contents left where they are. Sources fill it, image writers read it; it knows no format.
 *
 * Names are valid UTF-8 and children are ordered by their UTF-8 bytes, so that an image never
 * depends on the order in which a directory was read.
 */

/** Where a regular file's bytes come from. They are read while the image is written. */
export interface FileContent {
  /** In bytes; `stream` must yield exactly as many. */
  readonly size: number;
  /**
   * The file on disk that is the content, from its first byte to its last: for those that read it
   * faster than through `stream`. Absent when there is none.
   */
  readonly file?: { readonly path: string };
  /**
   * A file on disk that holds the content from this offset on, `size` bytes, beside other things: an
   * entry of an unpacked archive. For the same readers; absent when there is none, and where `file` is.
   */
  readonly slice?: { readonly path: string; readonly offset: number };
  /** Starts a new pass over the bytes. Chunks may be of any size and may be reused after each step. */
  stream(): AsyncIterable<Uint8Array>;
}

/** What all inodes have. */
interface InodeBase {
  /** Permission bits with set-uid, set-gid and sticky: 0..0o7777. */
  mode: number;
  uid: number;
  gid: number;
  /** Modification time: whole seconds since 1970, and nanoseconds 0..999999999. */
  mtime: number;
  mtimeNsec: number;
  /** Extended attributes by full name, such as `security.capability`. */
  xattrs: Map<string, Uint8Array>;
}

export interface RegularFile extends InodeBase {
  readonly kind: 'file';
  content: FileContent;
}
export interface Directory extends InodeBase {
  readonly kind: 'directory';
  /** Nothing says what it is like: it is there for what is below it. Whoever names it decides. */
  isImplied?: boolean;
  /** By name, in no particular order: use `sortedChildren`. */
  readonly children: Map<string, Inode>;
}
export interface Symlink extends InodeBase {
  readonly kind: 'symlink';
  readonly target: string;
}
export interface Device extends InodeBase {
  readonly kind: 'char-device' | 'block-device';
  readonly major: number;
  readonly minor: number;
}
export interface SpecialFile extends InodeBase {
  readonly kind: 'fifo' | 'socket';
}
/** Hard links are one `Inode` object under several names. */
export type Inode = RegularFile | Directory | Symlink | Device | SpecialFile;

/** Owner, mode and times of a new inode; what is left out is root's, 0 or the kind's usual mode. */
export interface InodeAttributes {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly mtimeNsec?: number;
}

/** What all inodes have, for those that are not made by the thousand. */
const base = (attributes: InodeAttributes, mode: number): InodeBase => ({
  mode: attributes.mode ?? mode,
  uid: attributes.uid ?? 0,
  gid: attributes.gid ?? 0,
  mtime: attributes.mtime ?? 0,
  mtimeNsec: attributes.mtimeNsec ?? 0,
  xattrs: new Map(),
});

export function directory(attributes: InodeAttributes = {}): Directory {
  return { kind: 'directory', children: new Map(), ...base(attributes, 0o755) };
}
export function regularFile(content: FileContent, attributes: InodeAttributes = {}): RegularFile {
  // Written out: spreading another object into this one takes ten times as long.
  return {
    kind: 'file',
    content,
    mode: attributes.mode ?? 0o644,
    uid: attributes.uid ?? 0,
    gid: attributes.gid ?? 0,
    mtime: attributes.mtime ?? 0,
    mtimeNsec: attributes.mtimeNsec ?? 0,
    xattrs: new Map(),
  };
}
export function symlink(target: string, attributes: InodeAttributes = {}): Symlink {
  return { kind: 'symlink', target, ...base(attributes, 0o777) };
}
export function device(
  kind: Device['kind'],
  major: number,
  minor: number,
  attributes: InodeAttributes = {},
): Device {
  return { kind, major, minor, ...base(attributes, 0o600) };
}
export function specialFile(
  kind: SpecialFile['kind'],
  attributes: InodeAttributes = {},
): SpecialFile {
  return { kind, ...base(attributes, 0o600) };
}

/** Content held in memory. */
export function bytesContent(bytes: Uint8Array): FileContent {
  return {
    size: bytes.length,
    // oxlint-disable-next-line typescript/require-await -- an async generator by contract
    async *stream() {
      if (bytes.length > 0) yield bytes;
    },
  };
}

/**
 * The order of two names' UTF-8 bytes. That of JavaScript's own comparison differs where a character
 * beyond U+FFFF, of two units from 0xd800 on, meets one of U+E000 to U+FFFF.
 */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const isPair = x >= 0xd800 && x < 0xe000;
    if (isPair !== (y >= 0xd800 && y < 0xe000)) {
      if (isPair && y >= 0xe000) return 1;
      if (!isPair && x >= 0xe000) return -1;
    }
    return x - y;
  }
  return a.length - b.length;
}

/** The children of a directory, ordered by the bytes of their names. */
export function sortedChildren(parent: Directory): [name: string, inode: Inode][] {
  return [...parent.children].sort(([a], [b]) => compareNames(a, b));
}

/** Calls `visit` for every path below `root` (and for `/` itself), parents first, in name order. */
export function walk(root: Directory, visit: (path: string, inode: Inode) => void): void {
  const step = (path: string, inode: Inode): void => {
    visit(path === '' ? '/' : path, inode);
    if (inode.kind !== 'directory') return;
    for (const [name, child] of sortedChildren(inode)) step(`${path}/${name}`, child);
  };
  step('', root);
}

/**
 * Splits an absolute path of the image into its names.
 *
 * @throws {RangeError} when it is not absolute, or a name is empty, `.`, `..`, holds NUL or `/`, or
 *   is longer than 255 bytes.
 */
export function splitPath(path: string): string[] {
  if (!path.startsWith('/')) throw new RangeError(`Cannot use path "${path}": it is not absolute`);
  if (path === '/') return [];
  const names = path.slice(1).split('/');
  for (const name of names) {
    const problem =
      name === ''
        ? 'it has an empty name'
        : name === '.' || name === '..'
          ? `it has a "${name}" segment`
          : name.includes('\0')
            ? 'it holds a NUL'
            : Buffer.byteLength(name) > 255
              ? 'a name is longer than 255 bytes'
              : undefined;
    if (problem !== undefined) throw new RangeError(`Cannot use path "${path}": ${problem}`);
  }
  return names;
}

/** The inode at an absolute path, or undefined. Symbolic links are not followed. */
export function findInode(root: Directory, path: string): Inode | undefined {
  let at: Inode | undefined = root;
  for (const name of splitPath(path)) {
    if (at?.kind !== 'directory') return undefined;
    at = at.children.get(name);
  }
  return at;
}
