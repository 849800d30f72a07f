/** Writes DER. Each function returns a complete data value. */

import { CLASS_CONTEXT, CLASS_UNIVERSAL, TAG } from './element.ts';

type Part = Uint8Array;

/** Larger values are not written: what is signed elsewhere is not inside. */
const MAX_CONTENTS = 0x7fff_ffff;

function header(tagClass: number, constructed: boolean, tagNumber: number, length: number): Part {
  if (tagNumber >= 0x1f) throw new RangeError(`Cannot write tag number ${tagNumber}`);
  if (length > MAX_CONTENTS) throw new RangeError(`Cannot write a DER value of ${length} bytes`);
  const identifier = (tagClass << 6) | (constructed ? 0x20 : 0) | tagNumber;
  if (length < 0x80) return Uint8Array.of(identifier, length);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return Uint8Array.of(identifier, 0x80 | digits.length, ...digits);
}

/** A value of any tag below 31. */
export function encodeValue(
  tagClass: number,
  constructed: boolean,
  tagNumber: number,
  ...parts: readonly Part[]
): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return new Uint8Array(
    Buffer.concat([header(tagClass, constructed, tagNumber, length), ...parts]),
  );
}

const inOrder = (parts: readonly Part[]): readonly Part[] =>
  parts.toSorted((a, b) => Buffer.compare(a, b));

export const sequence = (...parts: readonly Part[]): Uint8Array =>
  encodeValue(CLASS_UNIVERSAL, true, TAG.SEQUENCE, ...parts);

/** SET OF: its parts are sorted by their encoding, as DER wants them. */
export const setOf = (parts: readonly Part[]): Uint8Array =>
  encodeValue(CLASS_UNIVERSAL, true, TAG.SET, ...inOrder(parts));

/** `[number] EXPLICIT`. */
export const explicit = (number: number, value: Part): Uint8Array =>
  encodeValue(CLASS_CONTEXT, true, number, value);

/** `[number] IMPLICIT SET OF`, sorted. */
export const implicitSetOf = (number: number, parts: readonly Part[]): Uint8Array =>
  encodeValue(CLASS_CONTEXT, true, number, ...inOrder(parts));

export const octetString = (bytes: Part): Uint8Array =>
  encodeValue(CLASS_UNIVERSAL, false, TAG.OCTET_STRING, bytes);

/** A string of whole bytes. */
export const bitString = (bytes: Part): Uint8Array =>
  encodeValue(CLASS_UNIVERSAL, false, TAG.BIT_STRING, Uint8Array.of(0), bytes);

export const nullValue = (): Uint8Array => encodeValue(CLASS_UNIVERSAL, false, TAG.NULL);

export const boolean = (value: boolean): Uint8Array =>
  encodeValue(CLASS_UNIVERSAL, false, TAG.BOOLEAN, Uint8Array.of(value ? 0xff : 0));

export function integer(value: bigint): Uint8Array {
  let size = 1;
  while (BigInt.asIntN(size * 8, value) !== value) size += 1;
  const hex = BigInt.asUintN(size * 8, value)
    .toString(16)
    .padStart(size * 2, '0');
  return encodeValue(CLASS_UNIVERSAL, false, TAG.INTEGER, Buffer.from(hex, 'hex'));
}

/** @throws {SyntaxError} when the text is not numbers with dots between them, as X.660 limits them. */
export function objectIdentifier(dotted: string): Uint8Array {
  const isDotted = /^[012](?:\.(?:0|[1-9][0-9]*))+$/.test(dotted);
  const [root = 0n, second = 0n, ...rest] = isDotted ? dotted.split('.').map(BigInt) : [];
  if (!isDotted || (root < 2n && second > 39n)) {
    throw new SyntaxError(`Cannot write "${dotted}" as an object identifier`);
  }
  const bytes: number[] = [];
  for (const arc of [root * 40n + second, ...rest]) {
    const digits = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) digits.unshift(Number(left & 0x7fn) | 0x80);
    bytes.push(...digits);
  }
  return encodeValue(CLASS_UNIVERSAL, false, TAG.OBJECT_IDENTIFIER, Uint8Array.from(bytes));
}
