/**
 * Decoding RS(255, 255 - roots) with first root 1 (2^0): `e` symbols that are known to be wrong and `t` that are not
 * are corrected when `e + 2t` is at most `roots`.
 *
 * @see R. E. Blahut, Algebraic Codes for Data Transmission, chapter 7
 */

import { EXP, LOG, divide, multiply, power, productTable } from './galois.ts';
import { CODEWORD } from './layout.ts';

/** The locator of a symbol: symbol 0 is the coefficient of the highest power. */
const locatorExponent = (position: number): number => CODEWORD - 1 - position;

/**
 * Corrects one codeword in place.
 *
 * @param codeword 255 symbols, the parity last.
 * @param erased Positions that are known to be wrong; what stands there does not matter.
 * @returns how many symbols were changed, or undefined when there are too many errors: then nothing was.
 */
export function decodeCodeword(
  codeword: Uint8Array,
  roots: number,
  erased: readonly number[] = [],
): number | undefined {
  const syndromes = syndromesOf(codeword, roots);
  if (syndromes.every((value) => value === 0)) return 0;
  if (erased.length > roots) return undefined;
  const locator = errorLocator(syndromes, roots, erased);
  const degree = locator.findLastIndex((value) => value !== 0);
  // Chien's search: the positions whose inverse locator is a root.
  const positions: number[] = [];
  for (let position = 0; position < CODEWORD && positions.length <= degree; position += 1) {
    if (evaluate(locator, CODEWORD - locatorExponent(position)) === 0) positions.push(position);
  }
  if (positions.length !== degree) return undefined;

  // Forney's: the values of the errors at these positions.
  const evaluator = Array.from({ length: degree }, (_, i) => {
    let sum = 0;
    for (let j = 0; j <= i; j += 1) sum ^= multiply(syndromes[i - j]!, locator[j]!);
    return sum;
  });
  const derivative = locator.slice(1).map((value, i) => (i % 2 === 0 ? value : 0));
  const corrected = codeword.slice();
  let changed = 0;
  for (const position of positions) {
    const exponent = locatorExponent(position);
    const slope = evaluate(derivative, CODEWORD - exponent);
    if (slope === 0) return undefined;
    const ratio = divide(evaluate(evaluator, CODEWORD - exponent), slope);
    const error = multiply(power(exponent), ratio);
    if (error === 0) continue;
    corrected[position] = corrected[position]! ^ error;
    changed += 1;
  }
  // What has more errors than can be located may have led anywhere.
  if (syndromesOf(corrected, roots).some((value) => value !== 0)) return undefined;
  codeword.set(corrected);
  return changed;
}

/** The codeword's polynomial at each root of the generator; all zero for what is a codeword. */
function syndromesOf(codeword: Uint8Array, roots: number): Uint8Array {
  const syndromes = new Uint8Array(roots);
  for (let root = 0; root < roots; root += 1) {
    let sum = 0;
    for (let i = 0; i < CODEWORD; i += 1) {
      sum = (sum === 0 ? 0 : EXP[LOG[sum]! + root]!) ^ codeword[i]!;
    }
    syndromes[root] = sum;
  }
  return syndromes;
}

/** A polynomial, lowest coefficient first, at 2^exponent. */
function evaluate(polynomial: ArrayLike<number>, exponent: number): number {
  let sum = 0;
  for (let i = 0; i < polynomial.length; i += 1) {
    const value = polynomial[i]!;
    if (value !== 0) sum ^= EXP[(LOG[value]! + i * exponent) % 255]!;
  }
  return sum;
}

/** Berlekamp's and Massey's algorithm, begun with the locator of the erasures. */
function errorLocator(syndromes: Uint8Array, roots: number, erased: readonly number[]): Uint8Array {
  let locator = new Uint8Array(roots + 1);
  locator[0] = 1;
  for (const [count, position] of erased.entries()) {
    const factor = power(locatorExponent(position));
    for (let i = count + 1; i > 0; i -= 1) {
      locator[i] = locator[i]! ^ multiply(factor, locator[i - 1]!);
    }
  }
  let previous = locator.slice();
  let length = erased.length;
  for (let step = erased.length; step < roots; step += 1) {
    let discrepancy = 0;
    for (let i = 0; i <= step; i += 1) {
      discrepancy ^= multiply(locator[i]!, syndromes[step - i]!);
    }
    previous.copyWithin(1, 0, roots);
    previous[0] = 0;
    if (discrepancy === 0) continue;
    const next = locator.map((value, i) => value ^ multiply(discrepancy, previous[i]!));
    if (2 * length <= step + erased.length) {
      length = step + 1 + erased.length - length;
      previous = locator.map((value) => divide(value, discrepancy));
    }
    locator = next;
  }
  return locator;
}

export interface DecodedColumns {
  /** Columns that were no codewords and are now. */
  readonly corrected: number;
  /** Columns with too many errors, left as they were. */
  readonly failed: number;
}

