/**
 * Blocks of deflated data: symbols in, the smallest of the three kinds of block out, as zlib encodes them.
 *
 * @see https://www.rfc-editor.org/rfc/rfc1951 section 3.2.3
 */

import { canonicalCodes, chooseCode, type Alphabet, type HuffmanCode } from './deflate-codes.ts';

/** Of a match, in bytes. */
const MIN_MATCH = 3;
export const MAX_MATCH = 258;

const END_OF_BLOCK = 256;
const FIRST_LENGTH = 257;

const range = (size: number, value: (index: number) => number): readonly number[] =>
  Array.from({ length: size }, (_, index) => value(index));

const LENGTH_EXTRA: readonly number[] = range(29, (code) =>
  code < 8 || code === 28 ? 0 : (code >> 2) - 1,
);
const DISTANCE_EXTRA: readonly number[] = range(30, (code) => (code < 4 ? 0 : (code >> 1) - 1));

/** Where the values of each code start. */
function basesOf(extra: readonly number[]): readonly number[] {
  let base = 0;
  return extra.map((bits) => {
    const start = base;
    base += 1 << bits;
    return start;
  });
}

const LENGTH_BASE = basesOf(LENGTH_EXTRA).with(28, MAX_MATCH - MIN_MATCH);
const DISTANCE_BASE = basesOf(DISTANCE_EXTRA);

/** The code of each value: of a length less 3, or of a distance less 1. */
function codesOf(bases: readonly number[], size: number): Uint8Array {
  const codes = new Uint8Array(size);
  for (const [code, base] of bases.entries()) codes.fill(code, base);
  return codes;
}

const LENGTH_CODE = codesOf(LENGTH_BASE, MAX_MATCH - MIN_MATCH + 1);
const DISTANCE_CODE = codesOf(DISTANCE_BASE, 1 << 15);

const MAX_BITS = 15;
const LITERALS: Alphabet = {
  size: 286,
  extraBits: [...range(FIRST_LENGTH, () => 0), ...LENGTH_EXTRA],
  maxLength: MAX_BITS,
};
const DISTANCES: Alphabet = { size: 30, extraBits: DISTANCE_EXTRA, maxLength: MAX_BITS };

/** Code lengths are coded themselves: 0..15, and three kinds of repetition. */
const REPEAT_LAST = 16;
const REPEAT_ZERO = 17;
const REPEAT_ZERO_LONG = 18;
const CODE_LENGTHS: Alphabet = {
  size: 19,
  extraBits: [...range(REPEAT_LAST, () => 0), 2, 3, 7],
  maxLength: 7,
};
/** The order in which their lengths are sent: the likeliest to be 0 come last. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const MIN_CODE_LENGTHS = 4;

const fixedLengths = Uint8Array.from(
  range(288, (symbol) => {
    if (symbol < 144) return 8;
    if (symbol < 256) return 9;
    return symbol < 280 ? 7 : 8;
  }),
);
const fixedDistances = new Uint8Array(30).fill(5);
const FIXED = {
  literals: { lengths: fixedLengths, codes: canonicalCodes(fixedLengths, MAX_BITS) },
  distances: { lengths: fixedDistances, codes: canonicalCodes(fixedDistances, MAX_BITS) },
};
type Code = Pick<HuffmanCode, 'lengths' | 'codes'>;

const STORED = 0;
const FIXED_CODES = 1;
const DYNAMIC_CODES = 2;

/** Bits to bytes, the first bit lowest. */
export class BitWriter {
  #bytes = new Uint8Array(1 << 16);
  #size = 0;
  #bits = 0;
  #count = 0;

  /** At most 16 bits at a time. */
  write(value: number, count: number): void {
    this.#bits |= value << this.#count;
    this.#count += count;
    while (this.#count >= 8) {
      this.#push(this.#bits & 0xff);
      this.#bits >>>= 8;
      this.#count -= 8;
    }
  }

