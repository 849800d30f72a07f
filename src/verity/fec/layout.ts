/**
 * Which bytes a codeword of dm-verity's forward error correction covers.
 *
 * The covered bytes, one after the other, fill the rows of a matrix; a column is the message of one codeword. Rows
 * are so long that a burst of errors meets each codeword as seldom as can be: a whole number of blocks, which we
 * call rounds.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 */

import { UsageError } from '../../core/errors.ts';
import { divCeil } from '../../core/math.ts';

/** Symbols of a codeword, parity included. */
export const CODEWORD = 255;

const MIN_ROOTS = 2;
const MAX_ROOTS = 24;

export interface FecLayout {
  /** Parity bytes of a codeword. */
  readonly roots: number;
  readonly blockSize: number;
  /** Rows of the matrix: message bytes of a codeword. */
  readonly rows: number;
  /** Blocks of a row. */
  readonly rounds: number;
  /** Bytes of a row: how many codewords there are. */
  readonly rowSize: number;
  /** Bytes covered; what the matrix has beyond is zeros. */
  readonly coveredSize: number;
  readonly paritySize: number;
}

/**
 * @param coveredSize In bytes, whole blocks.
 * @throws {UsageError} on a number of roots that the kernel does not have.
 */
export function fecLayout(coveredSize: number, blockSize: number, roots: number): FecLayout {
  if (!Number.isInteger(roots) || roots < MIN_ROOTS || roots > MAX_ROOTS) {
    throw new UsageError(
      'usage',
      `Cannot correct errors with ${roots} parity bytes: a codeword has ${MIN_ROOTS} to ${MAX_ROOTS}`,
    );
  }
  if (coveredSize <= 0 || coveredSize % blockSize !== 0) {
    throw new RangeError(`Cannot cover ${coveredSize} bytes: not whole blocks of ${blockSize}`);
  }
  const rows = CODEWORD - roots;
  const rounds = divCeil(coveredSize / blockSize, rows);
  const rowSize = rounds * blockSize;
  return { roots, blockSize, rows, rounds, rowSize, coveredSize, paritySize: rowSize * roots };
}
