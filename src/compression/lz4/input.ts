/** Reading and comparing words of an input. */

/** Multiplicative hashing: 2^32 divided by the golden ratio. */
export const HASH_FACTOR = 2_654_435_761;

/** The four bytes at a position, as a signed number. */
export const wordAt = (input: Uint8Array, at: number): number =>
  (input[at] as number) |
  ((input[at + 1] as number) << 8) |
  ((input[at + 2] as number) << 16) |
  ((input[at + 3] as number) << 24);

/** How many bytes are the same at two positions, the later one not going on behind `end`. */
export function commonLength(input: Uint8Array, from: number, at: number, end: number): number {
  let here = at;
  for (let there = from; here < end && input[there] === input[here]; there++) here++;
  return here - at;
}
