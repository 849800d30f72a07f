/** LZ4 as a file system stores it: an extent says how much of a block it wants. */

import { decodeLz4Prefix } from '../../compression/lz4/decode.ts';
import { FormatError } from '../../core/errors.ts';
import { bad } from './superblock.ts';

/** No input byte can stand for more output bytes than this. */
export const LZ4_MAX_RATIO = 255;

/**
 * Fills `target` from a block; what the block holds beyond it is not looked at.
 *
 * @throws {FormatError} `bad-value` when the block ends early or refers to what is not there.
 */
export function decodeLz4(source: Uint8Array, target: Uint8Array): void {
  try {
    decodeLz4Prefix(source, target);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const problem = `compressed data does not decode to ${target.length} bytes`;
    throw bad('bad-value', problem, { cause: error });
  }
}
