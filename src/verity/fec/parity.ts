/** Computing parity a window of columns at a time, to write it or to compare it with what is stored. */

import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { FecEncoder } from '../fec-encoder.ts';
import type { FecMatrix } from './matrix.ts';
import { tableFecEncoder } from './table-encoder.ts';

export interface ParityOptions {
  /** Default: the one of tables, on this thread. */
  readonly encoder?: FecEncoder | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told how many of the covered bytes are done, after each window. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** The matrix is read in windows of about this size when we read it ... */
const READ_WINDOW = 1 << 24;
/** ... and parity is made in windows of this size when the encoder does. */
const PARITY_WINDOW = 1 << 22;

/** The parity of the matrix, in order: `start` counts bytes of parity. The buffer is used again. */
async function* parityOf(
  matrix: FecMatrix,
  { encoder = tableFecEncoder, signal, onProgress }: ParityOptions,
): AsyncGenerator<{ readonly start: number; readonly parity: Uint8Array }> {
  const { rows, rowSize, roots, blockSize, coveredSize } = matrix.layout;
  const { files } = matrix;
  const direct = files !== undefined && encoder.encodeFiles !== undefined;
  const wished = direct ? PARITY_WINDOW / roots : READ_WINDOW / rows;
  const window = Math.min(rowSize, Math.max(1, Math.floor(wished / blockSize)) * blockSize);
  const buffer = new Uint8Array(window * roots);
  const columns = new Uint8Array(direct ? 0 : window * rows);
  for (let first = 0; first < rowSize; first += window) {
    signal?.throwIfAborted();
    const width = Math.min(window, rowSize - first);
    const parity = buffer.subarray(0, width * roots);
    if (files !== undefined && encoder.encodeFiles !== undefined) {
      await encoder.encodeFiles(roots, files, rowSize, first, width, parity);
    } else {
      const read = columns.subarray(0, rows * width);
      await matrix.readColumns(first, width, read);
      await encoder.encode(roots, read, width, parity);
    }
    yield { start: first * roots, parity };
    onProgress?.(Math.floor(((first + width) / rowSize) * coveredSize));
  }
}

/** Writes the parity of the matrix from the target's offset 0 on. */
export async function writeParity(
  matrix: FecMatrix,
  target: Pick<ImageSink, 'write'>,
  options: ParityOptions = {},
): Promise<void> {
  for await (const { start, parity } of parityOf(matrix, options)) {
    await target.write(start, parity);
  }
}

/**
 * The rounds whose stored parity is not that of the matrix: either of them may be wrong.
 *
 * @param stored As many bytes as the layout says, or more.
 * @throws {FormatError} `truncated` when there are less.
 */
export async function* wrongRounds(
  matrix: FecMatrix,
  stored: ByteSource,
  options: ParityOptions = {},
): AsyncGenerator<number> {
  const { roots, blockSize } = matrix.layout;
  const roundSize = roots * blockSize;
  for await (const { start, parity } of parityOf(matrix, options)) {
    const found = await stored.read(start, parity.length);
    if (Buffer.compare(found, parity) === 0) continue;
    for (let at = 0; at < parity.length; at += roundSize) {
      const end = at + roundSize;
      if (Buffer.compare(found.subarray(at, end), parity.subarray(at, end)) !== 0) {
        yield (start + at) / roundSize;
      }
    }
  }
}
