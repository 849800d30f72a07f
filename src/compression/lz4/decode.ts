/**
 * Decoding LZ4 blocks.
 *
 * FORMAT
 * - sequences: token (4 bits of literals, 4 bits of match length), more literals, the literals,
 *   u16le distance, more match length. A nibble of 15 goes on in bytes, each but the last 255.
 * - the last sequence has literals only
 *
 * @see lz4_Block_format.md of LZ4
 */

import { FormatError } from '../../core/errors.ts';

/** No match is shorter: the token holds what a match has beyond it. */
export const LZ4_MIN_MATCH = 4;

function refuse(why: string, offset: number): never {
  throw new FormatError('lz4', 'bad-value', `Cannot decode LZ4: ${why}`, { offset });
}

/**
 * Decodes one block into `target` from `targetStart` on. Matches may not reach before that.
 *
 * @returns how many bytes were decoded.
 * @throws {FormatError} when the block reads or writes outside of its bounds.
 */
export function decodeLz4Block(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
  targetEnd: number,
): number {
  return decode(source, start, end, target, targetStart, targetEnd, false);
}

/**
 * Fills `target` with the first bytes of a block; what the block holds beyond them is not looked at.
 *
 * @throws {FormatError} when the block ends before, or refers to what is not there.
 */
export function decodeLz4Prefix(source: Uint8Array, target: Uint8Array): void {
  if (target.length === 0) return;
  const length = decode(source, 0, source.length, target, 0, target.length, true);
  if (length < target.length) {
    refuse(`the block decodes to ${length} bytes, expected ${target.length}`, source.length);
  }
}

/** @param isPrefix Whether to stop when the target is full; else the block must end where the source does. */
function decode(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
  targetEnd: number,
  isPrefix: boolean,
): number {
  let at = start;
  let to = targetStart;

  const moreLength = (): number => {
    const from = at;
    let length = 15;
    while (at < end) {
      const byte = source[at++] ?? 0;
      length += byte;
      if (byte !== 255) return length;
    }
    return refuse('a length does not end', from);
  };
  /** What of a length is still wanted. */
  const wanted = (length: number): number => {
    if (length <= targetEnd - to) return length;
    if (!isPrefix) refuse('the block decodes to more than was announced', at);
    return targetEnd - to;
  };

  while (at < end) {
    const token = source[at++] ?? 0;
    let literals = token >> 4;
    if (literals === 15) literals = moreLength();
    if (isPrefix) literals = wanted(literals);
    if (literals > end - at) refuse('literals end behind the block', at);
    literals = wanted(literals);
    if (literals > 0) target.set(source.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at === end || (isPrefix && to === targetEnd)) return to - targetStart;

    if (end - at < 2) refuse('a match has no offset', at);
    const distance = (source[at] ?? 0) | ((source[at + 1] ?? 0) << 8);
    at += 2;
    if (distance === 0 || distance > to - targetStart) {
      refuse(`a match begins ${distance} bytes back, ${to - targetStart} are there`, at - 2);
    }
    let match = token & 15;
    if (match === 15) match = moreLength();
    match = wanted(match + LZ4_MIN_MATCH);
    if (distance >= match) {
      target.copyWithin(to, to - distance, to - distance + match);
      to += match;
    } else {
      // The match overlaps its own output: what was just written is read again.
      for (const stop = to + match; to < stop; to++) target[to] = target[to - distance] ?? 0;
    }
    if (isPrefix && to === targetEnd) return to - targetStart;
  }
  return refuse('the block ends behind a match', end);
}
