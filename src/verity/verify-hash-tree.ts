/**
 * Checking data against a hash tree, from the root downwards as the kernel does: a digest counts
 * only when the block that holds it has been proved itself.
 *
 * Level by level and window by window: what is in memory depends on how much is corrupt, not on how
 * much there is.
 */

import { digestSize, equalBytes } from '../core/digest.ts';
import { FormatError } from '../core/errors.ts';
import { divCeil } from '../core/math.ts';
import { STREAM_CHUNK, type ByteSource } from '../io/byte-source.ts';
import { digestStride, nodeBlockHasher, type BlockHasher } from './block-hasher.ts';
import { hashSourceBlocks, windowBlocks } from './hash-source.ts';
import { hashTreeLevels, type HashTreeLayout } from './hash-tree-layout.ts';
import { hasherOf, type TreeParameters } from './tree-parameters.ts';

/** A block whose digest is not the one that a proved block, or the root, gives for it. */
export interface CorruptBlock {
  /** `data`, or the level of the hash block: 0 is next to the data. */
  readonly level: 'data' | number;
  /** Counts the blocks of that level, or of the data. */
  readonly index: number;
  readonly expected: Uint8Array;
  readonly actual: Uint8Array;
}

/** Data blocks of which nothing is known, since a hash block above them is corrupt. */
export interface UnprovedRange {
  readonly firstDataBlock: number;
  readonly dataBlocks: number;
}

export interface HashTreeReport {
  /** No block is corrupt, so every data block is proved by the root digest. */
  readonly intact: boolean;
  /** From the top level to the data, by index within a level: the first `maxListed` of them. */
  readonly corrupt: readonly CorruptBlock[];
  /** How many there are, listed or not. */
  readonly corruptBlocks: number;
  readonly unproved: readonly UnprovedRange[];
  readonly unprovedBlocks: number;
  /**
   * Proved hash blocks with other bytes than zeros where no digest is: whoever made the tree put them
   * there. The kernel does not mind, veritysetup does. The first `maxListed` of them.
   */
  readonly strayBytes: readonly { readonly level: number; readonly index: number }[];
  readonly dataBlocks: number;
  readonly treeSize: number;
}

