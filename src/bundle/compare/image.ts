/** Compares two file system images with what dm-verity and AVB put behind them. */

import { equalBytes, toHex } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import type { HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta } from '../../formats/avb/vbmeta.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { ImagePair } from './blocks.ts';
import { firstDifference } from './bytes.ts';
import { compareErofs, type OriginOf } from './erofs.ts';
import { differingBlocks, openTree, type BlockRange, type TreeView } from './hash-tree.ts';
import { namedCause } from './causes.ts';
import type { Scope } from './recorder.ts';
import { compareVbmeta } from './vbmeta.ts';

export interface Origins {
  readonly a?: OriginOf | undefined;
  readonly b?: OriginOf | undefined;
}

interface Side {
  readonly source: ByteSource;
  readonly descriptor: HashtreeDescriptor | undefined;
  readonly hasFooter: boolean;
  readonly tree: TreeView | undefined;
}

const BLOCK = 4096;

async function sideOf(source: ByteSource): Promise<Side> {
  try {
    const { bytes, footer } = await readVbmeta(source);
    const descriptor = decodeVbmeta(bytes).descriptors.find(
      (each): each is HashtreeDescriptor => each.kind === 'hashtree',
    );
    const tree = descriptor && openTree(source, descriptor);
    return { source, descriptor, hasFooter: footer !== undefined, tree };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { source, descriptor: undefined, hasFooter: false, tree: undefined };
  }
}

/**
 * Compares EROFS images, with or without a hash tree and a footer.
 *
 * @throws {FormatError} when one cannot be read.
 */
export async function compareImages(
  scope: Scope,
  sourceA: ByteSource,
  sourceB: ByteSource,
  origins: Origins = {},
): Promise<void> {
  const [a, b] = [await sideOf(sourceA), await sideOf(sourceB)];
  const before = scope.told();
  const known = await blocksThatDiffer(scope, a, b);
  if (known === undefined || known.length > 0 || scope.full) {
    const pair: ImagePair = {
      a: { image: sourceA, tree: a.tree },
      b: { image: sourceB, tree: b.tree },
      ranges: scope.full ? undefined : known,
      blockSize: a.tree?.dataBlockSize ?? BLOCK,
    };
    await compareErofs(scope, pair, origins);
    // Checksums and sizes follow from something: what no file says is told as bytes.
    if (scope.told().origins === before.origins) await tellUnowned(scope, a, b, known);
  }
  await compareRest(scope, a, b);
}

/** Whether a block of a tree is not the one of its digest. */
async function isBroken(tree: TreeView): Promise<boolean> {
  try {
    for (let index = 0; index < tree.layout.dataBlocks; index += tree.layout.digestsPerBlock) {
      await tree.digest(0, index);
    }
    return false;
  } catch (error) {
    if (error instanceof FormatError) return true;
    throw error;
  }
}

/** @returns undefined when the trees do not say. */
async function blocksThatDiffer(
  scope: Scope,
  a: Side,
  b: Side,
): Promise<readonly BlockRange[] | undefined> {
  const [x, y] = [a.descriptor, b.descriptor];
  if (x === undefined || y === undefined) return undefined;
  if (!equalBytes(x.salt, y.salt)) {
    scope.found({
      level: 'content',
      field: 'salt',
      a: toHex(x.salt),
      b: toHex(y.salt),
      cause: namedCause('random-salt', 'a salt comes from a name, or from chance'),
    });
  }
  if (!equalBytes(x.rootDigest, y.rootDigest)) {
    scope.found({
      level: 'member',
      nature: 'consequence',
      field: 'root_digest',
      a: toHex(x.rootDigest),
      b: toHex(y.rootDigest),
    });
  }
  if (a.tree === undefined || b.tree === undefined || a.tree.key !== b.tree.key) return undefined;
  let ranges: readonly BlockRange[];
  try {
    ranges = await differingBlocks(a.tree, b.tree, scope.signal);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const isOfA = await isBroken(a.tree);
    scope.found({
      level: 'structure',
      field: 'hash tree',
      ...(isOfA && { a: error.message }),
      ...((!isOfA || (await isBroken(b.tree))) && { b: error.message }),
    });
    return undefined;
  }
  const [first] = ranges;
  if (first !== undefined) {
    const count = ranges.reduce((sum, range) => sum + range.count, 0);
    const total = Math.max(a.tree.layout.dataBlocks, b.tree.layout.dataBlocks);
    scope.found({
      level: 'member',
      nature: 'consequence',
      field: 'blocks',
      a: `${a.tree.layout.dataBlocks} blocks`,
      b: `${count} of ${total} blocks differ, first ${first.first}`,
      offset: first.first * a.tree.dataBlockSize,
    });
  }
  return ranges;
}

