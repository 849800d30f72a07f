/** Writes a value of BER as DER: shortest lengths, sets in order. */

import { childrenOf, CLASS_UNIVERSAL, derError, MAX_DEPTH, TAG, type Element } from './element.ts';
import { encodeValue } from './write.ts';

/**
 * The same value with every length in its one form. Contents of primitive values stay as they are.
 *
 * @throws {FormatError} `der` when parts of it are no values, or nested too deep.
 */
export function reencode(element: Element, depth = 0): Uint8Array {
  const { tagClass, tagNumber, constructed, contents, offset } = element;
  if (depth > MAX_DEPTH) {
    throw derError('too-large', `values are nested more than ${MAX_DEPTH} deep`, { offset });
  }
  if (!constructed) return encodeValue(tagClass, false, tagNumber, contents);
  const parts = childrenOf(element).map((child) => reencode(child, depth + 1));
  const isSet = tagClass === CLASS_UNIVERSAL && tagNumber === TAG.SET;
  const ordered = isSet ? parts.toSorted((a, b) => Buffer.compare(a, b)) : parts;
  return encodeValue(tagClass, true, tagNumber, ...ordered);
}
