/** GUIDs: 16 bytes in a table, of which the first three groups are little-endian; text elsewhere. */

import { fromHex, toHex } from '../../core/digest.ts';

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const reorder = (bytes: Uint8Array): Uint8Array =>
  Uint8Array.of(
    ...bytes.slice(0, 4).reverse(),
    ...bytes.slice(4, 6).reverse(),
    ...bytes.slice(6, 8).reverse(),
    ...bytes.slice(8),
  );

/** @throws {RangeError} when the text is not a GUID of 36 characters. */
export function encodeGuid(text: string): Uint8Array {
  if (!GUID.test(text)) throw new RangeError(`Cannot use "${text}" as a GUID`);
  return reorder(fromHex(text.replaceAll('-', '')));
}

/** In lower case. */
export function decodeGuid(bytes: Uint8Array): string {
  return formatGuid(toHex(reorder(bytes)));
}

/**
 * A GUID of version 8 (RFC 9562, "custom") from the first bytes of a digest, so that names give
 * stable GUIDs: `guidFromDigest(sha256(name))`.
 *
 * @throws {RangeError} when the digest is shorter than 16 bytes.
 */
export function guidFromDigest(digest: Uint8Array): string {
  if (digest.length < 16) throw new RangeError('Cannot make a GUID of less than 16 bytes');
  const bytes = digest.slice(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return formatGuid(toHex(bytes));
}

const formatGuid = (hex: string): string =>
  hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
