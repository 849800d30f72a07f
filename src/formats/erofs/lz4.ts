/**
 * Decoding an LZ4 block.
 *
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 */

import { bad } from './superblock.ts';

/** No input byte can stand for more output bytes than this. */
export const LZ4_MAX_RATIO = 255;

const MIN_MATCH = 4;

/**
 * Fills `target` from a block; what the block holds beyond it is not looked at.
 *
 * @throws {FormatError} `bad-value` when the block ends early or refers to what is not there.
 */
export function decodeLz4(source: Uint8Array, target: Uint8Array): void {
  let at = 0;
  let to = 0;
  const next = (): number => {
    const byte = source[at];
    if (byte === undefined) throw bad('bad-value', 'compressed data ends early');
    at += 1;
    return byte;
  };
  /** A length of 15 in a token goes on in bytes, until one is not 255. */
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    if (nibble === 15) {
      for (let more = 255; more === 255; length += more) more = next();
    }
    return length;
  };

  while (to < target.length) {
    const token = next();
    const literals = Math.min(lengthOf(token >>> 4), target.length - to);
    if (at + literals > source.length) throw bad('bad-value', 'compressed data ends early');
    target.set(source.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (to === target.length) return;

    const distance = next() | (next() << 8);
    if (distance === 0 || distance > to) {
      throw bad('bad-value', `compressed data refers ${distance} bytes back at ${to}`);
    }
    const end = Math.min(to + lengthOf(token & 15) + MIN_MATCH, target.length);
    if (distance >= end - to) {
      target.copyWithin(to, to - distance, end - distance);
      to = end;
    } else {
      // The match overlaps what it makes: that is how runs are told.
      for (; to < end; to += 1) target[to] = target[to - distance] ?? 0;
    }
  }
}
