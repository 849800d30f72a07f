/** Values of AIDL types that are known only at run time: from JSON or a program, and back to JSON. */

import type { LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import { defaultField } from './defaults.ts';
import {
  type AidlType,
  type EnumDescription,
  formatType,
  type InterfaceDescription,
  type StructureDescription,
} from './types.ts';
import { MAX_VALUE_DEPTH, valueError } from './writer.ts';

/**
 * `long` is a bigint, `byte[]` a Uint8Array, other arrays are arrays, an enum is its number, a
 * parcelable an object of its fields, a union an object of the one field that it holds; an interface is
 * a proxy or an implementation, an IBinder is what the session has.
 */
export type AidlValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly AidlValue[]
  | LocalBinder
  | RemoteBinder
  | { readonly [field: string]: AidlValue };

/** Where a value is given, and what turns objects into what a call can carry. */
export interface Given {
  /** Names the whole in errors: `argument`, `the return value`. */
  readonly what: string;
  /** Undefined for what cannot be called. */
  toBinder(
    value: unknown,
    declaration: InterfaceDescription | undefined,
  ): LocalBinder | RemoteBinder | undefined;
}

const RANGES = {
  byte: [-128n, 127n],
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  long: [-(2n ** 63n), 2n ** 63n - 1n],
} as const;

const HINTS: Readonly<Record<string, string>> = {
  'byte[]': 'Write base64 text or an array of numbers',
  long: 'Write a number, or decimal digits in quotes beyond 2^53',
};

/**
 * Checks a value that came as JSON (or from a program) against its type. A `long` beyond 2^53 is a
 * bigint or a decimal string; a `byte[]` is base64 text, an array of -128 to 255, or a Uint8Array; an
 * enumerator is its name or its number; fields that are left out have their defaults; `"NaN"` and
 * `"Infinity"` stand for what JSON cannot write.
 *
 * @throws {UsageError} that names the value by its path.
 */
export function checkValue(
  type: AidlType,
  value: unknown,
  given: Given,
  path: readonly (string | number)[] = [],
): AidlValue {
  const wrong = (expected = formatType(type)): never => {
    throw valueError(value, given.what, path, expected, HINTS[formatType(type)]);
  };
  if (value === null && 'nullable' in type && type.nullable) return null;
  switch (type.kind) {
    case 'boolean':
      return typeof value === 'boolean' ? value : wrong();
    case 'byte':
    case 'int':
    case 'long': {
      const integer = toInteger(value);
      const [least, most] = RANGES[type.kind];
      if (integer === undefined || integer < least || integer > most) return wrong();
      return type.kind === 'long' ? integer : Number(integer);
    }
    case 'char':
      return typeof value === 'string' && value.length === 1 ? value : wrong();
    case 'float':
    case 'double':
      return toFloat(value) ?? wrong();
    case 'String':
      return typeof value === 'string' ? value : wrong();
    case 'enum':
      return toEnumerator(type.declaration, value) ?? wrong(enumNames(type.declaration));
    case 'array':
      return type.element.kind === 'byte'
        ? (toBytes(value, type.size) ?? wrong())
        : checkArray(type, value, given, path, wrong);
    case 'structure':
      return checkStructure(type.declaration, value, given, path, wrong);
    case 'interface':
    case 'IBinder': {
      const declaration = type.kind === 'interface' ? type.declaration : undefined;
      return given.toBinder(value, declaration) ?? wrong('an object that can be called');
    }
    case 'unsupported':
      return wrong('nothing: no call can carry it');
  }
}

/** `long` as a number where it is exact, else as text; bytes as base64; names of enumerators by type. */
export function toJsonValue(value: AidlValue, type?: AidlType): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (type?.kind === 'enum') {
    const found = type.declaration.enumerators.find((each) => each.value === value);
    if (found !== undefined) return found.name;
  }
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (Array.isArray(value)) {
    const element = type?.kind === 'array' ? type.element : undefined;
    return value.map((item: AidlValue) => toJsonValue(item, element));
  }
  if (typeof value !== 'object' || value === null) return value;
  if (type?.kind === 'interface' || type?.kind === 'IBinder') {
    return { binder: formatType({ ...type, nullable: false }) };
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return { binder: 'IBinder' };
  const fields = type?.kind === 'structure' ? type.declaration.fields : [];
  return Object.fromEntries(
    Object.entries(value as Readonly<Record<string, AidlValue>>).map(([name, inner]) => [
      name,
      toJsonValue(inner, fields.find((field) => field.name === name)?.type),
    ]),
  );
}

function checkArray(
  type: AidlType & { readonly kind: 'array' },
  value: unknown,
  given: Given,
  path: readonly (string | number)[],
  wrong: (expected?: string) => never,
): AidlValue {
  if (!Array.isArray(value)) return wrong();
  if (type.size !== null && value.length !== type.size) return wrong(`${type.size} elements`);
  return value.map((item: unknown, i) => checkValue(type.element, item, given, [...path, i]));
}

function checkStructure(
  declaration: StructureDescription,
  value: unknown,
  given: Given,
  path: readonly (string | number)[],
  wrong: (expected?: string) => never,
): AidlValue {
  const { kind, name, fields } = declaration;
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isObject || value instanceof Uint8Array) return wrong(`an object of ${name}`);
  if (path.length > 2 * MAX_VALUE_DEPTH) return wrong('a value that nests less');
  const held = value as Readonly<Record<string, unknown>>;
  const known = fields.map((field) => field.name).join(', ');
  const keys = Object.keys(held).filter((key) => held[key] !== undefined);
  const unknown = keys.find((key) => !fields.some((field) => field.name === key));
  if (unknown !== undefined) {
    throw valueError(
      held[unknown],
      given.what,
      [...path, unknown],
      `one of the fields of ${name}: ${known}`,
    );
  }
  if (kind === 'union') {
    const field = fields.find((each) => each.name === keys[0]);
    if (field === undefined || keys.length !== 1)
      return wrong(`one of the fields of ${name}: ${known}`);
    return { [field.name]: checkValue(field.type, held[field.name], given, [...path, field.name]) };
  }
  const checked = fields.map((field) => {
    const inner = Object.hasOwn(held, field.name) ? held[field.name] : undefined;
    if (inner !== undefined) {
      return [field.name, checkValue(field.type, inner, given, [...path, field.name])] as const;
    }
    const absent = defaultField(field);
    if (absent === undefined) {
      throw valueError(
        inner,
        given.what,
        [...path, field.name],
        `${formatType(field.type)}, which has no default`,
      );
    }
    return [field.name, absent] as const;
  });
  return Object.fromEntries(checked) as Record<string, AidlValue>;
}

