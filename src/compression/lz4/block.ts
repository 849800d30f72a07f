/** Writing an LZ4 block that may take no more than so many bytes. The twin of `native/src/lz4/block.rs`. */

import { LZ4_MIN_MATCH } from './decode.ts';

/** No match begins in the last 12 bytes of a block... */
export const LAST_MATCH = 12;
/** ...and its last 5 bytes are literals. */
export const LAST_LITERALS = 5;
/** Matches up to this length say it in their token. */
export const SHORT_MATCH = 18;

/** Bytes that a match's length takes beside the token. */
export const matchBytes = (length: number): number =>
  length <= SHORT_MATCH ? 0 : Math.floor((length - SHORT_MATCH - 1) / 255) + 1;

/** Bytes that a number of literals takes beside the token. */
const countBytes = (literals: number): number =>
  literals < 15 ? 0 : Math.floor((literals - 15) / 255) + 1;

/** How many literals fit with their number in so many bytes. */
function fittingLiterals(room: number): number {
  if (room < 15) return room;
  return room === 15 ? 14 : room - 1 - Math.floor((room - 15) / 256);
}

/** A block: sequences go in as long as they fit, literals fill the rest. */
export class BlockWriter {
  /** Where in the input the next literals begin. */
  anchor: number;
  readonly #input: Uint8Array;
  readonly #out: Uint8Array;
  #at = 0;

  /** @param capacity In bytes, at least one. */
  constructor(input: Uint8Array, start: number, capacity: number) {
    this.anchor = start;
    this.#input = input;
    this.#out = new Uint8Array(capacity);
  }

  get #left(): number {
    return this.#out.length - this.#at;
  }

  /** Whether so many literals alone fill the block. */
  isFilledBy(literals: number): boolean {
    return literals >= this.#left;
  }

  /**
   * Adds the literals from the anchor to `start` and a match there. What does not fit is left out, a
   * long match is cut.
   *
   * @returns whether there may be room for more.
   */
  push(start: number, length: number, distance: number): boolean {
    const literals = start - this.anchor;
    const head = 1 + countBytes(literals) + literals + 2;
    // Behind it comes at least a token with the last literals.
    const room = this.#left - head - 1 - LAST_LITERALS;
    if (room < 0) return false;
    const cut = Math.min(length, SHORT_MATCH + room * 255);
    if (cut + room + LAST_LITERALS < LAST_MATCH) return false;
    this.#literals(literals, cut - LZ4_MIN_MATCH);
    this.#out[this.#at++] = distance & 0xff;
    this.#out[this.#at++] = distance >> 8;
    this.#more(cut - LZ4_MIN_MATCH);
    this.anchor = start + cut;
    return cut === length;
  }

  /**
   * Fills the block with literals.
   *
   * @returns the block and where in the input it ends: at `end` or before.
   */
  finish(end: number): { readonly end: number; readonly bytes: Uint8Array } {
    const literals = Math.min(fittingLiterals(this.#left - 1), end - this.anchor);
    this.#literals(literals, 0);
    return { end: this.anchor + literals, bytes: this.#out.slice(0, this.#at) };
  }

  /** A token with its literals. */
  #literals(count: number, matchNibble: number): void {
    this.#out[this.#at++] = (Math.min(count, 15) << 4) | Math.min(matchNibble, 15);
    this.#more(count);
    this.#out.set(this.#input.subarray(this.anchor, this.anchor + count), this.#at);
    this.#at += count;
  }

  /** What a length has beyond the 15 of its nibble. */
  #more(length: number): void {
    if (length < 15) return;
    let rest = length - 15;
    for (; rest >= 255; rest -= 255) this.#out[this.#at++] = 255;
    this.#out[this.#at++] = rest;
  }
}
