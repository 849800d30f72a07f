/**
 * Finding repeated bytes for Zstandard: matches of 4 bytes and more from anywhere in the cluster, and
 * shorter ones at offsets that were just used.
 */

import type { Sequence } from './sequences.ts';

const MIN_MATCH = 4;
const MIN_REPEATED_MATCH = 3;
const HASH_BITS = 17;
/** The longest match there is a code for is longer than a block. */
export const MAX_BLOCK = 1 << 17;

/** How hard is searched. */
export interface SearchEffort {
  /** Candidates looked at for each position. */
  readonly depth: number;
  /** A match this long is taken without looking for a longer one. */
  readonly nice: number;
  /** How many positions later a better match may begin. */
  readonly lazy: number;
}

/** Candidates by level, 1 to 15. */
const DEPTHS = [2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 2048];

/** @throws {RangeError} when the level is not 1 to 15. */
export function searchEffort(level: number): SearchEffort {
  const depth = DEPTHS[level - 1];
  if (depth === undefined) throw new RangeError(`Cannot compress at level ${level}: use 1 to 15`);
  return { depth, nice: 8 * depth + 16, lazy: level < 3 ? 0 : level < 7 ? 1 : 2 };
}

/** For each position the one before it whose next four bytes hash alike, or -1. */
export function previousPositions(input: Uint8Array): Int32Array {
  const previous = new Int32Array(input.length).fill(-1);
  const last = new Int32Array(1 << HASH_BITS).fill(-1);
  const view = new DataView(input.buffer, input.byteOffset, input.length);
  for (let at = 0; at + MIN_MATCH <= input.length; at += 1) {
    const hash = Math.imul(view.getUint32(at, true), 0x9e3779b1) >>> (32 - HASH_BITS);
    previous[at] = last[hash] as number;
    last[hash] = at;
  }
  return previous;
}

/** What is known of an input: the bytes, and where they repeat. */
export interface Searched {
  readonly input: Uint8Array;
  readonly previous: Int32Array;
  readonly effort: SearchEffort;
}

interface Match {
  readonly length: number;
  readonly offset: number;
}

const NO_MATCH: Match = { length: 0, offset: 0 };

function common(input: Uint8Array, a: number, b: number, limit: number): number {
  let length = 0;
  while (length < limit && input[a + length] === input[b + length]) length += 1;
  return length;
}

/** What a match is worth, in quarters of a literal: its bytes less what its offset takes. */
const worth = ({ length, offset }: Match, recent: readonly number[]): number => {
  if (length === 0) return 0;
  return 4 * length - (recent.includes(offset) ? 1 : 34 - Math.clz32(offset + 3));
};

/** The most worthwhile match at a position, which begins behind `start` and ends before `end`. */
function findMatch(
  { input, previous, effort }: Searched,
  at: number,
  start: number,
  end: number,
  recent: readonly number[],
): Match {
  const limit = end - at;
  if (limit < MIN_REPEATED_MATCH) return NO_MATCH;
  let best = NO_MATCH;
  for (const offset of recent) {
    if (offset > at - start) continue;
    const length = common(input, at - offset, at, limit);
    if (length >= MIN_REPEATED_MATCH && length > best.length) best = { length, offset };
  }
  if (best.length >= effort.nice || limit < MIN_MATCH) return best;
  let longest = MIN_MATCH - 1;
  let candidate = previous[at] as number;
  for (let left = effort.depth; left > 0 && candidate >= start; left -= 1) {
    if (input[candidate + longest] === input[at + longest]) {
      const length = common(input, candidate, at, limit);
      if (length > longest) {
        longest = length;
        const found = { length, offset: at - candidate };
        if (worth(found, recent) > worth(best, recent)) best = found;
        if (length >= effort.nice || length === limit) break;
      }
    }
    candidate = previous[candidate] as number;
  }
  return best;
}

/** Sequences of a block, and where in the input each ends. */
export interface ParsedBlock {
  readonly sequences: readonly Sequence[];
  readonly ends: readonly number[];
}

/**
 * Cuts `[from, to)` into literals and matches.
 *
 * @param start Where the cluster starts: nothing before it may be referred to.
 * @param recent The three offsets that were used last; changed to those after this block.
 */
export function parseBlock(
  searched: Searched,
  start: number,
  from: number,
  to: number,
  recent: number[],
): ParsedBlock {
  const { effort } = searched;
  const sequences: Sequence[] = [];
  const ends: number[] = [];
  let anchor = from;
  for (let at = from; at < to;) {
    let match = findMatch(searched, at, start, to, recent);
    if (match.length === 0) {
      // Where nothing repeats for long, fewer positions are tried.
      at += 1 + ((at - anchor) >> 8);
      continue;
    }
    for (let ahead = 1; ahead <= effort.lazy && match.length < effort.nice;) {
      const later = findMatch(searched, at + ahead, start, to, recent);
      // Each literal in between costs about as much as a literal is worth.
      if (worth(later, recent) > worth(match, recent) + 4 * ahead) {
        at += ahead;
        match = later;
        ahead = 1;
      } else ahead += 1;
    }
    const literals = at - anchor;
    sequences.push({
      literals,
      offsetValue: useOffset(recent, match.offset, literals === 0),
      match: match.length,
    });
    at += match.length;
    anchor = at;
    ends.push(at);
  }
  return { sequences, ends };
}

/** The value that stands for an offset, which becomes the most recent (RFC 8878, 3.1.1.5). */
function useOffset(recent: number[], offset: number, behindMatch: boolean): number {
  const [first = 1, second = 4, third = 8] = recent;
  if (!behindMatch && offset === first) return 1;
  const shift = behindMatch ? 0 : 1;
  if (offset === second) {
    recent.splice(0, 2, second, first);
    return 1 + shift;
  }
  const value = offset === third ? 2 + shift : behindMatch && offset === first - 1 ? 3 : offset + 3;
  recent.splice(0, 3, offset, first, second);
  return value;
}