function toInteger(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) return BigInt(value);
  return undefined;
}

function toFloat(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  const isWord = value === 'NaN' || value === 'Infinity' || value === '-Infinity';
  return isWord ? Number(value) : undefined;
}

function toBytes(value: unknown, size: number | null): Uint8Array | undefined {
  const bytes = toAnyBytes(value);
  return size === null || bytes?.length === size ? bytes : undefined;
}

function toAnyBytes(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0) {
    return new Uint8Array(Buffer.from(value, 'base64'));
  }
  const isByte = (item: unknown): boolean =>
    typeof item === 'number' && Number.isInteger(item) && item >= -128 && item <= 255;
  if (Array.isArray(value) && value.every(isByte)) {
    return Uint8Array.from(value as number[], (item) => item & 0xff);
  }
  return undefined;
}

/** Numbers that the enum does not name are fine: a newer peer knows more of them. */
function toEnumerator(
  { backing, enumerators }: EnumDescription,
  value: unknown,
): number | bigint | undefined {
  const named = enumerators.find(({ name }) => name === value);
  if (named !== undefined) return named.value;
  const isName = typeof value === 'string' && !/^-?\d/.test(value);
  const integer = isName ? undefined : toInteger(value);
  const [least, most] = RANGES[backing];
  if (integer === undefined || integer < least || integer > most) return undefined;
  return backing === 'long' ? integer : Number(integer);
}

function enumNames({ name, enumerators }: EnumDescription): string {
  const names = enumerators.slice(0, 20).map((each) => each.name);
  return `one of ${name}: ${names.join(', ')}${enumerators.length > 20 ? ', ...' : ''}`;
}
