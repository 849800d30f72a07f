/** Values of AIDL types: from JSON, to JSON, and into and out of parcels. */

import { UsageError } from '../../core/errors.ts';
import type { ParcelReader } from '../rpc/parcel-reader.ts';
import type { ParcelWriter } from '../rpc/parcel-writer.ts';
import { type AidlScalar, type AidlType, formatType } from './types.ts';

/** `long` is a bigint, `byte[]` a Uint8Array, other arrays are arrays. */
export type AidlValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly (boolean | number | bigint | string)[];

const INTEGERS: Readonly<Partial<Record<AidlScalar, readonly [bigint, bigint]>>> = {
  byte: [-128n, 127n],
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  long: [-(2n ** 63n), 2n ** 63n - 1n],
};

/**
 * Checks a value that came as JSON (or from a program) against its type. A `long` beyond 2^53 is a
 * bigint or a decimal string; a `byte[]` is base64 text, an array of -128 to 255, or a Uint8Array.
 *
 * @param what Names the value in the error, such as `argument "name"`.
 * @throws {UsageError}
 */
export function checkValue(type: AidlType, value: unknown, what: string): AidlValue {
  if (value === null && type.nullable) return null;
  if (!type.array) return checkScalar(type.name, value, what);
  if (type.name === 'byte') return checkBytes(value, what);
  if (!Array.isArray(value)) throw mismatch(type, value, what);
  return value.map((item: unknown, i) => checkScalar(type.name, item, `${what}[${i}]`));
}

/** What JSON can hold: a safe `long` as a number, another as a string, bytes as base64. */
export function toJsonValue(value: AidlValue): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  }
  if (Array.isArray(value)) return value.map((item: AidlValue) => toJsonValue(item));
  return value;
}

/** Writes a checked value. */
export function writeValue(parcel: ParcelWriter, type: AidlType, value: AidlValue): void {
  if (!type.array) writeScalar(parcel, type.name, value);
  else if (type.name === 'byte') parcel.byteArray(value as Uint8Array | null);
  else {
    parcel.vector(value as readonly AidlValue[] | null, (each, item) =>
      writeScalar(each, type.name, item),
    );
  }
}

/** Reads a value; a null that the type does not allow is given as it came. */
export function readValue(parcel: ParcelReader, type: AidlType): AidlValue {
  if (!type.array) return readScalar(parcel, type.name);
  if (type.name === 'byte') return parcel.byteArray();
  return parcel.vector((each) => readScalar(each, type.name) as string);
}

function checkScalar(
  name: AidlScalar,
  value: unknown,
  what: string,
): boolean | number | bigint | string {
  const range = INTEGERS[name];
  if (range !== undefined) {
    const integer = toInteger(value);
    if (integer === undefined || integer < range[0] || integer > range[1]) {
      throw mismatch({ name, array: false, nullable: false }, value, what);
    }
    return name === 'long' ? integer : Number(integer);
  }
  const wanted =
    name === 'boolean' ? 'boolean' : name === 'float' || name === 'double' ? 'number' : 'string';
  const fits =
    typeof value === wanted &&
    (name !== 'char' || (typeof value === 'string' && value.length === 1));
  if (!fits) throw mismatch({ name, array: false, nullable: false }, value, what);
  return value as boolean | number | string;
}

function toInteger(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return BigInt(value);
  return undefined;
}

function checkBytes(value: unknown, what: string): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0) {
    return new Uint8Array(Buffer.from(value, 'base64'));
  }
  const byte = (item: unknown): boolean =>
    typeof item === 'number' && Number.isInteger(item) && item >= -128 && item <= 255;
  if (Array.isArray(value) && value.every(byte)) {
    return Uint8Array.from(value as number[], (item) => item & 0xff);
  }
  throw mismatch({ name: 'byte', array: true, nullable: false }, value, what);
}

function writeScalar(parcel: ParcelWriter, name: AidlScalar, value: AidlValue): void {
  switch (name) {
    case 'boolean':
      parcel.bool(value as boolean);
      return;
    case 'byte':
      parcel.byte(value as number);
      return;
    case 'char':
      parcel.char(value as string);
      return;
    case 'int':
      parcel.int32(value as number);
      return;
    case 'long':
      parcel.int64(value as bigint);
      return;
    case 'float':
      parcel.float(value as number);
      return;
    case 'double':
      parcel.double(value as number);
      return;
    case 'String':
      parcel.string16(value as string | null);
  }
}

function readScalar(
  parcel: ParcelReader,
  name: AidlScalar,
): boolean | number | bigint | string | null {
  switch (name) {
    case 'boolean':
      return parcel.bool();
    case 'byte':
      return parcel.byte();
    case 'char':
      return parcel.char();
    case 'int':
      return parcel.int32();
    case 'long':
      return parcel.int64();
    case 'float':
      return parcel.float();
    case 'double':
      return parcel.double();
    case 'String':
      return parcel.string16();
  }
}

function mismatch(type: AidlType, value: unknown, what: string): UsageError {
  const shown = typeof value === 'bigint' ? `${value}` : (JSON.stringify(value) ?? 'undefined');
  const hints: Partial<Record<string, string>> = {
    'byte[]': 'Write base64 text or an array of numbers',
    long: 'Write a number, or decimal digits in quotes beyond 2^53',
  };
  const hint = hints[formatType(type)];
  return new UsageError(
    'usage',
    `Cannot use ${shown.slice(0, 80)} as ${what}: expected ${formatType(type)}`,
    hint === undefined ? {} : { hint },
  );
}
