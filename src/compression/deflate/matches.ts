/**
 * Finding repeated bytes: the LZ77 half of DEFLATE.
 *
 * The chains of positions with equal beginnings are made once for a whole input. What a cluster may
 * refer to is then a matter of where it starts, so clusters are independent and nothing is undone when
 * one ends earlier than tried.
 */

export const MIN_MATCH = 3;
export const MAX_MATCH = 258;
export const MAX_DISTANCE = 32768;

const HASH_BITS = 16;

/** How hard is searched. */
export interface SearchEffort {
  /** Candidates looked at for each position. */
  readonly depth: number;
  /** A match this long is taken without looking for a longer one. */
  readonly nice: number;
  /** A match shorter than this is given up when the next position has a longer one; 0 never. */
  readonly lazy: number;
}

/** By level, 1 to 9. */
const EFFORTS: readonly SearchEffort[] = [
  { depth: 4, nice: 8, lazy: 0 },
  { depth: 6, nice: 16, lazy: 0 },
  { depth: 12, nice: 32, lazy: 4 },
  { depth: 16, nice: 32, lazy: 8 },
  { depth: 32, nice: 64, lazy: 16 },
  { depth: 64, nice: 128, lazy: 32 },
  { depth: 128, nice: 258, lazy: 64 },
  { depth: 512, nice: 258, lazy: 128 },
  { depth: 2048, nice: 258, lazy: 258 },
];

/** @throws {RangeError} when the level is not 1 to 9. */
export function searchEffort(level: number): SearchEffort {
  const effort = EFFORTS[level - 1];
  if (effort === undefined) throw new RangeError(`Cannot compress at level ${level}: use 1 to 9`);
  return effort;
}

/**
 * For each position the one before it whose next three bytes hash alike, or -1.
 *
 * Written for speed as for its twin in Rust: positions are 32-bit, the hash is multiplicative.
 */
export function previousPositions(input: Uint8Array): Int32Array {
  const previous = new Int32Array(input.length).fill(-1);
  const last = new Int32Array(1 << HASH_BITS).fill(-1);
  for (let at = 0; at + MIN_MATCH <= input.length; at += 1) {
    const word =
      (input[at] as number) | ((input[at + 1] as number) << 8) | ((input[at + 2] as number) << 16);
    const hash = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS);
    previous[at] = last[hash] as number;
    last[hash] = at;
  }
  return previous;
}

/**
 * The longest match at a position: `distance << 9 | length`, or 0 when there is none. Of equally long
 * ones the nearest.
 *
 * @param start Where the cluster starts: nothing before it may be referred to.
 * @param end Where the match must end at the latest.
 */
export function longestMatch(
  input: Uint8Array,
  previous: Int32Array,
  at: number,
  start: number,
  end: number,
  { depth, nice }: SearchEffort,
): number {
  const limit = Math.min(MAX_MATCH, end - at);
  if (limit < MIN_MATCH) return 0;
  const lowest = Math.max(start, at - MAX_DISTANCE);
  let best = MIN_MATCH - 1;
  let distance = 0;
  let candidate = previous[at] as number;
  for (let left = depth; left > 0 && candidate >= lowest; left -= 1) {
    if (input[candidate + best] === input[at + best]) {
      let length = 0;
      while (length < limit && input[candidate + length] === input[at + length]) length += 1;
      if (length > best) {
        best = length;
        distance = at - candidate;
        if (length >= nice || length === limit) break;
      }
    }
    candidate = previous[candidate] as number;
  }
  return distance === 0 ? 0 : (distance << 9) | best;
}
