/**
 * The BER that key stores are written in: PKCS#12 allows more than DER, such as values without a length
 * and texts in pieces, and programs of others make use of it.
 *
 * @see ITU-T X.690, 8.1
 */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';

/** One value: where it is in `bytes`, and what kind it is. */
export interface BerValue {
  readonly bytes: Buffer;
  /** The identifier octet; kinds with longer ones do not occur here. */
  readonly tag: number;
  /** Of its content, in `bytes`. */
  readonly start: number;
  readonly contentEnd: number;
  /** Behind it, its end mark included. */
  readonly end: number;
}

export const BER = {
  integer: 0x02,
  octetString: 0x04,
  oid: 0x06,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
  /** `[0]` in another value's place or around it. */
  context0: 0xa0,
  /** `[0]` in the place of a text. */
  implicit0: 0x80,
} as const;

const CONSTRUCTED = 0x20;

/** A store nests some ten levels; what nests deeper is made to exhaust us. */
const MAX_DEPTH = 32;

const fail = (code: FormatErrorCode, message: string, offset: number): never => {
  throw new FormatError('ber', code, `Cannot read BER: ${message}`, { offset });
};

/** Reads the value at `at`, which must end before `limit`. */
function readAt(bytes: Buffer, at: number, limit: number, depth: number): BerValue {
  if (depth > MAX_DEPTH) return fail('too-large', 'values nest too deep', at);
  if (at + 2 > limit) return fail('truncated', 'a value ends early', at);
  const tag = bytes[at] ?? 0;
  const first = bytes[at + 1] ?? 0;
  if ((tag & 0x1f) === 0x1f) return fail('unsupported', 'a tag has several bytes', at);
  if (first === 0x80) {
    if ((tag & CONSTRUCTED) === 0) return fail('bad-value', 'a plain value has no length', at);
    let next = at + 2;
    while (!(bytes[next] === 0 && bytes[next + 1] === 0 && next + 2 <= limit)) {
      next = readAt(bytes, next, limit, depth + 1).end;
    }
    return { bytes, tag, start: at + 2, contentEnd: next, end: next + 2 };
  }
  const more = first < 0x80 ? 0 : first - 0x80;
  if (more > 4) return fail('too-large', 'a length has more than four bytes', at + 1);
  const start = at + 2 + more;
  if (start > limit) return fail('truncated', 'a value ends early', at);
  const size = more === 0 ? first : bytes.readUIntBE(at + 2, more);
  if (size > limit - start) return fail('truncated', 'a value is longer than what is there', at);
  return { bytes, tag, start, contentEnd: start + size, end: start + size };
}

/**
 * Reads bytes that are one value.
 *
 * @throws {FormatError} `ber` when they are not.
 */
export function readBer(bytes: Buffer): BerValue {
  const value = readAt(bytes, 0, bytes.length, 0);
  if (value.end !== bytes.length) fail('trailing-data', 'bytes follow the value', value.end);
  return value;
}

/** @throws {FormatError} `ber` when the value is of another kind. */
export function expectTag(value: BerValue | undefined, tag: number, field: string): BerValue {
  if (value?.tag === tag) return value;
  const found = value === undefined ? 'is missing' : `has tag 0x${value.tag.toString(16)}`;
  throw new FormatError('ber', 'bad-value', `Cannot read BER: ${field} ${found}`, {
    field,
    ...(value !== undefined && { offset: value.start }),
  });
}

/** The values inside a SEQUENCE, SET or `[0]`. @throws {FormatError} `ber` when it is another one. */
export function childrenOf(value: BerValue | undefined, tag: number, field: string): BerValue[] {
  const { bytes, start, contentEnd } = expectTag(value, tag, field);
  const children: BerValue[] = [];
  for (let at = start; at < contentEnd;) {
    const child = readAt(bytes, at, contentEnd, 0);
    children.push(child);
    at = child.end;
  }
  return children;
}

/** The bytes of an OCTET STRING, or of what stands in its place, in one piece or several. */
export function octetsOf(
  value: BerValue | undefined,
  field: string,
  tag: number = BER.octetString,
): Buffer {
  return joined(value, field, tag, 0);
}

function joined(value: BerValue | undefined, field: string, tag: number, depth: number): Buffer {
  if (depth > MAX_DEPTH) return fail('too-large', 'texts nest too deep', value?.start ?? 0);
  if (value?.tag !== (tag | CONSTRUCTED)) {
    const { bytes, start, contentEnd } = expectTag(value, tag, field);
    return bytes.subarray(start, contentEnd);
  }
  return Buffer.concat(
    childrenOf(value, tag | CONSTRUCTED, field).map((piece) =>
      joined(piece, field, BER.octetString, depth + 1),
    ),
  );
}

/** A small number, such as a count of iterations. @throws {FormatError} `ber` when it is none. */
export function numberOf(value: BerValue | undefined, field: string): number {
  const { bytes, start, contentEnd } = expectTag(value, BER.integer, field);
  const size = contentEnd - start;
  if (size < 1 || size > 5 || (bytes[start] ?? 0) >= 0x80) {
    throw new FormatError('ber', 'out-of-range', `Cannot read BER: ${field} is no small number`, {
      field,
      offset: start,
    });
  }
  return bytes.readUIntBE(start, size);
}

/** An object identifier in dotted decimals. */
export function oidOf(value: BerValue | undefined, field: string): string {
  const { bytes, start, contentEnd } = expectTag(value, BER.oid, field);
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of bytes.subarray(start, contentEnd)) {
    // Safe: no arc of interest has more than 32 bits, and others only have to be unequal to them.
    arc = (arc * 128 + (byte & 0x7f)) % 2 ** 40;
    if (byte >= 0x80) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [head = 0, ...rest] = arcs;
  const root = Math.min(2, Math.floor(head / 40));
  return [root, head - 40 * root, ...rest].join('.');
}
