/**
 * The part of protobuf's wire form that the payload metadata uses: varints and length-delimited fields.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */

import { FormatError } from '../../core/errors.ts';

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** One field as it stands on the wire. */
export interface WireField {
  readonly number: number;
  readonly value: bigint | Uint8Array;
  /** Where the field begins, in the message's own bytes. */
  readonly offset: number;
}

function refuse(
  code: 'truncated' | 'bad-value' | 'unsupported',
  why: string,
  offset: number,
): never {
  throw new FormatError('payload-metadata', code, `Cannot read payload metadata: ${why}`, {
    offset,
  });
}

function readVarint(data: Uint8Array, start: number): { value: bigint; at: number } {
  let value = 0n;
  for (let index = 0; index < 10; index++) {
    const byte = data[start + index];
    if (byte === undefined) return refuse('truncated', 'a number is cut off', start);
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) {
      if (value >= 1n << 64n) refuse('bad-value', 'a number has more than 64 bits', start);
      // One number has one encoding: a last group of zero could have been left out.
      if (index > 0 && byte === 0) refuse('bad-value', 'a number is longer than it needs', start);
      return { value, at: start + index + 1 };
    }
  }
  return refuse('bad-value', 'a number has more than ten bytes', start);
}

/**
 * Splits a message into its fields.
 *
 * @param base Where the message stands in the input, for errors.
 * @throws {FormatError} on wire types other than varint and length-delimited, and on what is cut off.
 */
export function decodeFields(data: Uint8Array, base: number): WireField[] {
  const fields: WireField[] = [];
  for (let at = 0; at < data.length;) {
    const offset = base + at;
    const tag = readVarint(data, at);
    const number = Number(tag.value >> 3n);
    const type = Number(tag.value & 7n);
    if (number === 0 || number >= 2 ** 29)
      refuse('bad-value', `a field has number ${number}`, offset);
    const first = readVarint(data, tag.at);
    if (type === VARINT) {
      fields.push({ number, value: first.value, offset });
      at = first.at;
    } else if (type === LENGTH_DELIMITED) {
      if (first.value > BigInt(data.length - first.at)) {
        refuse('truncated', `field ${number} is ${first.value} bytes, less are there`, offset);
      }
      const end = first.at + Number(first.value);
      fields.push({ number, value: data.slice(first.at, end), offset: base + first.at });
      at = end;
    } else {
      refuse('unsupported', `field ${number} has wire type ${type}`, offset);
    }
  }
  return fields;
}

function encodeVarint(value: bigint): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return out;
}

/** A number; proto3 leaves out what is 0. */
export function encodeNumber(field: number, value: bigint): Uint8Array {
  if (value === 0n) return new Uint8Array(0);
  const bits = BigInt.asUintN(64, value);
  return Uint8Array.from([...encodeVarint(BigInt(field * 8 + VARINT)), ...encodeVarint(bits)]);
}

/** Bytes, text or a message; proto3 leaves out empty bytes and text unless `always`. */
export function encodeBytes(field: number, value: Uint8Array | string, always = false): Uint8Array {
  const data = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  if (data.length === 0 && !always) return data;
  const head = [
    ...encodeVarint(BigInt(field * 8 + LENGTH_DELIMITED)),
    ...encodeVarint(BigInt(data.length)),
  ];
  const out = new Uint8Array(head.length + data.length);
  out.set(head);
  out.set(data, head.length);
  return out;
}
