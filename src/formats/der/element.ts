/**
 * Reads data values of ASN.1's Distinguished Encoding Rules, without knowing what they mean.
 *
 * @see https://www.itu.int/rec/T-REC-X.690
 */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';

export const CLASS_UNIVERSAL = 0;
export const CLASS_CONTEXT = 2;

/** Numbers of the universal class. */
export const TAG = {
  BOOLEAN: 1,
  INTEGER: 2,
  BIT_STRING: 3,
  OCTET_STRING: 4,
  NULL: 5,
  OBJECT_IDENTIFIER: 6,
  ENUMERATED: 10,
  UTF8_STRING: 12,
  SEQUENCE: 16,
  SET: 17,
  PRINTABLE_STRING: 19,
  UTC_TIME: 23,
  GENERALIZED_TIME: 24,
} as const;

/**
 * - `der`: one encoding for each value, everything else is an error.
 * - `ber`: also lengths that are longer than they need be, and lengths that are given by an end mark.
 *   Only for what Android has always read so.
 */
export type EncodingRules = 'der' | 'ber';

/** One data value: an identifier, a length and contents. */
export interface Element {
  readonly rules: EncodingRules;
  /** 0 universal, 1 application, 2 context-specific, 3 private. */
  readonly tagClass: number;
  readonly constructed: boolean;
  readonly tagNumber: number;
  /** Where the identifier stands in the outermost input, in bytes. */
  readonly offset: number;
  readonly contentsOffset: number;
  /** Identifier, length and contents as they are in the input. A view. */
  readonly encoded: Uint8Array;
  /** A view. */
  readonly contents: Uint8Array;
}

/** Values inside each other: certificates of real life have about ten levels. */
export const MAX_DEPTH = 64;
/** Direct parts of one value: a certificate list with more is an attack on memory. */
const MAX_CHILDREN = 65_536;
/** The long form of a length may give up to 126 bytes; four are 4 GiB. */
const MAX_LENGTH_BYTES = 4;
const MAX_TAG_NUMBER = 0x0fff_ffff;

export const derError = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string } = {},
): FormatError => new FormatError('der', code, `Cannot read DER: ${message}`, where);

const truncated = (offset: number): FormatError =>
  derError('truncated', 'a value reaches beyond the bytes that hold it', { offset });

function readTagNumber(
  bytes: Uint8Array,
  at: number,
  base: number,
): { number: number; end: number } {
  const low = (bytes[at] ?? 0) & 0x1f;
  if (low !== 0x1f) return { number: low, end: at + 1 };
  let number = 0;
  for (let end = at + 1; ; end++) {
    const byte = bytes[end];
    if (byte === undefined) throw truncated(base + at);
    if (number === 0 && byte === 0x80) {
      throw derError('bad-value', 'a tag number starts with zero bits', { offset: base + at });
    }
    number = number * 128 + (byte & 0x7f);
    if (number > MAX_TAG_NUMBER) {
      throw derError('too-large', 'a tag number is too large', { offset: base + at });
    }
    if ((byte & 0x80) !== 0) continue;
    if (number < 0x1f) {
      throw derError('bad-value', `tag number ${number} is not in its short form`, {
        offset: base + at,
      });
    }
    return { number, end: end + 1 };
  }
}

/** Undefined stands for a length that an end mark gives. */
function readLength(
  bytes: Uint8Array,
  at: number,
  base: number,
  rules: EncodingRules,
): { length: number | undefined; end: number } {
  const first = bytes[at];
  const where = { offset: base + at };
  if (first === undefined) throw truncated(base + at);
  if (first < 0x80) return { length: first, end: at + 1 };
  if (first === 0x80) {
    if (rules === 'ber') return { length: undefined, end: at + 1 };
    throw derError('bad-value', 'a length is indefinite', where);
  }
  const count = first & 0x7f;
  if (count > MAX_LENGTH_BYTES) {
    throw derError('too-large', `a length has ${count} bytes`, where);
  }
  let length = 0;
  for (let index = 1; index <= count; index++) {
    const byte = bytes[at + index];
    if (byte === undefined) throw truncated(base + at);
    length = length * 256 + byte;
  }
  const shortest = length < 0x80 ? 0 : Math.ceil((32 - Math.clz32(length)) / 8);
  if (rules === 'der' && shortest !== count) {
    throw derError('bad-value', `the length ${length} is not in its shortest form`, where);
  }
  return { length, end: at + 1 + count };
}

