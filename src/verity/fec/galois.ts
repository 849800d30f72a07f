/** GF(2^8) as the Reed-Solomon codes of dm-verity have it: polynomial 0x11d, generator 2. */

const POLYNOMIAL = 0x11d;

/** Powers of 2, twice over: the sum of two logarithms needs no modulus. */
export const EXP = new Uint8Array(510);
/** The inverse of `EXP`; of zero, which is no power, it says 0. */
export const LOG = new Uint8Array(256);

for (let power = 0, value = 1; power < 255; power += 1) {
  EXP[power] = value;
  EXP[power + 255] = value;
  LOG[value] = power;
  value <<= 1;
  if (value > 255) value ^= POLYNOMIAL;
}

export const multiply = (a: number, b: number): number =>
  a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!;

/** @param b Not zero. */
export const divide = (a: number, b: number): number =>
  a === 0 ? 0 : EXP[LOG[a]! + 255 - LOG[b]!]!;

/** 2 to any power that is not negative. */
export const power = (exponent: number): number => EXP[exponent % 255]!;

/** The products of one factor with every byte. */
export function productTable(factor: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, value) => multiply(factor, value));
}
