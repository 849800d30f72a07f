/** Making the bytes of a file from those of a physical cluster. */

import { FormatError } from '../../core/errors.ts';
import { inflateRawPrefix } from '../../compression/deflate-decode.ts';
import { decodeLz4Block } from '../../compression/lz4/decode.ts';
import { decodeMicroLzma } from '../../compression/micro-lzma-decode.ts';
import { decodeZstdFrame } from '../../compression/zstd/decode-frame.ts';
import type { EncodedExtent } from './data-extent.ts';
import { decodeLz4 } from './lz4.ts';
import { bad, type Geometry } from './superblock.ts';

/**
 * @param stored The `storedSize` bytes of the extent.
 * @param isExact Whether the compressed data must end with them, where its format tells.
 * @throws {FormatError} when they do not decompress to as many bytes as the extent has.
 */
export function decodeExtent(
  stored: Uint8Array,
  extent: EncodedExtent,
  geometry: Geometry,
  isExact = false,
): Uint8Array {
  try {
    return decode(stored, extent, geometry, isExact);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const { start, length, offset } = extent;
    const what = `bytes ${start}..${start + length - 1} do not decompress: ${error.message}`;
    throw bad(error.code, what, { offset, field: 'data', cause: error });
  }
}

function decode(
  stored: Uint8Array,
  extent: EncodedExtent,
  geometry: Geometry,
  isExact: boolean,
): Uint8Array {
  const { encoding, length, start } = extent;
  const { blockSize } = geometry;
  if (encoding === 'shifted') return stored.subarray(0, length);
  if (encoding === 'interlaced') {
    // Up to the next block of the file, the bytes stand where they do in the file's block.
    const before = Math.min(blockSize - (start % blockSize), length);
    const from = alignedSize(stored.length, blockSize) - blockSize + (start % blockSize);
    const first = stored.subarray(from, from + before);
    if (first.length < before) {
      throw bad('bad-value', `${length} plain bytes do not fit in ${stored.length}`, {
        offset: extent.offset,
      });
    }
    if (before === length) return first;
    const joined = new Uint8Array(length);
    joined.set(first);
    joined.set(stored.subarray(0, length - before), before);
    return joined;
  }

  const input = geometry.zeroPadding ? withoutPadding(stored, extent, blockSize) : stored;
  switch (encoding) {
    case 'lz4': {
      const data = new Uint8Array(length);
      // What older images pad behind the data would be a part of it.
      if (isExact && geometry.zeroPadding) decodeWholeLz4(input, data);
      else decodeLz4(input, data);
      return data;
    }
    case 'deflate':
      return inflateRawPrefix(input, length, isExact);
    case 'zstd':
      return decodeZstdFrame(input, length, isExact);
    case 'lzma':
      return decodeMicroLzma(input, length);
    default:
      return encoding satisfies never;
  }
}

function decodeWholeLz4(input: Uint8Array, data: Uint8Array): void {
  const length = decodeLz4Block(input, 0, input.length, data, 0, data.length);
  if (length < data.length) {
    throw bad('bad-value', `compressed data has ${length} of ${data.length} bytes`);
  }
}

const alignedSize = (size: number, blockSize: number): number =>
  Math.ceil(size / blockSize) * blockSize;

/** Zeros come first, less than a block of them; no compressed data starts with one. */
function withoutPadding(
  stored: Uint8Array,
  { offset }: EncodedExtent,
  blockSize: number,
): Uint8Array {
  const start = stored.subarray(0, blockSize).findIndex((byte) => byte !== 0);
  if (start === -1) throw bad('bad-value', 'compressed data is all zeros', { offset });
  return stored.subarray(start);
}
