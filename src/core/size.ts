/** Sizes as people write them: letters alone count in thousands, with an `i` in 1024s. */

import { UsageError } from './errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/**
 * A size as people write it: `10GiB`, `500MB`, `1.5G`, or bytes.
 *
 * @throws {UsageError} when it is none.
 */
export function parseSize(text: string, name: string): number {
  const [, number, unit = ''] =
    /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]i?)?b?\s*$/i.exec(text) ?? [];
  const size = Math.floor(Number(number) * (UNITS[unit.toLowerCase()] ?? NaN));
  if (Number.isSafeInteger(size)) return size;
  throw new UsageError('usage', `Cannot use "${text}" as ${name}: it is not a size`, {
    hint: 'Write bytes, or a number with a unit: 500MB, 10GiB',
  });
}
