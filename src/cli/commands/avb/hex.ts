/** Hexadecimal values of options. */

import { fromHex } from '../../../core/digest.ts';
import { UsageError } from '../../../core/errors.ts';

/** @throws {UsageError} when an option's value is not hexadecimal. */
export function parseHex(text: string, option: string): Uint8Array {
  try {
    return fromHex(text);
  } catch (cause) {
    throw new UsageError('usage', `Cannot use --${option} ${text}: it is not hexadecimal`, {
      cause,
    });
  }
}
