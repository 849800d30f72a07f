/** UUIDs: 16 bytes in the order of their text. */

import { sha256, toHex } from '../core/digest.ts';

/** `01234567-89ab-cdef-0123-456789abcdef`. */
export function uuidText(uuid: Uint8Array): string {
  return toHex(uuid).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** @returns undefined when the text is no UUID. */
export function parseUuid(text: string): Uint8Array | undefined {
  const isUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);
  return isUuid ? new Uint8Array(Buffer.from(text.replaceAll('-', ''), 'hex')) : undefined;
}

/** A UUID of version 8 (RFC 9562: of one's own making) from a purpose and what it is derived from. */
export function deriveUuid(purpose: string, seed: Uint8Array): Uint8Array {
  const uuid = sha256(Buffer.from(`${purpose}\0`), seed).slice(0, 16);
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}
