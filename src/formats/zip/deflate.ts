/**
 * Deflates as zlib's level 9 does, bit for bit, under every Node: apksigner's entries are made so, and the
 * zlib in Node finds other matches, depending on the processor even.
 *
 * A match is taken only when the next byte does not start a longer one. What counts as the longest match
 * depends on zlib's window, which forgets by halves, so it is kept as zlib keeps it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc1951
 */

import { BitWriter, BlockSymbols, MAX_MATCH } from './deflate-block.ts';

const MIN_MATCH = 3;
const WINDOW = 1 << 15;
const WINDOW_MASK = WINDOW - 1;
/** Bytes ahead that a search may look at. */
const MIN_LOOKAHEAD = MAX_MATCH + MIN_MATCH + 1;
const MAX_DISTANCE = WINDOW - MIN_LOOKAHEAD;

/** Level 9: look at so many candidates, at a quarter where the match before is this good already. */
const MAX_CHAIN = 4096;
const GOOD_LENGTH = 32;
/** The shortest matches are worth their bits only nearby. */
const MAX_SHORT_DISTANCE = 4096;

const HASH_SIZE = 1 << 15;

/** The last 32 to 64 KiB of the input, and where in them each three bytes occurred. Position 0 is none. */
class MatchWindow {
  readonly bytes = new Uint8Array(WINDOW * 2);
  readonly #heads = new Uint16Array(HASH_SIZE);
  readonly #previous = new Uint16Array(WINDOW);
  readonly #input: Uint8Array;
  #taken = 0;
  /** Where the next symbol starts. */
  position = 0;
  /** How many bytes there are from it on. */
  lookahead = 0;

  constructor(input: Uint8Array) {
    this.#input = input;
  }

  /** Takes more input. @returns by how much everything moved. */
  fill(): number {
    let moved = 0;
    while (this.lookahead < MIN_LOOKAHEAD) {
      if (this.position >= WINDOW + MAX_DISTANCE) {
        this.#slide();
        moved += WINDOW;
      }
      const end = this.position + this.lookahead;
      const part = this.#input.subarray(this.#taken, this.#taken + this.bytes.length - end);
      if (part.length === 0) break;
      this.bytes.set(part, end);
      this.#taken += part.length;
      this.lookahead += part.length;
    }
    return moved;
  }

  /** Remembers the three bytes at `at`. @returns where they occurred before; 0 for nowhere. */
  insert(at: number): number {
    const [a, b, c] = [this.bytes[at] ?? 0, this.bytes[at + 1] ?? 0, this.bytes[at + 2] ?? 0];
    const hash = ((a << 10) ^ (b << 5) ^ c) & (HASH_SIZE - 1);
    const head = this.#heads[hash] ?? 0;
    this.#previous[at & WINDOW_MASK] = head;
    this.#heads[hash] = at;
    return head;
  }

  /** The first of the longest matches, if it is longer than `best`; the most recent is tried first. */
  longestMatch(candidate: number, best: number): { start: number; length: number } | undefined {
    const { bytes, position } = this;
    const limit = Math.max(position - MAX_DISTANCE, 0);
    const nice = Math.min(MAX_MATCH, this.lookahead);
    let chain = best >= GOOD_LENGTH ? MAX_CHAIN >> 2 : MAX_CHAIN;
    let start = -1;
    let longest = best;
    for (let at = candidate; ; at = this.#previous[at & WINDOW_MASK] ?? 0) {
      if (at <= limit && at !== candidate) break;
      if (bytes[at + longest] === bytes[position + longest] && bytes[at] === bytes[position]) {
        let length = 0;
        while (length < nice && bytes[at + length] === bytes[position + length]) length++;
        if (length > longest) {
          start = at;
          longest = length;
          if (length >= nice) break;
        }
      }
      if (--chain === 0) break;
    }
    return start === -1 ? undefined : { start, length: longest };
  }

  #slide(): void {
    this.bytes.copyWithin(0, WINDOW);
    this.position -= WINDOW;
    for (const table of [this.#heads, this.#previous]) {
      for (let at = 0; at < table.length; at++) table[at] = Math.max((table[at] ?? 0) - WINDOW, 0);
    }
  }
}

/** Deflates without a header around it. */
export function deflateRaw(input: Uint8Array): Uint8Array {
  const window = new MatchWindow(input);
  const symbols = new BlockSymbols();
  const out = new BitWriter();
  let blockStart = 0;
  const endBlock = (isLast: boolean): void => {
    // A block that is longer than the window cannot be stored.
    const bytes = blockStart >= 0 ? window.bytes.subarray(blockStart, window.position) : undefined;
    symbols.flush(out, bytes, isLast);
    blockStart = window.position;
  };

  let match = { start: 0, length: MIN_MATCH - 1 };
  let hasLiteral = false;
  for (;;) {
    if (window.lookahead < MIN_LOOKAHEAD) {
      const moved = window.fill();
      blockStart -= moved;
      match = { ...match, start: match.start - moved };
      if (window.lookahead === 0) break;
    }
    const before = match;
    match = { start: match.start, length: MIN_MATCH - 1 };
    const head = window.lookahead >= MIN_MATCH ? window.insert(window.position) : 0;
    if (head !== 0 && before.length < MAX_MATCH && window.position - head <= MAX_DISTANCE) {
      match = findMatch(window, head, before.length, match);
    }
    if (before.length >= MIN_MATCH && match.length <= before.length) {
      const lastInsert = window.position + window.lookahead - MIN_MATCH;
      symbols.addMatch(window.position - 1 - before.start, before.length);
      window.lookahead -= before.length - 1;
      for (let left = before.length - 2; left > 0; left--) {
        window.position++;
        if (window.position <= lastInsert) window.insert(window.position);
      }
      window.position++;
      hasLiteral = false;
      match = { start: match.start, length: MIN_MATCH - 1 };
      if (symbols.isFull) endBlock(false);
      continue;
    }
    if (hasLiteral) {
      symbols.addLiteral(window.bytes[window.position - 1] ?? 0);
      if (symbols.isFull) endBlock(false);
    }
    hasLiteral = true;
    window.position++;
    window.lookahead--;
  }
  if (hasLiteral) symbols.addLiteral(window.bytes[window.position - 1] ?? 0);
  endBlock(true);
  return out.finish();
}

/** The match at the position; one that is not worth its bits has no length. */
function findMatch(
  window: MatchWindow,
  head: number,
  best: number,
  none: { readonly start: number; readonly length: number },
): { start: number; length: number } {
  const found = window.longestMatch(head, best);
  // What is no longer than the match before is as good as none: that one is taken.
  if (found === undefined) return { start: none.start, length: Math.min(best, window.lookahead) };
  const { start, length } = found;
  const isFar = length === MIN_MATCH && window.position - start > MAX_SHORT_DISTANCE;
  return isFar
    ? { start, length: MIN_MATCH - 1 }
    : { start, length: Math.min(length, window.lookahead) };
}