/** With so many columns beyond repair the others are left as they are: each costs a search for nothing. */
const MAX_FAILED = 512;

/**
 * Corrects many codewords with the same erasures in place: whole blocks are wrong more often than single bytes. The
 * erased symbols are linear in the syndromes, so one matrix solves all columns that have no other error.
 *
 * @param matrix 255 rows of `width` bytes, those of the parity last; each column is a codeword.
 * @param erased Rows, at most `roots` of them.
 */
export function decodeColumns(
  matrix: Uint8Array,
  width: number,
  roots: number,
  erased: readonly number[],
): DecodedColumns {
  const syndromes = syndromePlanes(matrix, width, roots);
  const solve = erasureSolver(roots, erased);
  const codeword = new Uint8Array(CODEWORD);
  const syndrome = new Uint8Array(roots);
  let corrected = 0;
  let failed = 0;
  for (let column = 0; column < width && failed < MAX_FAILED; column += 1) {
    for (let root = 0; root < roots; root += 1) syndrome[root] = syndromes[root * width + column]!;
    if (syndrome.every((value) => value === 0)) continue;
    const values = solve(syndrome);
    if (values !== undefined) {
      for (const [i, row] of erased.entries()) {
        const at = row * width + column;
        matrix[at] = matrix[at]! ^ values[i]!;
      }
      corrected += 1;
      continue;
    }
    for (let row = 0; row < CODEWORD; row += 1) codeword[row] = matrix[row * width + column]!;
    if (decodeCodeword(codeword, roots, erased) === undefined) {
      failed += 1;
      continue;
    }
    for (let row = 0; row < CODEWORD; row += 1) matrix[row * width + column] = codeword[row]!;
    corrected += 1;
  }
  return { corrected, failed };
}

/** The syndromes of all columns: `roots` planes of `width` bytes. */
function syndromePlanes(matrix: Uint8Array, width: number, roots: number): Uint8Array {
  const planes = new Uint8Array(roots * width);
  for (let root = 0; root < roots; root += 1) {
    const times = productTable(power(root));
    const plane = planes.subarray(root * width, (root + 1) * width);
    for (let row = 0; row < CODEWORD * width; row += width) {
      for (let i = 0; i < width; i += 1) plane[i] = times[plane[i]!]! ^ matrix[row + i]!;
    }
  }
  return planes;
}

/**
 * Solves for the errors at known places.
 *
 * @returns a function that gives them by their order, or undefined when there are errors elsewhere too.
 */
function erasureSolver(
  roots: number,
  erased: readonly number[],
): (syndromes: Uint8Array) => Uint8Array | undefined {
  const count = erased.length;
  const locators = erased.map(locatorExponent);
  const inverse = invertVandermonde(locators);
  return (syndromes) => {
    const values = new Uint8Array(count);
    for (let i = 0; i < count; i += 1) {
      let sum = 0;
      for (let j = 0; j < count; j += 1) sum ^= multiply(inverse[i * count + j]!, syndromes[j]!);
      values[i] = sum;
    }
    for (let root = count; root < roots; root += 1) {
      let sum = 0;
      for (let i = 0; i < count; i += 1) sum ^= multiply(power(locators[i]! * root), values[i]!);
      if (sum !== syndromes[root]) return undefined;
    }
    return values;
  };
}

/** The inverse of the matrix whose row `j` holds the locators to the power of `j`, by elimination. */
function invertVandermonde(locators: readonly number[]): Uint8Array {
  const count = locators.length;
  const span = 2 * count;
  const work = new Uint8Array(count * span);
  for (let row = 0; row < count; row += 1) {
    for (const [i, locator] of locators.entries()) work[row * span + i] = power(locator * row);
    work[row * span + count + row] = 1;
  }
  for (let pivot = 0; pivot < count; pivot += 1) {
    // Different locators: there is always a row to take.
    let from = pivot;
    while (from < count - 1 && work[from * span + pivot] === 0) from += 1;
    const taken = work.slice(from * span, (from + 1) * span);
    work.copyWithin(from * span, pivot * span, (pivot + 1) * span);
    const scale = taken[pivot]!;
    for (let i = 0; i < span; i += 1) taken[i] = divide(taken[i]!, scale);
    work.set(taken, pivot * span);
    for (let row = 0; row < count; row += 1) {
      const factor = work[row * span + pivot]!;
      if (row === pivot || factor === 0) continue;
      for (let i = 0; i < span; i += 1) {
        work[row * span + i] = work[row * span + i]! ^ multiply(factor, taken[i]!);
      }
    }
  }
  const inverse = new Uint8Array(count * count);
  for (let row = 0; row < count; row += 1) {
    inverse.set(work.subarray(row * span + count, (row + 1) * span), row * count);
  }
  return inverse;
}
