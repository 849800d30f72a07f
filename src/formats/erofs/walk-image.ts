/**
 * Every name of an image with its inode, parents first, one directory at a time: for those who look
 * at images that need not be whole.
 */

import { FormatError } from '../../core/errors.ts';
import type { ErofsDirent } from './directory.ts';
import type { ErofsInode } from './inode.ts';
import type { ErofsReader } from './reader.ts';
import { bad } from './superblock.ts';

/** Deeper trees than a path can name (PATH_MAX) would only exhaust those who walk them. */
export const MAX_DEPTH = 2048;

/** A name of the image. */
export interface WalkedName {
  /** Absolute; `/` for the root. */
  readonly path: string;
  readonly inode: ErofsInode;
  /** Of the directory that holds the name; of the root, itself. */
  readonly parent: ErofsInode;
  /** Undefined for the root. */
  readonly entry: ErofsDirent | undefined;
  /** Whether the inode has not been seen under another name. */
  readonly isFirst: boolean;
}

interface Open {
  readonly path: string;
  readonly inode: ErofsInode;
  readonly entries: AsyncIterator<ErofsDirent>;
}

/**
 * Walks depth first, in the order of the directories. `.` and `..` are left out; directories are
 * entered under their first name only, so that every walk ends.
 *
 * @param onProblem Is told what cannot be read, with the path where it was met; the walk goes on
 *   behind it. Without it the first problem is thrown.
 */
export async function* walkImage(
  reader: ErofsReader,
  onProblem: (path: string, error: FormatError) => void = throwIt,
): AsyncGenerator<WalkedName> {
  const seen = new Set<number>([reader.root.nid]);
  // Honest directories share no bytes, so together they fit the image.
  let budget = reader.geometry.imageSize;
  const opened: Open[] = [];
  const open = (path: string, inode: ErofsInode): void => {
    budget -= inode.size;
    if (budget < 0) {
      const problem = 'its directories take more bytes than the image has';
      onProblem(path, bad('too-large', problem, { offset: inode.offset, field: 'i_size' }));
      return;
    }
    if (opened.length >= MAX_DEPTH) {
      onProblem(path, bad('too-large', `directories are nested over ${MAX_DEPTH} deep`));
      return;
    }
    const listed = reader.listDirectory(inode, (error) => onProblem(path, error));
    const entries = listed[Symbol.asyncIterator]();
    opened.push({ path, inode, entries });
  };

  yield { path: '/', inode: reader.root, parent: reader.root, entry: undefined, isFirst: true };
  open('/', reader.root);
  for (let at = opened.at(-1); at !== undefined; at = opened.at(-1)) {
    const directory = at;
    const next = await tolerate(directory.path, onProblem, () => directory.entries.next());
    if (next === undefined || next.done === true) {
      opened.pop();
      continue;
    }
    const entry = next.value;
    if (entry.name === '.' || entry.name === '..') continue;
    const path = `${directory.path === '/' ? '' : directory.path}/${entry.name}`;
    const inode = await tolerate(path, onProblem, () => reader.readInode(entry.nid));
    if (inode === undefined) continue;
    const isFirst = !seen.has(inode.nid);
    seen.add(inode.nid);
    yield { path, inode, parent: directory.inode, entry, isFirst };
    if (isFirst && inode.kind === 'directory') open(path, inode);
  }
}

function throwIt(_path: string, error: FormatError): never {
  throw error;
}

/** The result, or undefined when the problem was told. */
async function tolerate<T>(
  path: string,
  onProblem: (path: string, error: FormatError) => void,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    onProblem(path, error);
    return undefined;
  }
}
