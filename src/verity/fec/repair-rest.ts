/**
 * The rest of an image whose tree verifies: parity that is wrong itself, and metadata behind the tree that parity
 * covers and no digest does.
 */

import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { fecLayout, type FecLayout } from './layout.ts';
import { fecMatrix } from './matrix.ts';
import { wrongRounds, type ParityOptions } from './parity.ts';
import { decodeColumns } from './reed-solomon.ts';
import { readRounds, type RepairableImage } from './repair.ts';
import { tableFecEncoder } from './table-encoder.ts';

export interface RepairRestOptions extends ParityOptions {
  readonly roots: number;
  readonly blockSize: number;
  /** Bytes of the hash area that the tree takes; what follows is metadata. */
  readonly treeSize: number;
}

export interface RepairRestResult {
  /** Rounds whose stored parity was wrong and is written anew. */
  readonly parityRounds: number;
  /** Blocks of metadata that were corrected: by parity alone, as no digest proves them. */
  readonly metadataBlocks: number;
  /** Rounds in which metadata or parity are wrong and it cannot be told which. */
  readonly undecidedRounds: number;
}

/**
 * Makes parity and metadata agree again. Data and tree must be proved: they are taken as right.
 *
 * @throws {FormatError} `truncated` when the parity is too short.
 */
export async function repairRest(
  image: Omit<RepairableImage, 'dataSink'> & { readonly paritySink: Pick<ImageSink, 'write'> },
  options: RepairRestOptions,
): Promise<RepairRestResult> {
  const { roots, blockSize, treeSize } = options;
  const { data, hashArea, parity } = image;
  const fec = fecLayout(data.size + hashArea.size, blockSize, roots);
  const matrix = fecMatrix([data, hashArea], fec);
  const provedBlocks = (data.size + treeSize) / blockSize;
  let parityRounds = 0;
  let metadataBlocks = 0;
  let undecidedRounds = 0;
  for await (const round of wrongRounds(matrix, parity, options)) {
    const codewords = (await readRounds(matrix, parity, round, round + 1))(round);
    const metadata = metadataRows(round, fec, provedBlocks);
    let message = codewords;
    if (metadata.length > 0) {
      const corrected = correctMetadata(codewords, fec, metadata);
      if (corrected === undefined) {
        undecidedRounds += 1;
        continue;
      }
      message = corrected;
      for (const row of metadata) {
        const bytes = corrected.subarray(row * blockSize, (row + 1) * blockSize);
        const before = codewords.subarray(row * blockSize, (row + 1) * blockSize);
        if (Buffer.compare(bytes, before) === 0) continue;
        const at = (row * fec.rounds + round) * blockSize - data.size;
        await image.hashAreaSink.write(at, bytes);
        metadataBlocks += 1;
      }
    }
    const rows = message.subarray(0, fec.rows * blockSize);
    if (await rewriteParity(image.paritySink, parity, rows, round, fec)) parityRounds += 1;
  }
  return { parityRounds, metadataBlocks, undecidedRounds };
}

function metadataRows(round: number, fec: FecLayout, provedBlocks: number): number[] {
  const rows: number[] = [];
  const covered = fec.coveredSize / fec.blockSize;
  for (let row = 0; row < fec.rows; row += 1) {
    const index = row * fec.rounds + round;
    if (index >= provedBlocks && index < covered) rows.push(row);
  }
  return rows;
}

/** @returns the codewords with no other message rows changed than the metadata's; undefined when that cannot be. */
function correctMetadata(
  codewords: Uint8Array,
  { roots, rows, blockSize }: FecLayout,
  metadata: readonly number[],
): Uint8Array | undefined {
  const attempts = metadata.length < roots ? [metadata, []] : [[]];
  for (const erased of attempts) {
    const trial = codewords.slice();
    const { failed } = decodeColumns(trial, blockSize, roots, erased);
    const isKept = (row: number): boolean => {
      const at = row * blockSize;
      const end = at + blockSize;
      return Buffer.compare(trial.subarray(at, end), codewords.subarray(at, end)) === 0;
    };
    const others = Array.from({ length: rows }, (_, row) => row).filter(
      (row) => !metadata.includes(row),
    );
    if (failed === 0 && others.every(isKept)) return trial;
  }
  return undefined;
}

/** @returns whether the stored parity was another. */
async function rewriteParity(
  sink: Pick<ImageSink, 'write'>,
  stored: ByteSource,
  rows: Uint8Array,
  round: number,
  { roots, blockSize }: FecLayout,
): Promise<boolean> {
  const fresh = new Uint8Array(blockSize * roots);
  await tableFecEncoder.encode(roots, rows, blockSize, fresh);
  const at = round * fresh.length;
  if (Buffer.compare(fresh, await stored.read(at, fresh.length)) === 0) return false;
  await sink.write(at, fresh);
  return true;
}
