/**
 * Reed-Solomon parity for dm-verity's forward error correction: the interface that a faster encoder
 * replaces.
 *
 * The protected bytes are a matrix of `255 - roots` rows. Each column is the message of one RS(255,
 * 255 - roots) codeword; its parity is `roots` bytes.
 *
 * @see https://docs.kernel.org/admin-guide/device-mapper/verity.html
 */

import type { FileRange } from './block-hasher.ts';

export interface FecEncoder {
  /**
   * The parity of all columns of a matrix.
   *
   * @param roots 2 to 24.
   * @param rows `255 - roots` rows of `width` bytes, one after the other.
   * @param parity `width * roots` bytes: those of the first column, then those of the next.
   */
  encode(roots: number, rows: Uint8Array, width: number, parity: Uint8Array): void | Promise<void>;

  /**
   * The same for the columns `[firstColumn, firstColumn + width)` of a matrix in files, which the
   * encoder reads itself. The matrix is the ranges one after the other, then zeros up to
   * `(255 - roots) * rowSize` bytes. Absent when it cannot.
   */
  encodeFiles?(
    roots: number,
    ranges: readonly FileRange[],
    rowSize: number,
    firstColumn: number,
    width: number,
    parity: Uint8Array,
  ): Promise<void>;
}
