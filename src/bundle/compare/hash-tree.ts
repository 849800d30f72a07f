/**
 * Where two images differ, by their hash trees: nothing of the data is read, and of the trees only what is on the
 * way to a difference. Every hash block is checked against the digest above it before it is believed.
 */

import { digestSize, equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import { divCeil } from '../../core/math.ts';
import type { HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { digestStride, nodeBlockHasher } from '../../verity/block-hasher.ts';
import { hashTreeLevels, type HashTreeLayout } from '../../verity/hash-tree-layout.ts';
import { isTreeAlgorithm } from '../../verity/superblock.ts';

/** A tree whose digests are read when they are asked for. */
export interface TreeView {
  readonly layout: HashTreeLayout;
  readonly dataBlockSize: number;
  /** Two trees with equal keys hash equal blocks to equal digests. */
  readonly key: string;
  /**
   * @param level 0 asks for the digest of a data block, the number of levels for the root digest.
   * @throws {FormatError} `bad-checksum` when the tree is not that of its root digest.
   */
  digest(level: number, index: number): Promise<Uint8Array>;
}

/** Blocks `[first, first + count)`. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
}

/** Hash blocks that are kept of each level. */
const KEPT = 32;
/** More ranges than these are joined: what lies between them is looked at too. */
const MAX_RANGES = 65_536;

/** @returns undefined when the descriptor names a tree that cannot be read, or has no digest. */
export function openTree(source: ByteSource, descriptor: HashtreeDescriptor): TreeView | undefined {
  const { hashAlgorithm, dataBlockSize, hashBlockSize, imageSize, treeOffset, salt, rootDigest } =
    descriptor;
  if (!isTreeAlgorithm(hashAlgorithm) || rootDigest.length !== digestSize[hashAlgorithm]) {
    return undefined;
  }
  if (dataBlockSize <= 0 || imageSize <= 0 || imageSize % dataBlockSize !== 0) return undefined;
  const parameters = { algorithm: hashAlgorithm, blockSize: hashBlockSize };
  let layout: HashTreeLayout;
  try {
    layout = hashTreeLevels(imageSize / dataBlockSize, parameters);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  if (treeOffset + layout.treeSize > source.size) return undefined;

  const kept = layout.levels.map(() => new Map<number, Promise<Uint8Array>>());
  const readNode = async (level: number, index: number): Promise<Uint8Array> => {
    const offset = treeOffset + (layout.levels[level]?.offset ?? 0) + index * hashBlockSize;
    const block = await source.read(offset, hashBlockSize);
    const digest = new Uint8Array(digestStride(hashAlgorithm));
    await nodeBlockHasher.hashBlocks({ ...parameters, salt }, block, digest);
    if (equalBytes(digest.subarray(0, layout.digestSize), await view.digest(level + 1, index))) {
      return block;
    }
    throw new FormatError(
      'verity',
      'bad-checksum',
      `Cannot use the hash tree of ${source.name}: a block of level ${level} is not the one of its digest`,
      { offset },
    );
  };
  const node = (level: number, index: number): Promise<Uint8Array> => {
    const known = kept[level];
    const block = known?.get(index) ?? readNode(level, index);
    known?.delete(index);
    known?.set(index, block);
    if (known !== undefined && known.size > KEPT) known.delete(known.keys().next().value ?? index);
    return block;
  };
  const view: TreeView = {
    layout,
    dataBlockSize,
    key: [hashAlgorithm, dataBlockSize, hashBlockSize, Buffer.from(salt).toString('hex')].join(),
    async digest(level, index) {
      if (level === layout.levels.length) return rootDigest;
      const { digestsPerBlock, digestStride: stride, digestSize: size } = layout;
      const block = await node(level, Math.floor(index / digestsPerBlock));
      const at = (index % digestsPerBlock) * stride;
      return block.subarray(at, at + size);
    },
  };
  return view;
}

/**
 * The data blocks that differ, or that only one has, in ascending order.
 *
 * @param a Must have the same `key` as `b`.
 * @throws {FormatError} `bad-checksum` as `TreeView.digest`.
 */
export async function differingBlocks(
  a: TreeView,
  b: TreeView,
  signal?: AbortSignal,
): Promise<BlockRange[]> {
  const ranges: { first: number; count: number }[] = [];
  const add = (first: number, count: number): void => {
    const last = ranges.at(-1);
    if (last !== undefined && (last.first + last.count === first || ranges.length >= MAX_RANGES)) {
      last.count = first + count - last.first;
    } else ranges.push({ first, count });
  };
  const perBlock = a.layout.digestsPerBlock;
  const common = Math.min(a.layout.dataBlocks, b.layout.dataBlocks);
  const top = Math.min(a.layout.levels.length, b.layout.levels.length);

  const descend = async (level: number, index: number): Promise<void> => {
    signal?.throwIfAborted();
    if (equalBytes(await a.digest(level, index), await b.digest(level, index))) return;
    if (level === 0) {
      add(index, 1);
      return;
    }
    const below = divCeil(common, perBlock ** (level - 1));
    const end = Math.min((index + 1) * perBlock, below);
    for (let child = index * perBlock; child < end; child += 1) await descend(level - 1, child);
  };
  const width = divCeil(common, perBlock ** top);
  for (let index = 0; index < width; index += 1) await descend(top, index);
  const longest = Math.max(a.layout.dataBlocks, b.layout.dataBlocks);
  if (longest > common) add(common, longest - common);
  return ranges;
}
