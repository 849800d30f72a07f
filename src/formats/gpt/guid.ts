/**
 * GUIDs: 16 bytes in the order of their text, as everywhere but in the table, where the first three
 * groups are little-endian.
 */

import { fromHex, toHex } from '../../core/digest.ts';

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** @throws {RangeError} when the text is not a GUID of 36 characters. */
export function parseGuid(text: string): Uint8Array {
  if (!GUID.test(text)) throw new RangeError(`Cannot use "${text}" as a GUID`);
  return fromHex(text.replaceAll('-', ''));
}

/** In lower case. */
export function formatGuid(guid: Uint8Array): string {
  return toHex(guid).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** From the order of the text to that of the table, and back. */
export function swapGuid(guid: Uint8Array): Uint8Array {
  return Uint8Array.of(
    ...guid.slice(0, 4).reverse(),
    ...guid.slice(4, 6).reverse(),
    ...guid.slice(6, 8).reverse(),
    ...guid.slice(8),
  );
}
