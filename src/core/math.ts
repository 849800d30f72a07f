/** Integer arithmetic on sizes and offsets. */

/** The smallest multiple of `alignment` that is not below `value`. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** `value / divisor`, rounded up. */
export function divCeil(value: number, divisor: number): number {
  return Math.ceil(value / divisor);
}

/**
 * A 64-bit field as a number.
 *
 * @param field Named in the error.
 * @throws {RangeError} when the value is not a safe integer.
 */
export function toSafeNumber(value: bigint, field: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new RangeError(`Cannot use ${field}: ${value} is beyond 2^53`);
  }
  return number;
}