interface VerifyOptions {
  readonly rootDigest: Uint8Array;
  /** Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher | undefined;
  /** Aborts reading and hashing; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** How many corrupt blocks are listed; the others are only counted. Default 10,000. */
  readonly maxListed?: number | undefined;
  /** Told how many bytes of the data are checked, after each window. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export type VerifyHashTreeOptions = VerifyOptions & TreeParameters;

/** The same with blocks of one size, 4096 bytes unless told, and no salt unless told. */
export type VerifySimpleTreeOptions = VerifyOptions &
  Pick<TreeParameters, 'algorithm'> & { readonly blockSize?: number; readonly salt?: Uint8Array };

/** Blocks `[first, end)` of one level. */
interface Span {
  readonly first: number;
  readonly end: number;
}

/**
 * Checks every block of `data` and of `tree` and reports those that are corrupt. Blocks under a
 * corrupt one are not read.
 *
 * @param data Its last block is padded with zeros.
 * @param tree Starts at the top level; may be longer than the tree.
 * @throws {FormatError} `truncated` when `tree` is too short, `bad-value` when the root digest has
 *   the wrong length.
 * @throws {RangeError} on block sizes that cannot be.
 */
export async function verifyHashTree(
  data: ByteSource,
  tree: ByteSource,
  given: VerifyHashTreeOptions | VerifySimpleTreeOptions,
): Promise<HashTreeReport> {
  const options = withDefaults(given);
  const { algorithm, dataBlockSize, hashBlockSize, salt, rootDigest, signal } = options;
  const { maxListed = 10_000 } = options;
  const hasher = hasherOf(options, options.hasher ?? nodeBlockHasher);
  const size = digestSize[algorithm];
  if (rootDigest.length !== size) {
    throw new FormatError(
      'dm-verity',
      'bad-value',
      `Cannot verify ${data.name}: its root digest has ${rootDigest.length} bytes, ${algorithm} gives ${size}`,
      { field: 'rootDigest' },
    );
  }
  const dataBlocks = divCeil(data.size, dataBlockSize);
  const layout = hashTreeLevels(dataBlocks, { ...options, blockSize: hashBlockSize });
  if (tree.size < layout.treeSize) {
    throw new FormatError(
      'dm-verity',
      'truncated',
      `Cannot verify ${data.name}: its hash tree takes ${layout.treeSize} bytes, found ${tree.size}`,
    );
  }
  const { digestStride: stride, digestsPerBlock } = layout;
  const aligned = digestStride(algorithm);
  // Then the digests of blocks in a row stand in the tree as the hasher gives them.
  const isDense = stride === aligned && digestsPerBlock * stride === hashBlockSize;
  const corrupt: CorruptBlock[] = [];
  const strayBytes: { level: number; index: number }[] = [];
  let corruptBlocks = 0;

  /** Compares the digests of some blocks with what the level above says. @returns those that agree. */
  const compare = (
    level: CorruptBlock['level'],
    { first, end }: Span,
    found: Uint8Array,
    above: Uint8Array,
  ): Span[] => {
    if (isDense) {
      const at = (first % digestsPerBlock) * stride;
      const length = (end - first) * stride;
      if (sameBytes(found.subarray(0, length), above.subarray(at, at + length))) {
        return [{ first, end }];
      }
    }
    const proved = openSpans();
    const firstAbove = Math.floor(first / digestsPerBlock);
    for (let index = first; index < end; index += 1) {
      const block = Math.floor(index / digestsPerBlock) - firstAbove;
      const at = block * hashBlockSize + (index % digestsPerBlock) * stride;
      const expected = above.subarray(at, at + size);
      const actual = found.subarray((index - first) * aligned, (index - first) * aligned + size);
      if (equalBytes(expected, actual)) {
        proved.add(index);
        continue;
      }
      corruptBlocks += 1;
      if (corrupt.length < maxListed) {
        corrupt.push({ level, index, expected: expected.slice(), actual: actual.slice() });
      }
    }
    return proved.spans;
  };

  /** The blocks of a level that hold the digests of `span` of the level below; the root for the top. */
  const readAbove = async (below: number, { first, end }: Span): Promise<Uint8Array> => {
    const place = layout.levels[below + 1];
    if (place === undefined) return rootDigest;
    const firstAbove = Math.floor(first / digestsPerBlock);
    const blocks = divCeil(end, digestsPerBlock) - firstAbove;
    return tree.read(place.offset + firstAbove * hashBlockSize, blocks * hashBlockSize);
  };

  let proved: readonly Span[] = [{ first: 0, end: Math.min(dataBlocks, 1) }];
  const chunk = STREAM_CHUNK / hashBlockSize;
  const treeParameters = { algorithm, blockSize: hashBlockSize, salt };
  for (const { level, offset, blocks } of layout.levels.toReversed()) {
    const next: Span[] = [];
    const found = new Uint8Array(Math.min(chunk, blocks) * aligned);
    for (const span of windows(proved, chunk)) {
      signal?.throwIfAborted();
      const count = span.end - span.first;
      const bytes = await tree.read(offset + span.first * hashBlockSize, count * hashBlockSize);
      await hasher.hashBlocks(treeParameters, bytes, found);
      const good = compare(level, span, found, await readAbove(level, span));
      for (const each of good) appendSpan(next, each);
      for (const index of strayBlocks(bytes, span, layout, level, good)) {
        if (strayBytes.length < maxListed) strayBytes.push({ level, index });
      }
    }
    const below = layout.levels[level]?.digests ?? 0;
    proved = next.map(({ first, end }) => ({
      first: first * digestsPerBlock,
      end: Math.min(end * digestsPerBlock, below),
    }));
  }

  const dataWindow = windowBlocks(dataBlockSize);
  const found = new Uint8Array(Math.min(dataWindow, dataBlocks) * aligned);
  const dataParameters = { algorithm, blockSize: dataBlockSize, salt };
  for (const span of windows(proved, dataWindow)) {
    const range = { first: span.first, blocks: span.end - span.first };
    await hashSourceBlocks(data, range, dataParameters, hasher, found, signal);
    compare('data', span, found, await readAbove(-1, span));
    options.onProgress?.(Math.min(span.end * dataBlockSize, data.size));
  }
  if (dataBlocks === 0 && rootDigest.some((byte) => byte !== 0)) {
    corruptBlocks += 1;
    corrupt.push({ level: 'data', index: 0, expected: rootDigest, actual: new Uint8Array(size) });
  }
  const unproved = gapsOf(proved, dataBlocks);
  return {
    intact: corruptBlocks === 0,
    corrupt,
    corruptBlocks,
    unproved,
    unprovedBlocks: unproved.reduce((sum, range) => sum + range.dataBlocks, 0),
    strayBytes,
    dataBlocks,
    treeSize: layout.treeSize,
  };
}

function withDefaults(
  options: VerifyHashTreeOptions | VerifySimpleTreeOptions,
): VerifyHashTreeOptions {
  if ('dataBlockSize' in options) return options;
  const { blockSize = 4096, salt = new Uint8Array(0) } = options;
  return { ...options, dataBlockSize: blockSize, hashBlockSize: blockSize, salt };
}

/** Public digests, compared many at a time. */
const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** Spans in ascending order, those that touch joined. */
function appendSpan(spans: Span[], { first, end }: Span): void {
  const last = spans.at(-1);
  if (last !== undefined && last.end === first)
    spans[spans.length - 1] = { first: last.first, end };
  else spans.push({ first, end });
}

function openSpans(): { readonly spans: Span[]; add(index: number): void } {
  const spans: { first: number; end: number }[] = [];
  return {
    spans,
    add(index) {
      const last = spans.at(-1);
      if (last !== undefined && last.end === index) last.end += 1;
      else spans.push({ first: index, end: index + 1 });
    },
  };
}

/** The spans cut into pieces of at most `size` blocks. */
function* windows(spans: readonly Span[], size: number): Generator<Span> {
  for (const span of spans) {
    for (let first = span.first; first < span.end; first += size) {
      yield { first, end: Math.min(first + size, span.end) };
    }
  }
}

/** What of the data no span covers. */
function gapsOf(spans: readonly Span[], dataBlocks: number): UnprovedRange[] {
  const gaps: UnprovedRange[] = [];
  let at = 0;
  for (const { first, end } of [...spans, { first: dataBlocks, end: dataBlocks }]) {
    if (first > at) gaps.push({ firstDataBlock: at, dataBlocks: first - at });
    at = end;
  }
  return gaps;
}

/** Which of the good blocks hold other bytes than zeros outside their digests. */
function* strayBlocks(
  bytes: Uint8Array,
  { first }: Span,
  layout: HashTreeLayout,
  level: number,
  good: readonly Span[],
): Generator<number> {
  const { blockSize, digestSize: size, digestStride: stride, digestsPerBlock } = layout;
  const { digests = 0, blocks = 0 } = layout.levels[level] ?? {};
  const isDense = size === stride && digestsPerBlock * stride === blockSize;
  const zeros = Buffer.alloc(blockSize);
  const isZero = (from: number, to: number): boolean =>
    zeros.subarray(0, to - from).equals(bytes.subarray(from, to));
  const isClean = (at: number, used: number): boolean => {
    if (!isZero(at + used * stride, at + blockSize)) return false;
    if (size === stride) return true;
    for (let slot = at; slot < at + used * stride; slot += stride) {
      if (!isZero(slot + size, slot + stride)) return false;
    }
    return true;
  };
  for (const span of good) {
    for (let index = span.first; index < span.end; index += 1) {
      if (isDense && index !== blocks - 1) continue;
      const at = (index - first) * blockSize;
      const used = Math.min(digestsPerBlock, digests - index * digestsPerBlock);
      if (!isClean(at, used)) yield index;
    }
  }
}
