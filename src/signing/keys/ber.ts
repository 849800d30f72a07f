/**
 * The BER that key stores are written in: PKCS#12 allows more than DER, such as values without a length
 * and texts in pieces, and programs of others make use of it.
 *
 * Fields may be missing here: what is asked of them then is a FormatError with the field's name.
 *
 * @see https://www.itu.int/rec/T-REC-X.690, 8.1
 */

import {
  childrenOf as partsOf,
  derError,
  MAX_DEPTH,
  readElement,
  type Element,
} from '../../formats/der/element.ts';
import { oidOf as dottedOf, smallIntegerOf } from '../../formats/der/values.ts';

/** Identifier octets. */
export const BER = {
  octetString: 0x04,
  bmpString: 0x1e,
  integer: 0x02,
  oid: 0x06,
  sequence: 0x30,
  set: 0x31,
  /** `[0]` around another value. */
  context0: 0xa0,
  /** `[0]` in the place of a text. */
  implicit0: 0x80,
} as const;

const CONSTRUCTED = 0x20;

/** Reads bytes that are one value. @throws {FormatError} `der` when they are not. */
export const readBer = (bytes: Uint8Array): Element => readElement(bytes, 'ber');

/** Whether a value is of a kind. */
export const hasTag = ({ tagClass, constructed, tagNumber }: Element, tag: number): boolean =>
  ((tagClass << 6) | (constructed ? CONSTRUCTED : 0)) === (tag & 0xe0) &&
  tagNumber === (tag & 0x1f);

/** @throws {FormatError} `der` when the value is missing, or of another kind. */
export function expectTag(value: Element | undefined, tag: number, field: string): Element {
  if (value === undefined) throw derError('truncated', `${field} is missing`, { field });
  if (hasTag(value, tag)) return value;
  throw derError('bad-value', `${field} is of another kind`, { offset: value.offset, field });
}

/** The values inside a SEQUENCE, SET or `[0]`. @throws {FormatError} `der` when it is another one. */
export const childrenOf = (
  value: Element | undefined,
  tag: number,
  field: string,
): readonly Element[] => partsOf(expectTag(value, tag, field));

/**
 * The bytes of an OCTET STRING, or of what stands in its place, in one piece or several.
 *
 * @throws {FormatError} `der` when it is another kind of value.
 */
export const octetsOf = (
  value: Element | undefined,
  field: string,
  tag: number = BER.octetString,
): Buffer => joined(value, field, tag, 0);

function joined(value: Element | undefined, field: string, tag: number, depth: number): Buffer {
  if (depth > MAX_DEPTH) throw derError('too-large', `${field} nests too deep`, { field });
  if (value === undefined || !hasTag(value, tag | CONSTRUCTED)) {
    const { contents } = expectTag(value, tag, field);
    return Buffer.from(contents.buffer, contents.byteOffset, contents.length);
  }
  return Buffer.concat(
    partsOf(value).map((piece) => joined(piece, field, BER.octetString, depth + 1)),
  );
}

/** A small number, such as a count of iterations. @throws {FormatError} `der` when it is none. */
export const numberOf = (value: Element | undefined, field: string): number =>
  smallIntegerOf(expectTag(value, BER.integer, field), field);

/** An object identifier in dotted decimals. @throws {FormatError} `der` when it is none. */
export const oidOf = (value: Element | undefined, field: string): string =>
  dottedOf(expectTag(value, BER.oid, field), field);
