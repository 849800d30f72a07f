/**
 * One block of DEFLATE: what tokens cost in it, and its bits.
 *
 * @see RFC 1951
 */

import { BitWriter } from '../bit-writer.ts';
import { canonicalCodes, codeLengths } from '../huffman.ts';
import { MIN_MATCH } from './matches.ts';

const LITERALS = 286;
const DISTANCES = 30;
const END_OF_BLOCK = 256;
/** Block types: with the codes of the RFC, and with codes of its own. */
const BTYPE_FIXED = 1;
const BTYPE_DYNAMIC = 2;
/** The order in which the lengths of the code length code are sent. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** Symbol and extra bits of each match length, and of each distance. */
const lengthSymbol = new Uint16Array(259);
const lengthBase = new Uint16Array(LITERALS);
const lengthExtra = new Uint8Array(LITERALS);
const distanceBase = new Uint16Array(DISTANCES);
const distanceExtra = new Uint8Array(DISTANCES);
{
  let length = MIN_MATCH;
  for (let symbol = 257; symbol < 285; symbol += 1) {
    const extra = symbol < 265 ? 0 : (symbol - 261) >> 2;
    lengthBase[symbol] = length;
    lengthExtra[symbol] = extra;
    for (let each = 0; each < 1 << extra; each += 1) lengthSymbol[length++] = symbol;
  }
  // The longest match has a symbol of its own.
  lengthBase[285] = 258;
  lengthSymbol[258] = 285;
  let distance = 1;
  for (let symbol = 0; symbol < DISTANCES; symbol += 1) {
    const extra = symbol < 4 ? 0 : (symbol >> 1) - 1;
    distanceBase[symbol] = distance;
    distanceExtra[symbol] = extra;
    distance += 1 << extra;
  }
}

function distanceSymbol(distance: number): number {
  if (distance <= 4) return distance - 1;
  const bits = 31 - Math.clz32(distance - 1);
  return 2 * bits + (((distance - 1) >> (bits - 1)) & 1);
}

/** How often each symbol occurs, and the bits that follow symbols. */
export class Statistics {
  readonly literals = new Uint32Array(LITERALS);
  readonly distances = new Uint32Array(DISTANCES);
  extraBits = 0;

  constructor() {
    this.literals[END_OF_BLOCK] = 1;
  }

  /** @param token A literal, or `distance << 9 | length`. */
  add(token: number): void {
    const distance = token >>> 9;
    if (distance === 0) {
      this.literals[token] = (this.literals[token] as number) + 1;
      return;
    }
    const symbol = lengthSymbol[token & 0x1ff] as number;
    const far = distanceSymbol(distance);
    this.literals[symbol] = (this.literals[symbol] as number) + 1;
    this.distances[far] = (this.distances[far] as number) + 1;
    this.extraBits += (lengthExtra[symbol] as number) + (distanceExtra[far] as number);
  }

  copy(): Statistics {
    const copy = new Statistics();
    copy.literals.set(this.literals);
    copy.distances.set(this.distances);
    copy.extraBits = this.extraBits;
    return copy;
  }
}

/** The codes of a block, how they are sent, and what the whole block takes. */
export interface BlockCodes {
  readonly type: typeof BTYPE_FIXED | typeof BTYPE_DYNAMIC;
  readonly literals: Uint8Array;
  readonly distances: Uint8Array;
  /** Of a dynamic block: code lengths run-length encoded, `symbol | extra << 8`, and their code. */
  readonly header: readonly number[];
  readonly headerLengths: Uint8Array;
  /** Of the whole block with its header, in bits. */
  readonly bits: number;
}

const fixedLiterals = Uint8Array.from({ length: LITERALS }, (_, symbol) =>
  symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
);
const fixedDistances = new Uint8Array(DISTANCES).fill(5);

