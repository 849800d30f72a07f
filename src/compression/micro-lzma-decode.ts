/**
 * MicroLZMA: an LZMA stream without header and end marker, whose properties replace its first byte,
 * which is always zero. The decompressed size is the caller's to know.
 *
 * @see https://github.com/tukaani-project/xz-embedded/blob/master/linux/include/linux/xz.h and the
 *   LZMA specification of the LZMA SDK
 */

import { FormatError } from '../core/errors.ts';

const PROBABILITY_BITS = 11;
const PROBABILITY_START = 1 << (PROBABILITY_BITS - 1);
const MOVE_BITS = 5;
const RANGE_TOP = 2 ** 24;

const STATES = 12;
/** States below stand for a literal before. */
const LITERAL_STATES = 7;
const LENGTH_STATES = 4;
const MIN_MATCH = 2;
/** Distances from this slot on have their middle bits unmodelled and their low four bits modelled. */
const FIRST_DIRECT_SLOT = 14;
const ALIGN_BITS = 4;

const refuse = (code: 'truncated' | 'bad-value', why: string): Error =>
  new FormatError('lzma', code, `Cannot decompress LZMA: ${why}`);

/**
 * Decodes the first `length` bytes of a stream; memory is bounded by them.
 *
 * @throws {FormatError} when the stream ends early or refers to what is not there.
 */
