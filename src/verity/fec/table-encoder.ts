/**
 * Reed-Solomon parity by table, on the calling thread: the twin of the native encoder.
 *
 * A codeword's parity is the remainder of its message by the generator polynomial. One byte of the message after
 * another shifts the remainder by a byte and adds a multiple of the polynomial, which a table holds for each of
 * the 256 bytes that may fall out in front, four bytes a word.
 */

import type { FecEncoder } from '../fec-encoder.ts';
import { CODEWORD } from './layout.ts';
import { multiply, power } from './galois.ts';

/** Columns worked on at a time: their remainders and a line of each row stay in the cache. */
const STRIPE = 2048;

interface Table {
  readonly words: number;
  /** By the byte that falls out: `words` words, the first parity byte highest. */
  readonly multiples: Int32Array;
}

const tables = new Map<number, Table>();

/** Holds nothing but tables, made on first use. */
export const tableFecEncoder: FecEncoder = {
  encode(roots, rows, width, parity) {
    const count = CODEWORD - roots;
    if (rows.length < count * width || parity.length < width * roots) {
      throw new RangeError(`Cannot encode ${width} columns: ${rows.length} bytes are too few`);
    }
    const table = tables.get(roots) ?? tableFor(roots);
    tables.set(roots, table);
    for (let first = 0; first < width; first += STRIPE) {
      const columns = Math.min(STRIPE, width - first);
      if (table.words === 1) encodeNarrow(table, roots, rows, width, first, columns, parity);
      else encodeWide(table, roots, rows, width, first, columns, parity);
    }
  },
};

/** (x - 1)(x - 2)(x - 4)..., without its leading 1: the highest coefficient first. */
function generator(roots: number): number[] {
  let polynomial = [1];
  for (let root = 0; root < roots; root += 1) {
    const shifted = [...polynomial, 0];
    polynomial = shifted.map(
      (value, i) => value ^ (i === 0 ? 0 : multiply(polynomial[i - 1]!, power(root))),
    );
  }
  return polynomial.slice(1);
}

function tableFor(roots: number): Table {
  const coefficients = generator(roots);
  const words = Math.ceil(roots / 4);
  const bytes = new DataView(new ArrayBuffer(256 * words * 4));
  for (let value = 0; value < 256; value += 1) {
    for (const [i, coefficient] of coefficients.entries()) {
      bytes.setUint8(value * words * 4 + i, multiply(value, coefficient));
    }
  }
  const multiples = Int32Array.from({ length: 256 * words }, (_, i) => bytes.getInt32(i * 4));
  return { words, multiples };
}

/** Up to four roots: the remainder is one word. */
function encodeNarrow(
  { multiples }: Table,
  roots: number,
  rows: Uint8Array,
  width: number,
  first: number,
  columns: number,
  parity: Uint8Array,
): void {
  const remainders = new Int32Array(columns);
  const end = (CODEWORD - roots) * width;
  for (let row = first; row < end; row += width) {
    for (let i = 0; i < columns; i += 1) {
      const remainder = remainders[i]!;
      remainders[i] = (remainder << 8) ^ multiples[(remainder >>> 24) ^ rows[row + i]!]!;
    }
  }
  for (let i = 0, to = first * roots; i < columns; i += 1) {
    for (let root = 0; root < roots; root += 1, to += 1) {
      parity[to] = remainders[i]! >>> (24 - root * 8);
    }
  }
}

function encodeWide(
  { words, multiples }: Table,
  roots: number,
  rows: Uint8Array,
  width: number,
  first: number,
  columns: number,
  parity: Uint8Array,
): void {
  const remainders = new Int32Array(columns * words);
  const end = (CODEWORD - roots) * width;
  for (let row = first; row < end; row += width) {
    for (let i = 0, at = 0; i < columns; i += 1) {
      let word = remainders[at]!;
      let multiple = ((word >>> 24) ^ rows[row + i]!) * words;
      const last = at + words - 1;
      for (; at < last; at += 1, multiple += 1) {
        const next = remainders[at + 1]!;
        remainders[at] = ((word << 8) | (next >>> 24)) ^ multiples[multiple]!;
        word = next;
      }
      remainders[at] = (word << 8) ^ multiples[multiple]!;
      at += 1;
    }
  }
  for (let i = 0, to = first * roots; i < columns; i += 1) {
    for (let root = 0; root < roots; root += 1, to += 1) {
      parity[to] = remainders[i * words + (root >> 2)]! >>> (24 - (root & 3) * 8);
    }
  }
}
