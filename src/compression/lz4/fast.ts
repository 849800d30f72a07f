/**
 * LZ4 in a hurry: the first match that is found is taken. The twin of `native/src/lz4/fast.rs`.
 */

import { LAST_LITERALS, LAST_MATCH, type BlockWriter } from './block.ts';
import { LZ4_MIN_MATCH } from './decode.ts';
import { commonLength, HASH_FACTOR, wordAt } from './input.ts';

const HASH_BITS = 12;
const MAX_DISTANCE = (1 << 16) - 1;
const MAX_POSITION = 2 ** 32 - 1;
/** After so many misses (as a power of two), every second position is searched, after twice as many every third. */
const PATIENCE = 6;
/** For the fifth byte. */
const SECOND_FACTOR = 2_246_822_519;

/** The latest position of each hash of five bytes, for one input after the other, as `Chains` has them. */
export class Latest {
  #input: Uint8Array = new Uint8Array(0);
  /** Plus `base`. */
  readonly #heads = new Uint32Array(1 << HASH_BITS);
  #base = 0;

  /** Goes on to another input. */
  begin(input: Uint8Array): void {
    this.#base += this.#input.length + MAX_DISTANCE + 1;
    if (this.#base + input.length > MAX_POSITION) {
      this.#heads.fill(0);
      this.#base = MAX_DISTANCE + 1;
    }
    this.#input = input;
  }

  /** Enters a position, and returns how far back the one before was; less than 0 if it is ahead. */
  enter(at: number): number {
    const first = Math.imul(wordAt(this.#input, at), HASH_FACTOR);
    const second = Math.imul(this.#input[at + 4] as number, SECOND_FACTOR);
    const hash = (first + second) >>> (32 - HASH_BITS);
    const here = this.#base + at;
    const distance = here - (this.#heads[hash] as number);
    this.#heads[hash] = here;
    return distance;
  }
}

/** Writes input from `start` on, up to `end` at most. */
export function fillFastBlock(
  latest: Latest,
  input: Uint8Array,
  start: number,
  end: number,
  writer: BlockWriter,
): void {
  if (end - start <= LAST_MATCH) return;
  const last = end - LAST_MATCH;
  let misses = 1 << PATIENCE;
  for (let at = start; at <= last;) {
    // What a block before entered may be ahead.
    const distance = latest.enter(at);
    const from = at - distance;
    const isNear = distance > 0 && distance <= MAX_DISTANCE && from >= start;
    if (!isNear || wordAt(input, from) !== wordAt(input, at)) {
      at += misses >> PATIENCE;
      misses += 1;
      if (writer.isFilledBy(at - writer.anchor)) break;
      continue;
    }
    const common = commonLength(
      input,
      from + LZ4_MIN_MATCH,
      at + LZ4_MIN_MATCH,
      end - LAST_LITERALS,
    );
    const stop = at + LZ4_MIN_MATCH + common;
    const first = Math.max(writer.anchor, start + distance);
    while (at > first && input[at - 1] === input[at - 1 - distance]) at--;
    if (!writer.push(at, stop - at, distance)) break;
    at = stop;
    misses = 1 << PATIENCE;
    if (at <= last) latest.enter(at - 2);
  }
}
