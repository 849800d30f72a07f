/** LZ4 blocks, decoded by the native library. */

import { decodeLz4Block } from '../compression/lz4/decode.ts';
import type { NativeLibrary } from './library.ts';

const ERROR_FORMAT = -2n;

/** A decoder with the signature, results and errors of the one in TypeScript. */
export function createNativeLz4Decoder(library: NativeLibrary): typeof decodeLz4Block {
  const decode = library.func(
    'int64_t mb_lz4_decode_block(const uint8_t *source, size_t source_len, _Out_ uint8_t *target, size_t target_len)',
  );
  const decodeBlock = (source: Uint8Array, target: Uint8Array): number | undefined => {
    const length = BigInt(decode(source, source.length, target, target.length) as number | bigint);
    if (length >= 0n) return Number(length);
    if (length === ERROR_FORMAT) return undefined;
    throw new RangeError(`The native library refused to decode ${source.length} bytes`);
  };
  return (source, start, end, target, targetStart, targetEnd) =>
    decodeBlock(source.subarray(start, end), target.subarray(targetStart, targetEnd)) ??
    // It says no more than that it cannot: the twin fails at the same place, and says where.
    decodeLz4Block(source, start, end, target, targetStart, targetEnd);
}