/** What the file system and its hash tree are over: all of an image that has neither tree nor footer. */
const imageOf = ({ source, descriptor }: Side): ByteSource =>
  sliceSource(source, 0, Math.min(descriptor?.imageSize ?? source.size, source.size));

/**
 * No name, inode or file differs: if bytes do, nobody reads them. If they do not, digests are not those of the bytes.
 *
 * @param known What differs, if trees say it and are believed.
 */
async function tellUnowned(
  scope: Scope,
  a: Side,
  b: Side,
  known: readonly BlockRange[] | undefined,
): Promise<void> {
  const size = a.tree?.dataBlockSize ?? BLOCK;
  const [x, y] = [imageOf(a), imageOf(b)];
  const all = [{ first: 0, count: Math.ceil(Math.max(x.size, y.size) / size) }];
  for (const { first, count } of (scope.full ? undefined : known) ?? all) {
    const from = first * size;
    const part = (image: ByteSource): ByteSource =>
      sliceSource(
        image,
        Math.min(from, image.size),
        Math.max(0, Math.min(count * size, image.size - from)),
      );
    const at = await firstDifference(part(x), part(y), scope.signal);
    if (at === undefined) continue;
    const offset = from + at;
    const show = (image: ByteSource): string =>
      offset < image.size ? `block ${Math.floor(offset / size)}` : `${image.size} bytes`;
    scope.found({ level: 'bytes', field: 'unused space', a: show(x), b: show(y), offset });
    return;
  }
  const [p, q] = [a.descriptor, b.descriptor];
  const isStated = p !== undefined && q !== undefined && equalBytes(p.salt, q.salt);
  if (isStated && !equalBytes(p.rootDigest, q.rootDigest)) {
    scope.found({
      level: 'content',
      field: 'root_digest',
      a: toHex(p.rootDigest),
      b: `${toHex(q.rootDigest)}, of the same blocks`,
    });
  }
}

/** What stands behind the file system: the tree, parity, vbmeta and footer. */
async function compareRest(scope: Scope, a: Side, b: Side): Promise<void> {
  const [x, y] = [a.descriptor, b.descriptor];
  if (a.hasFooter !== b.hasFooter) {
    const text = (has: boolean): string => (has ? 'AVB footer' : 'none');
    scope.found({ level: 'member', field: 'footer', a: text(a.hasFooter), b: text(b.hasFooter) });
    return;
  }
  if (a.hasFooter) await compareVbmeta(scope.at('vbmeta'), a.source, b.source, false);
  if (x === undefined || y === undefined) return;
  const isSame = equalBytes(x.rootDigest, y.rootDigest) && x.imageSize === y.imageSize;
  if (!isSame) return;
  for (const [name, part] of [
    ['hash tree', (of: HashtreeDescriptor) => [of.treeOffset, of.treeSize] as const],
    ['parity', (of: HashtreeDescriptor) => [of.fecOffset, of.fecSize] as const],
  ] as const) {
    const slice = ({ source }: Side, of: HashtreeDescriptor): ByteSource => {
      const [offset, size] = part(of);
      const start = Math.min(offset, source.size);
      return sliceSource(source, start, Math.min(size, source.size - start));
    };
    const offset = await firstDifference(slice(a, x), slice(b, y), scope.signal);
    if (offset !== undefined) scope.found({ level: 'bytes', field: name, offset });
  }
}
