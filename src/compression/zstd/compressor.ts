/**
 * Zstandard into clusters of a fixed size: each cluster is a frame of its own, filled with the most
 * input that fits.
 *
 * @see RFC 8878
 */

import type { ClusterCompressor } from '../cluster-compressor.ts';
import { cutIntoClusters, type ClusterEncoder } from '../clusters.ts';
import { concat, encodeLiterals } from './literals.ts';
import {
  MAX_BLOCK,
  parseBlock,
  previousPositions,
  searchEffort,
  type ParsedBlock,
  type Searched,
} from './parse.ts';
import { encodeSequences } from './sequences.ts';

const MAGIC = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd);
/** The magic, and a header with a size of 4 bytes. */
const MAX_FRAME_HEADER = 9;
const BLOCK_HEADER = 3;
const RAW_BLOCK = 0;
const COMPRESSED_BLOCK = 2;
/** No part of a block smaller than this is tried in its own right. */
const FINEST_CUT = 16;

/** @param level 1 to 15: how hard repeated bytes are searched. */
export function createZstdCompressor(level = 9): ClusterCompressor {
  const effort = searchEffort(level);
  return {
    algorithm: 'zstd',
    compress: (inputs, options) =>
      inputs.map((input) => {
        const searched = { input, previous: previousPositions(input), effort };
        return cutIntoClusters(input, options, zstdEncoder(searched));
      }),
  };
}

function zstdEncoder(searched: Searched): ClusterEncoder {
  const { input } = searched;
  /** What the last cluster took: not much more is looked at for the next one. */
  let usual = 1 << 14;
  return {
    encode(start, end, capacity) {
      const blocks: Uint8Array[] = [];
      let left = capacity - MAX_FRAME_HEADER;
      let at = start;
      const recent = [1, 4, 8];
      while (at < end && left > BLOCK_HEADER) {
        const to = Math.min(end, at + Math.min(MAX_BLOCK, Math.max(4096, usual + (usual >> 1))));
        const parsed = parseBlock(searched, start, at, to, recent);
        const whole = encodeBlock(input, parsed, at, to);
        if (whole.length <= left) {
          blocks.push(whole);
          left -= whole.length;
          at = to;
          continue;
        }
        const cut = cutBlock(input, parsed, at, to, left);
        if (cut !== undefined) {
          blocks.push(cut.bytes);
          at = cut.end;
        }
        break;
      }
      const last = blocks.at(-1);
      if (last === undefined) return { consumed: 0, bytes: new Uint8Array(0) };
      last[0] = (last[0] as number) | 1;
      usual = at - start;
      return { consumed: at - start, bytes: concat([frameHeader(at - start), ...blocks]) };
    },
  };
}

/** The header of a frame that is decoded into one buffer of its size. */
function frameHeader(size: number): Uint8Array {
  const single = 1 << 5;
  if (size < 256) return Uint8Array.of(...MAGIC, single, size);
  if (size < 256 + 65536) {
    return Uint8Array.of(...MAGIC, single | (1 << 6), (size - 256) & 0xff, (size - 256) >> 8);
  }
  const bytes = [size & 0xff, (size >> 8) & 0xff, (size >> 16) & 0xff, size >>> 24];
  return Uint8Array.of(...MAGIC, single | (2 << 6), ...bytes);
}

/** The longest beginning of a block that fits, or nearly so; undefined when none does. */
function cutBlock(
  input: Uint8Array,
  parsed: ParsedBlock,
  from: number,
  to: number,
  room: number,
): { readonly bytes: Uint8Array; readonly end: number } | undefined {
  let fitting: { bytes: Uint8Array; end: number } | undefined;
  let low = from;
  for (let high = to; high - low > FINEST_CUT;) {
    const middle = (low + high) >> 1;
    const bytes = encodeBlock(input, parsed, from, middle);
    if (bytes.length <= room) {
      fitting = { bytes, end: middle };
      low = middle;
    } else high = middle;
  }
  return fitting;
}

/** The block for `[from, to)`, which may end within a match: what is left of that are literals. */
function encodeBlock(
  input: Uint8Array,
  { sequences, ends }: ParsedBlock,
  from: number,
  to: number,
): Uint8Array {
  let count = 0;
  for (let high = ends.length; count < high;) {
    const middle = (count + high) >> 1;
    if ((ends[middle] as number) <= to) count = middle + 1;
    else high = middle;
  }
  const used = sequences.slice(0, count);
  const matched = used.reduce((sum, { match }) => sum + match, 0);
  const literals = new Uint8Array(to - from - matched);
  let at = from;
  let filled = 0;
  for (const sequence of used) {
    literals.set(input.subarray(at, at + sequence.literals), filled);
    filled += sequence.literals;
    at += sequence.literals + sequence.match;
  }
  literals.set(input.subarray(at, to), filled);
  const body = concat([encodeLiterals(literals), encodeSequences(used)]);
  return body.length < to - from
    ? block(COMPRESSED_BLOCK, body)
    : block(RAW_BLOCK, input.subarray(from, to));
}

/** A block that is not the last; the lowest bit says so. */
function block(type: number, body: Uint8Array): Uint8Array {
  const word = (type << 1) | (body.length << 3);
  return concat([Uint8Array.of(word & 0xff, (word >> 8) & 0xff, word >> 16), body]);
}
