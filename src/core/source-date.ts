/** The one time that may enter an output: SOURCE_DATE_EPOCH, in seconds since 1970. */

/** Used when the environment gives none: 2021-01-29T13:26:09Z, the fixed time of Android's Microdroid images. */
export const DEFAULT_SOURCE_DATE = 1611926769;

/**
 * @param text The value of SOURCE_DATE_EPOCH, or undefined.
 * @throws {RangeError} when it is not a whole number of seconds in 0..2^32-1.
 * @see https://reproducible-builds.org/specs/source-date-epoch/
 */
export function parseSourceDate(text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_SOURCE_DATE;
  const seconds = /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  if (!(seconds < 2 ** 32)) {
    throw new RangeError(`Cannot use SOURCE_DATE_EPOCH "${text}": not a whole number of seconds`);
  }
  return seconds;
}
