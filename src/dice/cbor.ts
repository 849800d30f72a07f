/**
 * CBOR (RFC 8949) as DICE certificates and descriptors use it: integers, byte and text strings, arrays,
 * maps, null and booleans, each in its shortest form. Tags, floats and indefinite lengths are refused.
 *
 * Maps keep the order of their entries: Android's certificates have a fixed order that is not sorted.
 */

import { FormatError } from '../core/errors.ts';

export type CborKey = number | string;

/** An integer beyond 2^53 is a bigint; a smaller one is a number always. */
export type CborValue =
  | number
  | bigint
  | string
  | boolean
  | null
  | Uint8Array
  | readonly CborValue[]
  | CborMap;

export type CborMap = ReadonlyMap<CborKey, CborValue>;

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, simple: 7 } as const;
const SIMPLE = { false: 20, true: 21, null: 22 } as const;
/** Deeper than any certificate: what nests deeper wants to exhaust the stack. */
const MAX_DEPTH = 8;
const MAX_INTEGER = 2n ** 64n - 1n;

/** @throws {RangeError} for an integer that has no CBOR form (fraction, or beyond 64 bits). */
export function encodeCbor(value: CborValue): Uint8Array {
  const parts: Uint8Array[] = [];
  write(parts, value);
  // Of its own: what is encoded may be secret, and the pool behind small Buffers is everybody's.
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function write(parts: Uint8Array[], value: CborValue): void {
  if (typeof value === 'number' || typeof value === 'bigint') {
    const whole = BigInt(value);
    parts.push(whole < 0n ? head(MAJOR.negative, -1n - whole) : head(MAJOR.unsigned, whole));
  } else if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf8');
    parts.push(head(MAJOR.text, BigInt(text.length)), text);
  } else if (typeof value === 'boolean' || value === null) {
    const simple = value === null ? SIMPLE.null : value ? SIMPLE.true : SIMPLE.false;
    parts.push(head(MAJOR.simple, BigInt(simple)));
  } else if (value instanceof Uint8Array) {
    parts.push(head(MAJOR.bytes, BigInt(value.length)), value);
  } else if (value instanceof Map) {
    parts.push(head(MAJOR.map, BigInt(value.size)));
    for (const [key, item] of value as CborMap) {
      write(parts, key);
      write(parts, item);
    }
  } else {
    const items = value as readonly CborValue[];
    parts.push(head(MAJOR.array, BigInt(items.length)));
    for (const item of items) write(parts, item);
  }
}

function head(major: number, argument: bigint): Uint8Array {
  if (argument > MAX_INTEGER) throw new RangeError('CBOR integers have 64 bits');
  const initial = major << 5;
  if (argument < 24n) return Uint8Array.of(initial | Number(argument));
  const size = argument < 0x100n ? 1 : argument < 0x10000n ? 2 : argument < 0x1_0000_0000n ? 4 : 8;
  const bytes = new Uint8Array(1 + size);
  bytes[0] = initial | (24 + Math.log2(size));
  for (let i = size, rest = argument; i > 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return bytes;
}

/** @throws {FormatError} `cbor`. Every byte must belong to the one value. */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader = new CborReader(bytes);
  const value = reader.value(0);
  if (reader.offset !== bytes.length) {
    throw reader.refuse('trailing-data', 'bytes follow the value');
  }
  return value;
}

/** A position in bytes of which nothing is believed. */
class CborReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  refuse(code: ConstructorParameters<typeof FormatError>[1], why: string): FormatError {
    return new FormatError('cbor', code, `Cannot read CBOR: ${why}`, { offset: this.offset });
  }

  value(depth: number): CborValue {
    if (depth > MAX_DEPTH) throw this.refuse('too-large', `values nest deeper than ${MAX_DEPTH}`);
    const start = this.offset;
    const { major, argument } = this.#head();
    switch (major) {
      case MAJOR.unsigned:
        return integer(argument);
      case MAJOR.negative:
        return integer(-1n - argument);
      case MAJOR.bytes:
        return new Uint8Array(this.#take(argument));
      case MAJOR.text:
        return this.#text(argument);
      case MAJOR.array:
        return this.#array(argument, depth);
      case MAJOR.map:
        return this.#map(argument, depth);
      case MAJOR.simple:
        return this.#simple(argument, start);
      default:
        this.offset = start;
        throw this.refuse('unsupported', 'tags are not used here');
    }
  }

  #head(): { major: number; argument: bigint } {
    const start = this.offset;
    const initial = this.#byte();
    const major = initial >> 5;
    const short = initial & 31;
    if (short < 24) return { major, argument: BigInt(short) };
    if (short > 27 || major === MAJOR.simple) {
      this.offset = start;
      throw this.refuse('unsupported', 'indefinite lengths and floats are not used here');
    }
    const size = 1 << (short - 24);
    this.#need(BigInt(size));
    let argument = 0n;
    for (let i = 0; i < size; i++) argument = (argument << 8n) | BigInt(this.#byte());
    const least = size === 1 ? 24n : 1n << BigInt(4 * size);
    if (argument < least) {
      this.offset = start;
      throw this.refuse('bad-value', 'a number is not in its shortest form');
    }
    return { major, argument };
  }

  #need(size: bigint): void {
    if (size > BigInt(this.#bytes.length - this.offset)) {
      throw this.refuse('truncated', 'the bytes end within a value');
    }
  }

  #byte(): number {
    this.#need(1n);
    return this.#view.getUint8(this.offset++);
  }

  #take(size: bigint): Uint8Array {
    this.#need(size);
    const start = this.offset;
    this.offset += Number(size);
    return this.#bytes.subarray(start, this.offset);
  }

  #text(size: bigint): string {
    const start = this.offset;
    const bytes = this.#take(size);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw new FormatError('cbor', 'bad-value', 'Cannot read CBOR: a text is not UTF-8', {
        offset: start,
        cause,
      });
    }
  }

  #array(count: bigint, depth: number): readonly CborValue[] {
    // Each item takes a byte at least.
    this.#need(count);
    const items: CborValue[] = [];
    for (let i = 0n; i < count; i++) items.push(this.value(depth + 1));
    return items;
  }

  #map(count: bigint, depth: number): CborMap {
    this.#need(2n * count);
    const map = new Map<CborKey, CborValue>();
    for (let i = 0n; i < count; i++) {
      const start = this.offset;
      const key = this.value(depth + 1);
      if (typeof key !== 'number' && typeof key !== 'string') {
        this.offset = start;
        throw this.refuse('unsupported', 'a key is neither an integer nor a text');
      }
      if (map.has(key)) {
        this.offset = start;
        throw this.refuse('duplicate', `the key ${key} stands twice`);
      }
      map.set(key, this.value(depth + 1));
    }
    return map;
  }

  #simple(argument: bigint, start: number): boolean | null {
    switch (Number(argument)) {
      case SIMPLE.false:
        return false;
      case SIMPLE.true:
        return true;
      case SIMPLE.null:
        return null;
      default:
        this.offset = start;
        throw this.refuse('unsupported', `the simple value ${argument} is not used here`);
    }
  }
}

function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
