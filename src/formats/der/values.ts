/** Primitive values of DER: integers, object identifiers, booleans and strings of bytes. */

import { CLASS_UNIVERSAL, derError, formatTag, isTag, TAG, type Element } from './element.ts';

/** Serial numbers have 20 bytes, RSA moduli of 16384 bits 2049: more is no number of ours. */
const MAX_INTEGER = 1 << 13;
/** Content of an object identifier, in bytes; ours have up to 9. */
const MAX_OID = 128;

/** Checks that a value is of a universal type, and written as that type is written. */
export function expectTag(element: Element, tagNumber: number, field: string): void {
  if (!isTag(element, tagNumber)) {
    throw derError(
      'bad-value',
      `${field} is ${formatTag(element.tagNumber, element.tagClass)} instead of ${formatTag(tagNumber, CLASS_UNIVERSAL)}`,
      { offset: element.offset, field },
    );
  }
  expectForm(element, tagNumber === TAG.SEQUENCE || tagNumber === TAG.SET, field);
}

/** BER could cut a string into parts; DER cannot, and Android reads no such strings either. */
export function expectForm(element: Element, constructed: boolean, field: string): void {
  if (element.constructed === constructed) return;
  throw derError(
    'bad-value',
    `${field} is ${element.constructed ? 'made of parts' : 'not made of parts'}`,
    { offset: element.offset, field },
  );
}

/** The shortest form has neither nine leading zeros nor nine leading ones. */
const isPadded = (contents: Uint8Array): boolean => {
  const [first, second = 0] = contents;
  return contents.length > 1 && first === (second < 0x80 ? 0 : 0xff);
};

/** An INTEGER of any sign. */
export function integerOf(element: Element, field: string): bigint {
  expectTag(element, TAG.INTEGER, field);
  return integerContents(element, field);
}

export function integerContents(element: Element, field: string): bigint {
  const { contents, offset, rules } = element;
  if (contents.length === 0 || contents.length > MAX_INTEGER) {
    throw derError('bad-value', `${field} is an integer of ${contents.length} bytes`, {
      offset,
      field,
    });
  }
  if (rules === 'der' && isPadded(contents)) {
    throw derError('bad-value', `${field} is an integer that is not in its shortest form`, {
      offset,
      field,
    });
  }
  const unsigned = BigInt(`0x${Buffer.from(contents).toString('hex')}`);
  return BigInt.asIntN(contents.length * 8, unsigned);
}

/** An INTEGER from 0 to 2^31 - 1. */
export function smallIntegerOf(element: Element, field: string): number {
  const value = integerOf(element, field);
  if (value < 0n || value > 0x7fff_ffffn) {
    throw derError('out-of-range', `${field} is ${value}`, { offset: element.offset, field });
  }
  return Number(value);
}

/** A BOOLEAN: 0xff is true. */
export function booleanOf(element: Element, field: string): boolean {
  expectTag(element, TAG.BOOLEAN, field);
  const [value, ...more] = element.contents;
  const isOne = value !== undefined && more.length === 0;
  if (!isOne || (element.rules === 'der' && value !== 0 && value !== 0xff)) {
    throw derError('bad-value', `${field} is no boolean`, { offset: element.offset, field });
  }
  return value !== 0;
}

export function expectNull(element: Element, field: string): void {
  expectTag(element, TAG.NULL, field);
  if (element.contents.length === 0) return;
  throw derError('bad-value', `${field} is a null with contents`, {
    offset: element.offset,
    field,
  });
}

/** The bytes of an OCTET STRING. A view. */
export function octetsOf(element: Element, field: string): Uint8Array {
  expectTag(element, TAG.OCTET_STRING, field);
  return element.contents;
}

/** The bytes of a BIT STRING, and how many bits of the last one are not used. A view. */
export function bitsOf(
  element: Element,
  field: string,
): { readonly unused: number; readonly bytes: Uint8Array } {
  expectTag(element, TAG.BIT_STRING, field);
  const [unused] = element.contents;
  const bytes = element.contents.subarray(1);
  const last = bytes.at(-1) ?? 0;
  const isWrong =
    unused === undefined ||
    unused > 7 ||
    (bytes.length === 0 && unused > 0) ||
    (element.rules === 'der' && (last & ((1 << unused) - 1)) !== 0);
  if (isWrong) {
    throw derError('bad-value', `${field} is no string of bits`, {
      offset: element.offset,
      field,
    });
  }
  return { unused, bytes };
}

/** An OBJECT IDENTIFIER in dotted form. */
export function oidOf(element: Element, field: string): string {
  expectTag(element, TAG.OBJECT_IDENTIFIER, field);
  const { contents, offset } = element;
  if (contents.length === 0 || contents.length > MAX_OID) {
    throw derError('bad-value', `${field} is an object identifier of ${contents.length} bytes`, {
      offset,
      field,
    });
  }
  const arcs: bigint[] = [];
  let arc = 0n;
  let isStart = true;
  for (const byte of contents) {
    if (isStart && byte === 0x80) {
      throw derError('bad-value', `${field} has an arc that starts with zero bits`, {
        offset,
        field,
      });
    }
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    isStart = (byte & 0x80) === 0;
    if (!isStart) continue;
    arcs.push(arc);
    arc = 0n;
  }
  if (!isStart) throw derError('truncated', `${field} ends inside an arc`, { offset, field });
  const [first = 0n, ...rest] = arcs;
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - root * 40n, ...rest].join('.');
}
