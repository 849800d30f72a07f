/** Names of an image with what `ls -l` tells of them. */

import { findErofsPath } from './find-path.ts';
import type { ErofsInode } from './inode.ts';
import { dataLayoutNames, decodeDevice } from './layout.ts';
import type { ErofsReader } from './reader.ts';
import { walkImage } from './walk-image.ts';

export interface ErofsListing {
  /** Absolute. */
  readonly path: string;
  readonly nid: number;
  readonly kind: ErofsInode['kind'];
  /** As `ls` writes it: `-rwxr-xr-x`. */
  readonly modeText: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly size: number;
  /** ISO 8601 with nanoseconds, in UTC, or seconds where no year of four digits does. */
  readonly modified: string;
  readonly target: string | undefined;
  readonly device: string | undefined;
  readonly dataLayout: string;
}

/**
 * Lists a directory, or one other file.
 *
 * @param path Absolute.
 * @param isRecursive Whether to go on into directories below.
 * @throws {UsageError} `input` when there is no such path.
 * @throws {FormatError} when what is listed is not usable.
 */
export async function* listErofs(
  reader: ErofsReader,
  path: string,
  isRecursive: boolean,
): AsyncGenerator<ErofsListing> {
  const root = await findErofsPath(reader, path);
  if (root.kind !== 'directory') {
    yield statErofs(reader, path, root);
    return;
  }
  const base = path.replace(/\/+$/, '');
  if (isRecursive) {
    for await (const name of walkImage({ ...reader, root })) {
      if (name.entry === undefined) continue;
      yield statErofs(reader, base + name.path, name.inode);
    }
    return;
  }
  for await (const { name, nid } of reader.listDirectory(root)) {
    if (name === '.' || name === '..') continue;
    yield statErofs(reader, `${base}/${name}`, await reader.readInode(nid));
  }
}

/** All that is known of an inode without its data. */
export async function statErofs(
  reader: ErofsReader,
  path: string,
  inode: ErofsInode,
): Promise<ErofsListing> {
  const { nid, kind, mode, uid, gid, nlink, size } = inode;
  const { mtime, mtimeNsec } = reader.modificationTime(inode);
  const isDevice = kind === 'char-device' || kind === 'block-device';
  const { major, minor } = decodeDevice(inode.union);
  return {
    path,
    nid,
    kind,
    modeText: modeText(kind, mode),
    mode,
    uid,
    gid,
    links: nlink,
    size,
    modified: timeText(mtime, mtimeNsec),
    target: kind === 'symlink' ? await reader.readSymlink(inode) : undefined,
    device: isDevice ? `${major}:${minor}` : undefined,
    dataLayout: dataLayoutNames[inode.dataLayout] ?? String(inode.dataLayout),
  };
}

const kindLetters: Readonly<Record<ErofsInode['kind'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  'char-device': 'c',
  'block-device': 'b',
  fifo: 'p',
  socket: 's',
};

function modeText(kind: ErofsInode['kind'], mode: number): string {
  const special: readonly [bit: number, letter: string][] = [
    [0o4000, 's'],
    [0o2000, 's'],
    [0o1000, 't'],
  ];
  const groups = special.map(([bit, letter], index) => {
    const bits = (mode >> (6 - index * 3)) & 7;
    const runs = (bits & 1) !== 0;
    const last = (mode & bit) === 0 ? (runs ? 'x' : '-') : runs ? letter : letter.toUpperCase();
    return `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${last}`;
  });
  return kindLetters[kind] + groups.join('');
}

function timeText(seconds: number, nsec: number): string {
  const fraction = String(nsec).padStart(9, '0');
  const isDate = seconds >= -62_135_596_800 && seconds < 253_402_300_800;
  if (!isDate) return `${seconds}.${fraction}`;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}Z`;
}
