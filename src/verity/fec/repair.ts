/**
 * Correcting an image by its parity, proved by its hash tree.
 *
 * What the tree says is corrupt is known to be wrong: as many such blocks of a codeword as it has parity bytes are
 * corrected. Where that is not enough - other blocks of the codeword are wrong too, and a corrupt hash block hides
 * it - the errors are searched. A block is written only when its digest is the one that a proved block gives for
 * it, so nothing is ever made worse, and a corrected hash block proves what is below it in the next pass.
 */

import { equalBytes } from '../../core/digest.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { digestStride, nodeBlockHasher, type BlockHasher } from '../block-hasher.ts';
import { hashTreeLevels, type HashTreeLayout } from '../hash-tree-layout.ts';
import { hasherOf } from '../tree-parameters.ts';
import {
  verifyHashTree,
  type CorruptBlock,
  type HashTreeReport,
  type VerifyHashTreeOptions,
} from '../verify-hash-tree.ts';
import { CODEWORD, fecLayout, type FecLayout } from './layout.ts';
import { fecMatrix, type FecMatrix } from './matrix.ts';
import { decodeColumns, solveRows, syndromePlanes } from './reed-solomon.ts';

/** An image and its parity; what is written to the sinks must be read back from the sources. */
export interface RepairableImage {
  /** Whole blocks. */
  readonly data: ByteSource;
  /** The tree, and whatever metadata behind it the parity covers too. */
  readonly hashArea: ByteSource;
  /** The parity bytes; more may follow. */
  readonly parity: ByteSource;
  readonly dataSink: Pick<ImageSink, 'write'>;
  readonly hashAreaSink: Pick<ImageSink, 'write'>;
}

export interface RepairOptions extends VerifyHashTreeOptions {
  readonly roots: number;
}

export interface RepairResult {
  /** What the tree says in the end: success is `intact`, and nothing else. */
  readonly report: HashTreeReport;
  /** What was corrected and written, in that order. */
  readonly repaired: readonly Pick<CorruptBlock, 'level' | 'index'>[];
}

/** Corrupt blocks that are worked on in one pass over the image. */
const MAX_LISTED = 1 << 16;
/** How often, in all, a guess is made at a block that nothing is known of: each costs some milliseconds. */
const MAX_GUESSES = 4096;

/** A wrong guess leaves errors in most columns: after so many it is given up. */
const MAX_GUESS_SEARCHES = 16;

/** Rounds that are next to each other are read together, up to so many bytes of each row. */
const GROUP_BYTES = 1 << 16;

/**
 * Corrects what can be corrected. Data and tree must have blocks of one size.
 *
 * @throws {UsageError} on a number of roots that there is not.
 * @throws {FormatError} `truncated` when tree or parity are too short.
 */
export async function repairImage(
  image: RepairableImage,
  options: RepairOptions,
): Promise<RepairResult> {
  const { roots, dataBlockSize: blockSize, hashBlockSize } = options;
  if (blockSize !== hashBlockSize) {
    throw new RangeError('Cannot repair: data and hash blocks must have one size');
  }
  const layout = hashTreeLevels(image.data.size / blockSize, { ...options, blockSize });
  const fec = fecLayout(image.data.size + image.hashArea.size, blockSize, roots);
  const parity = sliceSource(image.parity, 0, fec.paritySize);
  const repaired: Pick<CorruptBlock, 'level' | 'index'>[] = [];
  const guesses = { left: MAX_GUESSES };
  for (;;) {
    const report = await verifyHashTree(image.data, image.hashArea, {
      maxListed: MAX_LISTED,
      ...options,
    });
    if (report.intact) return { report, repaired };
    const fixed = await repairListed(image, { report, layout, fec, parity, guesses }, options);
    if (fixed.length === 0) return { report, repaired };
    repaired.push(...fixed);
  }
}

interface Pass {
  readonly report: HashTreeReport;
  readonly layout: HashTreeLayout;
  readonly fec: FecLayout;
  readonly parity: ByteSource;
  readonly guesses: { left: number };
}

/** A corrupt block with its place in the matrix. */
interface Erasure {
  readonly block: CorruptBlock;
  readonly row: number;
  readonly round: number;
}

async function repairListed(
  image: RepairableImage,
  pass: Pass,
  options: RepairOptions,
): Promise<CorruptBlock[]> {
  const { report, layout, fec } = pass;
  const byRound = new Map<number, Erasure[]>();
  for (const block of report.corrupt) {
    const index = coveredIndex(block, layout);
    const round = index % fec.rounds;
    const erasure = { block, round, row: Math.floor(index / fec.rounds) };
    byRound.set(round, [...(byRound.get(round) ?? []), erasure]);
  }
  const rounds = [...byRound.keys()].sort((a, b) => a - b);
  const fixed: CorruptBlock[] = [];
  const matrix = fecMatrix([image.data, image.hashArea], fec);
  const groupRounds = Math.max(1, GROUP_BYTES / fec.blockSize);
  for (let at = 0; at < rounds.length;) {
    options.signal?.throwIfAborted();
    const first = rounds[at] ?? 0;
    let end = at;
    while (end < rounds.length && (rounds[end] ?? 0) < first + groupRounds) end += 1;
    const group = await readRounds(matrix, pass.parity, first, (rounds[end - 1] ?? first) + 1);
    for (; at < end; at += 1) {
      const round = rounds[at] ?? first;
      const found = await repairRound(group(round), byRound.get(round) ?? [], pass, options);
      for (const { block, bytes } of found) {
        await writeBlock(image, block, bytes, layout);
        fixed.push(block);
      }
    }
  }
  return fixed;
}

