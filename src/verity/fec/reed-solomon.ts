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
 * @param syndromes Those of the matrix, where they are known already.
 * @param maxSearches In how many columns, at most, errors at other places are searched: the others fail.
 */
export function decodeColumns(
  matrix: Uint8Array,
  width: number,
  roots: number,
  erased: readonly number[],
  syndromes: Uint8Array = syndromePlanes(matrix, width, roots),
  maxSearches = width,
): DecodedColumns {
  const { errors, elsewhere } = solveErasures(syndromes, width, roots, erased);
  for (const [i, row] of erased.entries()) {
    const target = matrix.subarray(row * width, (row + 1) * width);
    const plane = errors.subarray(i * width, (i + 1) * width);
    for (let column = 0; column < width; column += 1) {
      if (elsewhere[column] === 0) target[column] = target[column]! ^ plane[column]!;
    }
  }
  const codeword = new Uint8Array(CODEWORD);
  let corrected = 0;
  let failed = 0;
  let searches = 0;
  for (let column = 0; column < width && failed < MAX_FAILED; column += 1) {
    if (elsewhere[column] === 0) {
      for (let at = column; at < syndromes.length; at += width) {
        if (syndromes[at] === 0) continue;
        corrected += 1;
        break;
      }
      continue;
    }
    for (let row = 0; row < CODEWORD; row += 1) codeword[row] = matrix[row * width + column]!;
    searches += 1;
    if (searches > maxSearches || decodeCodeword(codeword, roots, erased) === undefined) {
      failed += 1;
      continue;
    }
    for (let row = 0; row < CODEWORD; row += 1) matrix[row * width + column] = codeword[row]!;
    corrected += 1;
  }
  return { corrected, failed };
}

/** The syndromes of all columns: `roots` planes of `width` bytes. */
export function syndromePlanes(matrix: Uint8Array, width: number, roots: number): Uint8Array {
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
 * The erased rows corrected, on the assumption that there are no other errors: as many syndromes as there are erased
 * rows give them, which is far less work than all. Whether they are right must be seen from elsewhere.
 *
 * @returns the rows, one after the other.
 */
export function solveRows(
  matrix: Uint8Array,
  width: number,
  erased: readonly number[],
): Uint8Array {
  const syndromes = syndromePlanes(matrix, width, erased.length);
  const { errors } = solveErasures(syndromes, width, erased.length, erased);
  for (const [i, row] of erased.entries()) {
    for (let column = 0, at = i * width; column < width; column += 1, at += 1) {
      errors[at] = errors[at]! ^ matrix[row * width + column]!;
    }
  }
  return errors;
}

/** `sum[i] ^= factor * values[i]` for whole planes. */
function addProducts(sum: Uint8Array, factor: number, values: Uint8Array): void {
  const times = productTable(factor);
  for (let i = 0; i < sum.length; i += 1) sum[i] = sum[i]! ^ times[values[i]!]!;
}

/**
 * Solves all columns for errors at the erased rows.
 *
 * @returns the errors, a plane for each erased row, and which columns (not 0) have errors elsewhere too.
 */
function solveErasures(
  syndromes: Uint8Array,
  width: number,
  roots: number,
  erased: readonly number[],
): { readonly errors: Uint8Array; readonly elsewhere: Uint8Array } {
  const count = erased.length;
  const locators = erased.map(locatorExponent);
  const inverse = invertVandermonde(locators);
  const errors = new Uint8Array(count * width);
  const planeOf = (planes: Uint8Array, i: number): Uint8Array =>
    planes.subarray(i * width, (i + 1) * width);
  for (let i = 0; i < count; i += 1) {
    for (let j = 0; j < count; j += 1) {
      addProducts(planeOf(errors, i), inverse[i * count + j]!, planeOf(syndromes, j));
    }
  }
  // The other syndromes must agree.
  const elsewhere = new Uint8Array(width);
  for (let root = count; root < roots; root += 1) {
    const rest = planeOf(syndromes, root).slice();
    for (const [i, locator] of locators.entries()) {
      addProducts(rest, power(locator * root), planeOf(errors, i));
    }
    for (let column = 0; column < width; column += 1) {
      elsewhere[column] = elsewhere[column]! | rest[column]!;
    }
  }
  return { errors, elsewhere };
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
