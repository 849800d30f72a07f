/**
 * Compares two EROFS images name by name, walking both at once. Data is compared where it stands: by the digests of
 * the hash trees where both have such, else by its bytes; only what differs is read further.
 */

import { compareNames } from '../../io/file-tree.ts';
import type { ErofsDirent } from '../../formats/erofs/directory.ts';
import type { ErofsInode } from '../../formats/erofs/inode.ts';
import { openErofs, type ErofsReader } from '../../formats/erofs/reader.ts';
import { MAX_DEPTH } from '../../formats/erofs/walk-image.ts';
import { FormatError } from '../../core/errors.ts';
import type { ImagePair } from './blocks.ts';
import { compareInodes, tellInode, type Sides } from './erofs-inode.ts';
import { compareSuperblocks } from './erofs-superblock.ts';
import type { InputPlace } from './finding.ts';
import type { Scope } from './recorder.ts';

/** Where the names of an image come from, by their place in the walk. */
export type OriginOf = (name: number) => InputPlace | undefined;

/** One image's part of the walk. */
interface Walk {
  readonly reader: ErofsReader;
  readonly seen: Set<number>;
  readonly originOf: OriginOf;
  /** Names met so far, the root among them. */
  count: number;
}

interface Met {
  readonly inode: ErofsInode;
  readonly isFirst: boolean;
  readonly input: InputPlace | undefined;
}

function meet(walk: Walk, inode: ErofsInode): Met {
  const isFirst = !walk.seen.has(inode.nid);
  const input = walk.originOf(walk.count);
  walk.count += 1;
  walk.seen.add(inode.nid);
  return { inode, isFirst, input };
}

type Entries = AsyncIterator<ErofsDirent>;

interface Level {
  readonly path: string;
  readonly a: Entries | undefined;
  readonly b: Entries | undefined;
  nextA: ErofsDirent | undefined;
  nextB: ErofsDirent | undefined;
}

/** The next name that is one. */
async function advance(entries: Entries | undefined): Promise<ErofsDirent | undefined> {
  if (entries === undefined) return undefined;
  for (;;) {
    const next = await entries.next();
    if (next.done === true) return undefined;
    if (next.value.name !== '.' && next.value.name !== '..') return next.value;
  }
}

/**
 * @param pair The images, with what their hash trees say.
 * @param origins Of each image, where it is known.
 * @throws {FormatError} when one of them cannot be read any further.
 */
export async function compareErofs(
  scope: Scope,
  pair: ImagePair,
  origins: { readonly a?: OriginOf | undefined; readonly b?: OriginOf | undefined } = {},
): Promise<void> {
  const unknown: OriginOf = () => undefined;
  const walkOf = async (side: 'a' | 'b'): Promise<Walk> => ({
    reader: await openErofs(pair[side].image, () => undefined),
    seen: new Set(),
    originOf: origins[side] ?? unknown,
    count: 0,
  });
  const [a, b] = [await walkOf('a'), await walkOf('b')];
  const before = scope.told();
  compareSuperblocks(scope, a.reader, b.reader);
  const sides: Sides = { a: a.reader, b: b.reader, pair, moved: 0 };
  const levels: Level[] = [];
  /** Two inodes with further names, that were compared under another one. */
  const compared = new Set<string>();

  const open = async (
    path: string,
    x: ErofsInode | undefined,
    y: ErofsInode | undefined,
  ): Promise<void> => {
    if (levels.length >= MAX_DEPTH) {
      throw new FormatError('erofs', 'too-large', `Cannot compare: ${path} is nested too deep`);
    }
    const entriesOf = (walk: Walk, inode: ErofsInode | undefined): Entries | undefined =>
      inode && walk.reader.listDirectory(inode)[Symbol.asyncIterator]();
    const level: Level = {
      path,
      a: entriesOf(a, x),
      b: entriesOf(b, y),
      nextA: undefined,
      nextB: undefined,
    };
    level.nextA = await advance(level.a);
    level.nextB = await advance(level.b);
    levels.push(level);
  };

  const visit = async (
    path: string,
    x: ErofsInode | undefined,
    y: ErofsInode | undefined,
  ): Promise<void> => {
    const [left, right] = [x && meet(a, x), y && meet(b, y)];
    const inner = scope.at(path, right?.input ?? left?.input);
    if (left !== undefined && right !== undefined) {
      // Of a further name of two that were compared nothing new can be said; of two others all can.
      const met = `${left.inode.nid}:${right.inode.nid}`;
      const isFirst = left.isFirst || right.isFirst;
      const isNew = isFirst || !compared.has(met);
      // Most inodes have one name, and need not be remembered; those that lie about it are the second time.
      if (!isFirst || (left.inode.nlink > 1 && right.inode.nlink > 1)) compared.add(met);
      if (isNew) await compareInodes(inner, sides, left.inode, right.inode);
    } else if (left !== undefined) await tellInode(inner, a.reader, left.inode, 'removed');
    else if (right !== undefined) await tellInode(inner, b.reader, right.inode, 'added');
    const folder = (met: Met | undefined): ErofsInode | undefined =>
      met?.inode.kind === 'directory' && met.isFirst ? met.inode : undefined;
    const [dirA, dirB] = [folder(left), folder(right)];
    if (dirA !== undefined || dirB !== undefined) await open(path, dirA, dirB);
  };

  await visit('/', a.reader.root, b.reader.root);
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    scope.signal?.throwIfAborted();
    const { nextA, nextB } = level;
    if (nextA === undefined && nextB === undefined) {
      levels.pop();
      continue;
    }
    const order =
      nextA === undefined ? 1 : nextB === undefined ? -1 : compareNames(nextA.name, nextB.name);
    const [x, y] = [order <= 0 ? nextA : undefined, order >= 0 ? nextB : undefined];
    if (x !== undefined) level.nextA = await advance(level.a);
    if (y !== undefined) level.nextB = await advance(level.b);
    const path = `${level.path === '/' ? '' : level.path}/${(x ?? y)?.name ?? ''}`;
    await visit(
      path,
      x && (await a.reader.readInode(x.nid)),
      y && (await b.reader.readInode(y.nid)),
    );
  }
  if (sides.moved > 0) {
    scope.found({
      level: 'structure',
      // Of what else differs, or of the program that laid them out.
      nature: scope.told().origins > before.origins ? 'consequence' : 'origin',
      field: 'places',
      b: `${sides.moved} inodes or their data stand elsewhere`,
    });
  }
}