export function decodeMicroLzma(input: Uint8Array, length: number): Uint8Array {
  const properties = ~(input[0] ?? 0) & 0xff;
  const lc = properties % 9;
  const lp = Math.floor(properties / 9) % 5;
  const pb = Math.floor(properties / 45);
  if (pb > 4 || lc + lp > 4) throw refuse('bad-value', `its properties are ${properties}`);
  const coder = createRangeDecoder(input);
  const { bit, tree, reverseTree } = coder;

  const literals = probabilities(0x300 << (lc + lp));
  const isMatch = probabilities(STATES << 4);
  const isRep = probabilities(STATES);
  const isRep0 = probabilities(STATES);
  const isRep1 = probabilities(STATES);
  const isRep2 = probabilities(STATES);
  const isRep0Long = probabilities(STATES << 4);
  const slots = Array.from({ length: LENGTH_STATES }, () => probabilities(64));
  const middles = probabilities(128);
  const align = probabilities(1 << ALIGN_BITS);
  const matchLength = createLengthDecoder(coder);
  const repLength = createLengthDecoder(coder);

  const target = new Uint8Array(length);
  let to = 0;
  let state = 0;
  let rep0 = 0;
  let rep1 = 0;
  let rep2 = 0;
  let rep3 = 0;

  const literal = (): void => {
    const before = to === 0 ? 0 : (target[to - 1] ?? 0);
    const context = ((to & ((1 << lp) - 1)) << lc) + (before >> (8 - lc));
    const base = 0x300 * context;
    let symbol = 1;
    if (state >= LITERAL_STATES) {
      // Behind a match the byte that the match did not cover predicts this one.
      let matched = target[to - rep0 - 1] ?? 0;
      while (symbol < 0x100) {
        const matchBit = (matched >> 7) & 1;
        matched <<= 1;
        const found = bit(literals, base + ((1 + matchBit) << 8) + symbol);
        symbol = (symbol << 1) | found;
        if (found !== matchBit) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | bit(literals, base + symbol);
    target[to] = symbol & 0xff;
    to += 1;
    state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
  };

  const distance = (count: number): number => {
    const model = slots[Math.min(count - MIN_MATCH, LENGTH_STATES - 1)] ?? align;
    const slot = tree(model, 0, 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const start = (2 | (slot & 1)) * 2 ** bits;
    if (slot < FIRST_DIRECT_SLOT) return start + reverseTree(middles, start - slot, bits);
    const high = coder.direct(bits - ALIGN_BITS) * (1 << ALIGN_BITS);
    return start + high + reverseTree(align, 0, ALIGN_BITS);
  };

  const copy = (count: number): void => {
    if (rep0 >= to) throw refuse('bad-value', `it refers ${rep0 + 1} bytes back at ${to}`);
    const end = Math.min(to + count, length);
    for (; to < end; to += 1) target[to] = target[to - rep0 - 1] ?? 0;
  };

  const isFull = (): boolean => to >= length;
  while (!isFull()) {
    const position = to & ((1 << pb) - 1);
    const place = (state << 4) + position;
    if (bit(isMatch, place) === 0) {
      literal();
      continue;
    }
    if (bit(isRep, state) === 0) {
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      const count = matchLength(position);
      state = state < LITERAL_STATES ? 7 : 10;
      rep0 = distance(count);
      copy(count);
      continue;
    }
    if (bit(isRep0, state) === 0) {
      if (bit(isRep0Long, place) === 0) {
        state = state < LITERAL_STATES ? 9 : 11;
        copy(1);
        continue;
      }
    } else {
      let found = rep1;
      if (bit(isRep1, state) === 1) {
        found = rep2;
        if (bit(isRep2, state) === 1) {
          found = rep3;
          rep3 = rep2;
        }
        rep2 = rep1;
      }
      rep1 = rep0;
      rep0 = found;
    }
    const count = repLength(position);
    state = state < LITERAL_STATES ? 8 : 11;
    copy(count);
  }
  return target;
}

const probabilities = (count: number): Uint16Array =>
  new Uint16Array(count).fill(PROBABILITY_START);

interface RangeDecoder {
  readonly bit: (model: Uint16Array, at: number) => number;
  /** Bits that are as likely 0 as 1. */
  readonly direct: (count: number) => number;
  readonly tree: (model: Uint16Array, at: number, bits: number) => number;
  /** Lowest bit first. */
  readonly reverseTree: (model: Uint16Array, at: number, bits: number) => number;
}

function createRangeDecoder(input: Uint8Array): RangeDecoder {
  let at = 1;
  const next = (): number => {
    const byte = input[at];
    if (byte === undefined) throw refuse('truncated', 'it is cut off');
    at += 1;
    return byte;
  };
  let range = 0xffffffff;
  let code = 0;
  for (let i = 0; i < 4; i += 1) code = code * 256 + next();

  const normalize = (): void => {
    if (range >= RANGE_TOP) return;
    range = (range << 8) >>> 0;
    code = ((code << 8) | next()) >>> 0;
  };
  const bit = (model: Uint16Array, index: number): number => {
    normalize();
    const probability = model[index] ?? PROBABILITY_START;
    const bound = (range >>> PROBABILITY_BITS) * probability;
    if (code < bound) {
      range = bound;
      model[index] = probability + (((1 << PROBABILITY_BITS) - probability) >> MOVE_BITS);
      return 0;
    }
    range -= bound;
    code -= bound;
    model[index] = probability - (probability >> MOVE_BITS);
    return 1;
  };
  return {
    bit,
    direct(count) {
      let value = 0;
      for (let i = 0; i < count; i += 1) {
        normalize();
        range >>>= 1;
        const isOne = code >= range;
        if (isOne) code -= range;
        value = value * 2 + (isOne ? 1 : 0);
      }
      return value;
    },
    tree(model, index, bits) {
      let symbol = 1;
      for (let i = 0; i < bits; i += 1) symbol = (symbol << 1) | bit(model, index + symbol);
      return symbol - (1 << bits);
    },
    reverseTree(model, index, bits) {
      let symbol = 1;
      let value = 0;
      for (let i = 0; i < bits; i += 1) {
        const found = bit(model, index + symbol);
        symbol = (symbol << 1) | found;
        value |= found << i;
      }
      return value;
    },
  };
}

/** @returns what decodes a length, by the position's low bits. */
function createLengthDecoder({ bit, tree }: RangeDecoder): (position: number) => number {
  const choice = probabilities(2);
  const low = probabilities(16 << 3);
  const middle = probabilities(16 << 3);
  const high = probabilities(256);
  return (position) => {
    if (bit(choice, 0) === 0) return MIN_MATCH + tree(low, position << 3, 3);
    if (bit(choice, 1) === 0) return MIN_MATCH + 8 + tree(middle, position << 3, 3);
    return MIN_MATCH + 16 + tree(high, 0, 8);
  };
}