/** Counts the covered blocks: those of the data, then those of the tree from its top on. */
function coveredIndex({ level, index }: CorruptBlock, layout: HashTreeLayout): number {
  if (level === 'data') return index;
  const { offset = 0 } = layout.levels[level] ?? {};
  return layout.dataBlocks + offset / layout.blockSize + index;
}

function writeBlock(
  image: RepairableImage,
  { level, index }: CorruptBlock,
  bytes: Uint8Array,
  layout: HashTreeLayout,
): Promise<void> {
  const { blockSize } = layout;
  if (level === 'data') return image.dataSink.write(index * blockSize, bytes);
  const { offset = 0 } = layout.levels[level] ?? {};
  return image.hashAreaSink.write(offset + index * blockSize, bytes);
}

/** Reads rounds `[first, end)` of the matrix and of the parity. @returns one of them as 255 rows, the parity's last. */
export async function readRounds(
  matrix: FecMatrix,
  parity: ByteSource,
  first: number,
  end: number,
): Promise<(round: number) => Uint8Array> {
  const { rows, roots, blockSize } = matrix.layout;
  const width = (end - first) * blockSize;
  const columns = new Uint8Array(rows * width);
  await matrix.readColumns(first * blockSize, width, columns);
  const stored = await parity.read(first * blockSize * roots, width * roots);
  return (round) => {
    const start = (round - first) * blockSize;
    const codewords = new Uint8Array(CODEWORD * blockSize);
    for (let row = 0; row < rows; row += 1) {
      const from = row * width + start;
      codewords.set(columns.subarray(from, from + blockSize), row * blockSize);
    }
    for (let column = 0; column < blockSize; column += 1) {
      for (let root = 0; root < roots; root += 1) {
        const byte = stored[(start + column) * roots + root] ?? 0;
        codewords[(rows + root) * blockSize + column] = byte;
      }
    }
    return codewords;
  };
}

/** Blocks of one round that could be corrected, with their bytes. */
async function repairRound(
  codewords: Uint8Array,
  erasures: readonly Erasure[],
  pass: Pass,
  options: RepairOptions,
): Promise<{ readonly block: CorruptBlock; readonly bytes: Uint8Array }[]> {
  const { roots, blockSize } = pass.fec;
  const found = new Map<CorruptBlock, Uint8Array>();
  const known = erasures.map(({ row }) => row);
  const isProved = proverOf(options);
  const keepProved = async (
    rowAt: (erasure: Erasure, i: number) => Uint8Array,
  ): Promise<boolean> => {
    for (const [i, erasure] of erasures.entries()) {
      const { block } = erasure;
      if (found.has(block)) continue;
      const bytes = rowAt(erasure, i);
      if (await isProved(block, bytes)) found.set(block, bytes.slice());
    }
    return found.size === erasures.length;
  };
  let syndromes: Uint8Array | undefined;
  const attempt = (erased: readonly number[], maxSearches?: number): Promise<boolean> => {
    const trial = codewords.slice();
    syndromes ??= syndromePlanes(codewords, blockSize, roots);
    decodeColumns(trial, blockSize, roots, erased, syndromes, maxSearches);
    return keepProved(({ row }) => trial.subarray(row * blockSize, (row + 1) * blockSize));
  };
  const result = (): { block: CorruptBlock; bytes: Uint8Array }[] =>
    [...found].map(([block, bytes]) => ({ block, bytes }));

  if (known.length <= roots) {
    const rows = solveRows(codewords, blockSize, known);
    const solved = await keepProved((_, i) => rows.subarray(i * blockSize, (i + 1) * blockSize));
    if (solved || (await attempt(known))) return result();
  }
  if (await attempt([])) return result();
  if (known.length >= roots) return result();
  // One more of the blocks that nothing is known of may be wrong: each is tried.
  for (const row of unprovedRows(erasures[0]?.round ?? 0, pass)) {
    options.signal?.throwIfAborted();
    if (known.includes(row)) continue;
    if (pass.guesses.left === 0) break;
    pass.guesses.left -= 1;
    if (await attempt([...known, row], MAX_GUESS_SEARCHES)) break;
  }
  return result();
}

/** Tells whether bytes are those that a block's digest stands for. */
function proverOf(
  options: RepairOptions,
): (block: CorruptBlock, bytes: Uint8Array) => Promise<boolean> {
  const { algorithm, salt, dataBlockSize: blockSize } = options;
  const hasher: BlockHasher = hasherOf(options, options.hasher ?? nodeBlockHasher);
  const digest = new Uint8Array(digestStride(algorithm));
  return async ({ expected }, bytes) => {
    await hasher.hashBlocks({ algorithm, blockSize, salt }, bytes, digest);
    return equalBytes(expected, digest.subarray(0, expected.length));
  };
}

/** Rows of a round whose blocks the tree could not prove: data below corrupt blocks, metadata, parity. */
function* unprovedRows(round: number, { report, layout, fec }: Pass): Generator<number> {
  const { dataBlocks, treeSize, blockSize } = layout;
  const coveredTree = dataBlocks + treeSize / blockSize;
  const levelsBelow = report.corrupt.some(({ level }) => level !== 'data' && level > 0);
  for (let row = 0; row < CODEWORD; row += 1) {
    const index = row * fec.rounds + round;
    if (row >= fec.rows || index >= coveredTree) yield row;
    else if (index >= dataBlocks) {
      // Hash blocks below a corrupt one are not known either; that of others costs a try for nothing.
      if (levelsBelow) yield row;
    } else if (
      report.unproved.some(
        (range) => index >= range.firstDataBlock && index < range.firstDataBlock + range.dataBlocks,
      )
    ) {
      yield row;
    }
  }
}