  /** Fills the byte with zeros. */
  align(): void {
    if (this.#count > 0) this.#push(this.#bits & 0xff);
    this.#bits = 0;
    this.#count = 0;
  }

  writeBytes(bytes: Uint8Array): void {
    for (const byte of bytes) this.#push(byte);
  }

  finish(): Uint8Array {
    this.align();
    return this.#bytes.slice(0, this.#size);
  }

  #push(byte: number): void {
    if (this.#size === this.#bytes.length) {
      const larger = new Uint8Array(this.#size * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#size++] = byte;
  }
}

/** A code length, or a repetition, as it is sent. */
interface LengthToken {
  readonly symbol: number;
  readonly extra: number;
}

/** Run-length coding, which does not look beyond 6 repetitions, or 138 of zero. */
function lengthTokens({ lengths, maxSymbol }: HuffmanCode): readonly LengthToken[] {
  const tokens: LengthToken[] = [];
  let previous = -1;
  for (let at = 0; at <= maxSymbol;) {
    const length = lengths[at] ?? 0;
    const isRepeated = length !== 0 && length === previous;
    let limit = isRepeated ? 6 : 7;
    if (length === 0) limit = 138;
    let count = 1;
    while (count < limit && at + count <= maxSymbol && lengths[at + count] === length) count++;
    at += count;
    if (count < (length === 0 || isRepeated ? 3 : 4)) {
      for (let left = count; left > 0; left--) tokens.push({ symbol: length, extra: 0 });
    } else if (length === 0) {
      tokens.push(
        count <= 10
          ? { symbol: REPEAT_ZERO, extra: count - 3 }
          : { symbol: REPEAT_ZERO_LONG, extra: count - 11 },
      );
    } else {
      if (!isRepeated) tokens.push({ symbol: length, extra: 0 });
      tokens.push({ symbol: REPEAT_LAST, extra: count - (isRepeated ? 3 : 4) });
    }
    previous = length;
  }
  return tokens;
}

/** One block's symbols: literals, and matches of earlier bytes. */
export class BlockSymbols {
  static readonly #CAPACITY = (1 << 14) - 1;
  readonly #distances = new Uint16Array(BlockSymbols.#CAPACITY);
  readonly #values = new Uint8Array(BlockSymbols.#CAPACITY);
  #size = 0;

  /** Whether the block has to end here. */
  get isFull(): boolean {
    return this.#size === BlockSymbols.#CAPACITY;
  }

  addLiteral(byte: number): void {
    this.#distances[this.#size] = 0;
    this.#values[this.#size++] = byte;
  }

  addMatch(distance: number, length: number): void {
    this.#distances[this.#size] = distance;
    this.#values[this.#size++] = length - MIN_MATCH;
  }

  /**
   * Writes the symbols as a block, and starts the next one.
   *
   * @param bytes What the symbols stand for, or undefined when they are not at hand any more.
   */
  flush(out: BitWriter, bytes: Uint8Array | undefined, isLast: boolean): void {
    const { literals, distances } = this.#count();
    const literalCode = chooseCode(literals, LITERALS);
    const distanceCode = chooseCode(distances, DISTANCES);
    const header = dynamicHeader(literalCode, distanceCode);
    const dynamicBits = literalCode.totalBits + distanceCode.totalBits + header.bits;
    const fixedBits =
      fixedSize(literals, LITERALS, fixedLengths) + fixedSize(distances, DISTANCES, fixedDistances);
    // With the three bits of the block's kind.
    const inBytes = (bits: number): number => (bits + 3 + 7) >>> 3;
    const smallest = Math.min(inBytes(dynamicBits), inBytes(fixedBits));
    const last = isLast ? 1 : 0;
    if (bytes !== undefined && bytes.length + 4 <= smallest) {
      out.write((STORED << 1) | last, 3);
      out.align();
      out.write(bytes.length, 16);
      out.write(~bytes.length & 0xffff, 16);
      out.writeBytes(bytes);
    } else if (inBytes(fixedBits) <= inBytes(dynamicBits)) {
      out.write((FIXED_CODES << 1) | last, 3);
      this.#write(out, FIXED.literals, FIXED.distances);
    } else {
      out.write((DYNAMIC_CODES << 1) | last, 3);
      header.write(out);
      this.#write(out, literalCode, distanceCode);
    }
    this.#size = 0;
  }

  #count(): { readonly literals: Uint32Array; readonly distances: Uint32Array } {
    const literals = new Uint32Array(LITERALS.size);
    const distances = new Uint32Array(DISTANCES.size);
    literals[END_OF_BLOCK] = 1;
    for (let at = 0; at < this.#size; at++) {
      const distance = this.#distances[at] ?? 0;
      const value = this.#values[at] ?? 0;
      if (distance === 0) {
        literals[value] = (literals[value] ?? 0) + 1;
        continue;
      }
      const length = FIRST_LENGTH + (LENGTH_CODE[value] ?? 0);
      const code = DISTANCE_CODE[distance - 1] ?? 0;
      literals[length] = (literals[length] ?? 0) + 1;
      distances[code] = (distances[code] ?? 0) + 1;
    }
    return { literals, distances };
  }

  #write(out: BitWriter, literals: Code, distances: Code): void {
    const put = ({ codes, lengths }: Code, symbol: number): void =>
      out.write(codes[symbol] ?? 0, lengths[symbol] ?? 0);
    for (let at = 0; at < this.#size; at++) {
      const distance = this.#distances[at] ?? 0;
      const value = this.#values[at] ?? 0;
      if (distance === 0) {
        put(literals, value);
        continue;
      }
      const length = LENGTH_CODE[value] ?? 0;
      put(literals, FIRST_LENGTH + length);
      out.write(value - (LENGTH_BASE[length] ?? 0), LENGTH_EXTRA[length] ?? 0);
      const code = DISTANCE_CODE[distance - 1] ?? 0;
      put(distances, code);
      out.write(distance - 1 - (DISTANCE_BASE[code] ?? 0), DISTANCE_EXTRA[code] ?? 0);
    }
    put(literals, END_OF_BLOCK);
  }
}

