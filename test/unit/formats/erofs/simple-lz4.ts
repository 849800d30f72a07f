/** An LZ4 compressor of few lines, for tests of what is done with its output. */

import type { ClusterCompressor } from '../../../../src/compression/cluster-compressor.ts';
import { cutIntoClusters } from '../../../../src/compression/clusters.ts';

/** The format wants the last five bytes as literals, and no match in the last twelve. */
const LAST_LITERALS = 5;
const MATCH_LIMIT = 12;

const HASH_BITS = 13;
const seen = new Int32Array(1 << HASH_BITS);

function encodeBlock(input: Uint8Array): Uint8Array {
  const out = new Uint8Array(input.length + (input.length >> 7) + 16);
  let used = 0;
  const put = (byte: number): void => {
    out[used] = byte;
    used += 1;
  };
  const putLength = (length: number): void => {
    let left = length - 15;
    for (; left >= 255; left -= 255) put(255);
    if (length >= 15) put(left);
  };
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  seen.fill(-1);
  let anchor = 0;
  for (let at = 0; at < input.length - MATCH_LIMIT;) {
    const word = view.getUint32(at);
    const slot = Math.imul(word, 2654435761) >>> (32 - HASH_BITS);
    const from = seen[slot]!;
    seen[slot] = at;
    if (from === -1 || at - from > 65535 || view.getUint32(from) !== word) {
      at += 1;
      continue;
    }
    let length = 4;
    while (
      at + length < input.length - LAST_LITERALS &&
      input[from + length] === input[at + length]
    ) {
      length += 1;
    }
    const literals = at - anchor;
    put((Math.min(literals, 15) << 4) | Math.min(length - 4, 15));
    putLength(literals);
    for (; anchor < at; anchor += 1) put(input[anchor]!);
    put((at - from) & 0xff);
    put((at - from) >> 8);
    putLength(length - 4);
    at += length;
    anchor = at;
  }
  const rest = input.length - anchor;
  put(Math.min(rest, 15) << 4);
  putLength(rest);
  for (; anchor < input.length; anchor += 1) put(input[anchor]!);
  return out.subarray(0, used);
}

/** The most of an input that fits is found by trying. */
function encodeMost(input: Uint8Array, capacity: number): { consumed: number; bytes: Uint8Array } {
  let fits = { consumed: 0, bytes: new Uint8Array(0) };
  let low = 0;
  let high = input.length + 1;
  // As much as fits surely, then more and more.
  for (
    let size = Math.min(capacity - 64, input.length);
    size < high;
    size = Math.min(size * 2, input.length)
  ) {
    const bytes = encodeBlock(input.subarray(0, size));
    if (bytes.length > capacity) {
      high = size;
      break;
    }
    fits = { consumed: size, bytes: new Uint8Array(bytes) };
    low = size;
    if (size === input.length) return fits;
  }
  // Bytes that would still have fit are no loss for a test.
  while (high - low > 64) {
    const consumed = (low + high) >> 1;
    const bytes = encodeBlock(input.subarray(0, consumed));
    if (bytes.length <= capacity) {
      fits = { consumed, bytes: new Uint8Array(bytes) };
      low = consumed;
    } else {
      high = consumed;
    }
  }
  return fits;
}

/** @param most Bytes that a cluster decodes to at most. */
export const simpleLz4 = (most = 1 << 18): ClusterCompressor => ({
  algorithm: 'lz4',
  compress: (inputs, options) =>
    inputs.map((input) =>
      cutIntoClusters(input, options, {
        encode: (start, end, capacity) =>
          encodeMost(input.subarray(start, Math.min(end, start + most)), capacity),
      }),
    ),
});
