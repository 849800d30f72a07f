/** Where in an input the same four bytes stood before. The twin of `native/src/lz4/chains.rs`. */

import { LZ4_MIN_MATCH } from './decode.ts';
import { commonLength, HASH_FACTOR, wordAt } from './input.ts';

const HASH_BITS = 16;
const WINDOW = 1 << 16;
/** So many positions are entered at once, ahead of the search. */
const AHEAD = 128;
/** Older positions may have been overwritten. */
const MAX_DISTANCE = WINDOW - 1 - AHEAD;
const MAX_POSITION = 2 ** 32 - 1;

/** How hard is searched. */
export interface Effort {
  /** Candidates that are looked at. */
  readonly depth: number;
  /** A match of this length is taken without looking for a better one. */
  readonly enough: number;
}

/** A part of the input that stood before. */
export interface Match {
  readonly start: number;
  readonly end: number;
  /** How far back. */
  readonly distance: number;
}

/** What a search may use: no match refers to what is before the start, none goes on behind the end. */
export interface Limits {
  readonly start: number;
  readonly end: number;
}

/**
 * For each position the one before with the same hash, for one input after the other: what is left of
 * the last input is further away than any distance, so that nothing needs to be cleared.
 */
export class Chains {
  #input: Uint8Array = new Uint8Array(0);
  /** Latest position of each hash, plus `base`. */
  readonly #heads = new Uint32Array(1 << HASH_BITS);
  /** How far back the position before is; 0 if there is none. */
  readonly #back = new Uint16Array(WINDOW);
  #base = 0;
  #entered = 0;

  /** Goes on to another input. */
  begin(input: Uint8Array): void {
    this.#base += this.#entered + WINDOW;
    if (this.#base + input.length > MAX_POSITION) {
      this.#heads.fill(0);
      this.#base = WINDOW;
    }
    this.#input = input;
    this.#entered = 0;
  }

  /** Enters all positions up to this one, and some more. */
  #enter(at: number): void {
    if (at < this.#entered) return;
    const to = Math.min(this.#input.length - 8, at + AHEAD);
    for (let here = this.#entered; here < to; here++) {
      const hash = Math.imul(wordAt(this.#input, here), HASH_FACTOR) >>> (32 - HASH_BITS);
      const distance = this.#base + here - (this.#heads[hash] as number);
      this.#heads[hash] = this.#base + here;
      this.#back[here % WINDOW] = distance > MAX_DISTANCE ? 0 : distance;
    }
    this.#entered = Math.max(this.#entered, to);
  }

  /** The candidate before `at`, of the chain that goes through `offset` bytes behind it; -1 if there is none. */
  #before(at: number, offset: number, lowest: number): number {
    const distance = this.#back[(at + offset) % WINDOW] as number;
    return distance === 0 || at - distance < lowest ? -1 : at - distance;
  }

  /** The longest match at a position, if one has four bytes. Of several the nearest. */
  longest(at: number, limits: Limits, effort: Effort): Match | undefined {
    this.#enter(at);
    const input = this.#input;
    const lowest = Math.max(limits.start, at - MAX_DISTANCE);
    const word = wordAt(input, at);
    let lastWord = word;
    let length = LZ4_MIN_MATCH - 1;
    let distance = 0;
    let offset = 0;
    let from = at;
    for (let depth = effort.depth; depth > 0; depth--) {
      from = this.#before(from, offset, lowest);
      if (from === -1) break;
      // Longer than what there is: it has the bytes up to the next one.
      const end = from + length - (LZ4_MIN_MATCH - 1);
      if (wordAt(input, end) !== lastWord || wordAt(input, from) !== word) continue;
      const common = commonLength(input, from, at, limits.end);
      if (common <= length) continue;
      length = common;
      distance = at - from;
      if (length >= effort.enough || at + length >= limits.end) break;
      lastWord = wordAt(input, at + length - (LZ4_MIN_MATCH - 1));
      // All better ones have the last four bytes of this one: if those are rarer, go by them.
      offset = 0;
      if (distance >= length) {
        const behind = length - LZ4_MIN_MATCH;
        if (this.#rarity(from + behind) > this.#rarity(from)) offset = behind;
      }
    }
    return distance === 0 ? undefined : { start: at, end: at + length, distance };
  }

  /** How far back the position before is; more than any distance if there is none. */
  #rarity(at: number): number {
    return ((this.#back[at % WINDOW] as number) - 1) & (WINDOW - 1);
  }

  /** The longest match that covers a position, begins behind `after` and ends behind `reach`. */
  widest(
    at: number,
    after: number,
    reach: number,
    limits: Limits,
    effort: Effort,
  ): Match | undefined {
    this.#enter(at);
    const input = this.#input;
    const lowest = Math.max(limits.start, at - MAX_DISTANCE);
    const word = wordAt(input, at);
    let best: Match | undefined;
    let length = 0;
    // To be longer, a match must go on up to here at least, even if it begins as early as it may.
    let last = at;
    let lastWord = word;
    let from = at;
    for (let depth = effort.depth; depth > 0; depth--) {
      from = this.#before(from, 0, lowest);
      if (from === -1) break;
      if (wordAt(input, from + last - at) !== lastWord || wordAt(input, from) !== word) continue;
      const end = at + commonLength(input, from, at, limits.end);
      if (end <= reach) continue;
      const distance = at - from;
      const first = Math.max(after + 1, limits.start + distance);
      let start = at;
      while (start > first && input[start - 1] === input[start - 1 - distance]) start--;
      if (end - start <= length) continue;
      length = end - start;
      last = Math.max(at, after + 1 + length - (LZ4_MIN_MATCH - 1));
      lastWord = wordAt(input, last);
      best = { start, end, distance };
      if (end - at >= effort.enough || end >= limits.end) break;
    }
    return best;
  }
}