/** What symbols take with fixed codes, in bits. */
function fixedSize(counts: Uint32Array, { extraBits }: Alphabet, lengths: Uint8Array): number {
  let bits = 0;
  for (const [symbol, count] of counts.entries()) {
    bits += count * ((lengths[symbol] ?? 0) + (extraBits[symbol] ?? 0));
  }
  return bits;
}

/** What tells a decoder the codes of a block. */
function dynamicHeader(
  literals: HuffmanCode,
  distances: HuffmanCode,
): { readonly bits: number; write(out: BitWriter): void } {
  const tokens = [...lengthTokens(literals), ...lengthTokens(distances)];
  const counts = new Uint32Array(CODE_LENGTHS.size);
  for (const { symbol } of tokens) counts[symbol] = (counts[symbol] ?? 0) + 1;
  const code = chooseCode(counts, CODE_LENGTHS);
  const lastUsed = CODE_LENGTH_ORDER.findLastIndex((symbol) => (code.lengths[symbol] ?? 0) > 0);
  const sent = Math.max(lastUsed + 1, MIN_CODE_LENGTHS);
  return {
    bits: code.totalBits + sent * 3 + 14,
    write(out) {
      out.write(literals.maxSymbol + 1 - FIRST_LENGTH, 5);
      out.write(distances.maxSymbol, 5);
      out.write(sent - MIN_CODE_LENGTHS, 4);
      for (const symbol of CODE_LENGTH_ORDER.slice(0, sent))
        out.write(code.lengths[symbol] ?? 0, 3);
      for (const { symbol, extra } of tokens) {
        out.write(code.codes[symbol] ?? 0, code.lengths[symbol] ?? 0);
        out.write(extra, CODE_LENGTHS.extraBits[symbol] ?? 0);
      }
    },
  };
}
