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
  const known = await blocksThatDiffer(scope, a, b);
  if (known === undefined || known.length > 0 || scope.full) {
    const before = scope.total();
    const pair: ImagePair = {
      a: { image: sourceA, tree: a.tree },
      b: { image: sourceB, tree: b.tree },
      ranges: scope.full ? undefined : known,
      blockSize: a.tree?.dataBlockSize ?? BLOCK,
    };
    await compareErofs(scope, pair, origins);
    if (known !== undefined && known.length > 0 && scope.total() === before) {
      await tellUnowned(scope, a, b, known);
    }
  }
  await compareRest(scope, a, b);
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
    scope.found({ level: 'structure', field: 'hash tree', b: error.message });
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

/** Blocks differ, and no name, inode or file says why: bytes that nobody reads. */
async function tellUnowned(
  scope: Scope,
  a: Side,
  b: Side,
  ranges: readonly BlockRange[],
): Promise<void> {
  const size = a.tree?.dataBlockSize ?? BLOCK;
  const [first] = ranges;
  if (first === undefined) return;
  const part = ({ source }: Side): ByteSource =>
    sliceSource(
      source,
      Math.min(first.first * size, source.size),
      Math.max(0, Math.min(first.count * size, source.size - first.first * size)),
    );
  const at = await firstDifference(part(a), part(b), scope.signal);
  scope.found({
    level: 'bytes',
    field: 'unused space',
    a: `block ${first.first}`,
    b: `${ranges.length} ranges of blocks that no file owns`,
    ...(at !== undefined && { offset: first.first * size + at }),
  });
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
