/**
 * Checking data against a hash tree, from the root downwards as the kernel does: a digest counts
 * only when the block that holds it has been proved itself.
 */

import { digestSize, equalBytes } from '../core/digest.ts';
import { FormatError } from '../core/errors.ts';
import { divCeil } from '../core/math.ts';
import { STREAM_CHUNK, type ByteSource } from '../io/byte-source.ts';
import { hashParameters, readBlocks, type HashTreeOptions } from './hash-tree.ts';
import { hashTreeLevels, type HashTreeLayout } from './hash-tree-layout.ts';

/** A block whose digest is not the one that a proved block, or the root, gives for it. */
interface CorruptBlock {
  /** `data`, or the level of the hash block: 0 is next to the data. */
  readonly level: 'data' | number;
  /** Counts the blocks of that level, or of the data. */
  readonly index: number;
  readonly expected: Uint8Array;
  readonly actual: Uint8Array;
}

/** Data blocks of which nothing is known, since a hash block above them is corrupt. */
interface UnprovedRange {
  readonly firstDataBlock: number;
  readonly dataBlocks: number;
}

export interface HashTreeReport {
  /** No block is corrupt, so every data block is proved by the root digest. */
  readonly intact: boolean;
  /** From the top level to the data, by index within a level. */
  readonly corrupt: readonly CorruptBlock[];
  readonly unproved: readonly UnprovedRange[];
  readonly dataBlocks: number;
  readonly treeSize: number;
}

export interface VerifyHashTreeOptions extends HashTreeOptions {
  readonly rootDigest: Uint8Array;
}

/** Proved blocks of one level and, when it is a hash level, their bytes. */
interface Parents {
  readonly digests: Uint8Array;
  isProved(block: number): boolean;
}

/**
 * Checks every block of `data` and of `tree` and reports all that are corrupt.
 *
 * @param data Its last block is padded with zeros.
 * @param tree Starts at the top level; may be longer than the tree.
 * @throws {FormatError} `truncated` when `tree` is too short, `bad-value` when the root digest has
 *   the wrong length.
 */
export async function verifyHashTree(
  data: ByteSource,
  tree: ByteSource,
  options: VerifyHashTreeOptions,
): Promise<HashTreeReport> {
  const { parameters, hasher } = hashParameters(options);
  const { blockSize, algorithm } = parameters;
  const { rootDigest } = options;
  const size = digestSize[algorithm];
  if (rootDigest.length !== size) {
    throw new FormatError(
      'dm-verity',
      'bad-value',
      `Cannot verify ${data.name}: its root digest has ${rootDigest.length} bytes, ${algorithm} gives ${size}`,
      { field: 'rootDigest' },
    );
  }
  const layout = hashTreeLevels(divCeil(data.size, blockSize), parameters);
  if (tree.size < layout.treeSize) {
    throw new FormatError(
      'dm-verity',
      'truncated',
      `Cannot verify ${data.name}: its hash tree takes ${layout.treeSize} bytes, found ${tree.size}`,
    );
  }
  const stride = layout.digestStride;
  const digestsPerBlock = blockSize / stride;
  const corrupt: CorruptBlock[] = [];
  const unproved: UnprovedRange[] = [];

  /** Hashes the proved part of one level and compares it with what the level above says. */
  const checkLevel = async (
    level: CorruptBlock['level'],
    blocks: number,
    read: (at: number, length: number) => Promise<Uint8Array>,
    parents: Parents,
  ): Promise<Uint8Array> => {
    const proved = new Uint8Array(blocks);
    const found = new Uint8Array((STREAM_CHUNK / blockSize) * stride);
    for (let first = 0; first < blocks; first += STREAM_CHUNK / blockSize) {
      options.signal?.throwIfAborted();
      const count = Math.min(STREAM_CHUNK / blockSize, blocks - first);
      const bytes = await read(first * blockSize, count * blockSize);
      await hasher.hashBlocks(parameters, bytes, found);
      for (let i = 0; i < count; i += 1) {
        const index = first + i;
        if (!parents.isProved(Math.floor(index / digestsPerBlock))) continue;
        const expected = parents.digests.subarray(index * stride, index * stride + size);
        const actual = found.subarray(i * stride, i * stride + size);
        if (equalBytes(expected, actual)) {
          proved[index] = 1;
        } else {
          corrupt.push({ level, index, expected: expected.slice(), actual: actual.slice() });
          if (level !== 'data') unproved.push(coveredData(layout, level, index));
        }
      }
    }
    return proved;
  };

  let parents: Parents = { digests: rootDigest, isProved: () => true };
  for (const { level, offset, blocks } of layout.levels.toReversed()) {
    const bytes = await tree.read(offset, blocks * blockSize);
    const read = (at: number, length: number): Promise<Uint8Array> =>
      Promise.resolve(bytes.subarray(at, at + length));
    const proved = await checkLevel(level, blocks, read, parents);
    parents = { digests: bytes, isProved: (block) => proved[block] === 1 };
  }
  const readData = (at: number, length: number): Promise<Uint8Array> =>
    readBlocks(data, at, length, blockSize);
  await checkLevel('data', layout.dataBlocks, readData, parents);
  if (layout.dataBlocks === 0 && rootDigest.some((byte) => byte !== 0)) {
    corrupt.push({ level: 'data', index: 0, expected: rootDigest, actual: new Uint8Array(size) });
  }
  return {
    intact: corrupt.length === 0,
    corrupt,
    unproved: unproved.toSorted((a, b) => a.firstDataBlock - b.firstDataBlock),
    dataBlocks: layout.dataBlocks,
    treeSize: layout.treeSize,
  };
}

function coveredData(layout: HashTreeLayout, level: number, index: number): UnprovedRange {
  const span = (layout.blockSize / layout.digestStride) ** (level + 1);
  const firstDataBlock = index * span;
  return { firstDataBlock, dataBlocks: Math.min(span, layout.dataBlocks - firstDataBlock) };
}
