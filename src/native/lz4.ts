/** LZ4 blocks with the native library. */

import { decodeLz4Block } from '../formats/boot-image/lz4-legacy.ts';
import type { NativeLibrary } from './library.ts';

/** A decoder with the signature, results and errors of the one in TypeScript. */
export function createNativeLz4Decoder(
  library: Pick<NativeLibrary, 'decodeLz4Block'>,
): typeof decodeLz4Block {
  return (source, start, end, target, targetStart, targetEnd) =>
    library.decodeLz4Block(source.subarray(start, end), target.subarray(targetStart, targetEnd)) ??
    // It says no more than that it cannot: the twin fails at the same place, and says where.
    decodeLz4Block(source, start, end, target, targetStart, targetEnd);
}