/** The cheaper codes for a block of these statistics. */
export function chooseCodes(statistics: Statistics): BlockCodes {
  const literals = codeLengths(statistics.literals, 15);
  const distances = codeLengths(statistics.distances, 15);
  const header = encodeLengths(literals, distances);
  const counts = new Uint32Array(19);
  for (const item of header) counts[item & 0xff] = (counts[item & 0xff] as number) + 1;
  const headerLengths = codeLengths(counts, 7);
  let headerBits = 14 + 3 * headerCount(headerLengths);
  for (const item of header) {
    headerBits += (headerLengths[item & 0xff] as number) + headerExtra(item & 0xff);
  }
  const body = (own: Uint8Array, far: Uint8Array): number => {
    let bits = 3 + statistics.extraBits;
    for (let symbol = 0; symbol < LITERALS; symbol += 1) {
      bits += (own[symbol] as number) * (statistics.literals[symbol] as number);
    }
    for (let symbol = 0; symbol < DISTANCES; symbol += 1) {
      bits += (far[symbol] as number) * (statistics.distances[symbol] as number);
    }
    return bits;
  };
  const dynamic = headerBits + body(literals, distances);
  const fixed = body(fixedLiterals, fixedDistances);
  return dynamic < fixed
    ? { type: BTYPE_DYNAMIC, literals, distances, header, headerLengths, bits: dynamic }
    : {
        type: BTYPE_FIXED,
        literals: fixedLiterals,
        distances: fixedDistances,
        header: [],
        headerLengths,
        bits: fixed,
      };
}

const trimmed = (lengths: Uint8Array, least: number): number => {
  let count = lengths.length;
  while (count > least && lengths[count - 1] === 0) count -= 1;
  return count;
};

/** Both codes' lengths as one sequence: runs become symbols 16 (repeat), 17 and 18 (zeros). */
function encodeLengths(literals: Uint8Array, distances: Uint8Array): number[] {
  const all = [
    ...literals.subarray(0, trimmed(literals, 257)),
    ...distances.subarray(0, trimmed(distances, 1)),
  ];
  const out: number[] = [];
  for (let at = 0; at < all.length;) {
    const length = all[at] as number;
    let run = 1;
    while (at + run < all.length && all[at + run] === length) run += 1;
    at += run;
    if (length === 0) {
      for (; run >= 11; run -= Math.min(run, 138)) out.push(18 | ((Math.min(run, 138) - 11) << 8));
      if (run >= 3) {
        out.push(17 | ((run - 3) << 8));
        run = 0;
      }
    } else {
      out.push(length);
      run -= 1;
      for (; run >= 3; run -= Math.min(run, 6)) out.push(16 | ((Math.min(run, 6) - 3) << 8));
    }
    for (; run > 0; run -= 1) out.push(length);
  }
  return out;
}

const headerExtra = (symbol: number): number =>
  symbol === 16 ? 2 : symbol === 17 ? 3 : symbol === 18 ? 7 : 0;

function headerCount(lengths: Uint8Array): number {
  let count = 19;
  while (count > 4 && lengths[CODE_LENGTH_ORDER[count - 1] as number] === 0) count -= 1;
  return count;
}

/** The bytes of a stream that is this one block. */
export function encodeBlock(tokens: Uint32Array, codes: BlockCodes): Uint8Array {
  const out = new BitWriter(Math.ceil(codes.bits / 8));
  out.put(1 | (codes.type << 1), 3); // the last block, and its type
  if (codes.type === BTYPE_DYNAMIC) {
    const count = headerCount(codes.headerLengths);
    out.put(trimmed(codes.literals, 257) - 257, 5);
    out.put(trimmed(codes.distances, 1) - 1, 5);
    out.put(count - 4, 4);
    for (const symbol of CODE_LENGTH_ORDER.slice(0, count)) {
      out.put(codes.headerLengths[symbol] as number, 3);
    }
    const sent = canonicalCodes(codes.headerLengths);
    for (const item of codes.header) {
      const symbol = item & 0xff;
      out.put(sent[symbol] as number, codes.headerLengths[symbol] as number);
      out.put(item >>> 8, headerExtra(symbol));
    }
  }
  // The two last symbols of the fixed code are never used, but count in it.
  const literals =
    codes.type === BTYPE_FIXED
      ? canonicalCodes(Uint8Array.of(...codes.literals, 8, 8))
      : canonicalCodes(codes.literals);
  const distances = canonicalCodes(codes.distances);
  const put = (symbol: number): void =>
    out.put(literals[symbol] as number, codes.literals[symbol] as number);
  for (const token of tokens) {
    const distance = token >>> 9;
    if (distance === 0) {
      put(token);
      continue;
    }
    const length = token & 0x1ff;
    const symbol = lengthSymbol[length] as number;
    put(symbol);
    out.put(length - (lengthBase[symbol] as number), lengthExtra[symbol] as number);
    const far = distanceSymbol(distance);
    out.put(distances[far] as number, codes.distances[far] as number);
    out.put(distance - (distanceBase[far] as number), distanceExtra[far] as number);
  }
  put(END_OF_BLOCK);
  return out.finish();
}