/** Where contents without a length end: at two zero bytes, which are not part of any value inside. */
function findEndMark(
  bytes: Uint8Array,
  from: number,
  base: number,
  constructed: boolean,
  depth: number,
): number {
  for (let at = from; at + 1 < bytes.length;) {
    if (bytes[at] === 0 && bytes[at + 1] === 0) return at;
    at = constructed ? at + readAt(bytes, at, base, 'ber', depth + 1).encoded.length : at + 1;
  }
  throw truncated(base + from);
}

function readAt(
  bytes: Uint8Array,
  at: number,
  base: number,
  rules: EncodingRules,
  depth: number,
): Element {
  if (depth > MAX_DEPTH) {
    throw derError('too-large', `values are nested more than ${MAX_DEPTH} deep`, {
      offset: base + at,
    });
  }
  const identifier = bytes[at];
  if (identifier === undefined) throw truncated(base + at);
  const constructed = (identifier & 0x20) !== 0;
  const { number: tagNumber, end: lengthAt } = readTagNumber(bytes, at, base);
  const { length, end: contentsAt } = readLength(bytes, lengthAt, base, rules);
  const contentsEnd =
    length === undefined
      ? findEndMark(bytes, contentsAt, base, constructed, depth)
      : contentsAt + length;
  const end = length === undefined ? contentsEnd + 2 : contentsEnd;
  if (end > bytes.length) throw truncated(base + at);
  return {
    rules,
    tagClass: identifier >> 6,
    constructed,
    tagNumber,
    offset: base + at,
    contentsOffset: base + contentsAt,
    encoded: bytes.subarray(at, end),
    contents: bytes.subarray(contentsAt, contentsEnd),
  };
}

/**
 * The data value at the start of `bytes`; what follows it is not looked at.
 *
 * @throws {FormatError} `der`.
 */
export function readFirstElement(bytes: Uint8Array, rules: EncodingRules = 'der'): Element {
  return readAt(bytes, 0, 0, rules, 0);
}

/**
 * The data value that `bytes` are.
 *
 * @throws {FormatError} `der`, also when bytes follow the value.
 */
export function readElement(bytes: Uint8Array, rules: EncodingRules = 'der'): Element {
  const element = readFirstElement(bytes, rules);
  if (element.encoded.length !== bytes.length) {
    throw derError(
      'trailing-data',
      `${bytes.length - element.encoded.length} bytes follow the value`,
      {
        offset: element.encoded.length,
      },
    );
  }
  return element;
}

/**
 * The data values that the contents of a value are made of.
 *
 * @throws {FormatError} `der`.
 */
export function childrenOf(element: Element): readonly Element[] {
  const { contents, contentsOffset, rules } = element;
  const children: Element[] = [];
  for (let at = 0; at < contents.length;) {
    if (children.length === MAX_CHILDREN) {
      throw derError('too-large', `a value has more than ${MAX_CHILDREN} parts`, {
        offset: contentsOffset + at,
      });
    }
    const child = readAt(contents, at, contentsOffset, rules, 0);
    children.push(child);
    at += child.encoded.length;
  }
  return children;
}

export const isTag = (element: Element, tagNumber: number, tagClass = CLASS_UNIVERSAL): boolean =>
  element.tagNumber === tagNumber && element.tagClass === tagClass;

/** How errors name a tag: `2`, `[0]`. */
export const formatTag = (tagNumber: number, tagClass: number): string =>
  tagClass === CLASS_UNIVERSAL
    ? `universal ${tagNumber}`
    : `${tagClass === CLASS_CONTEXT ? '' : `class ${tagClass} `}[${tagNumber}]`;
