/**
 * Reading JSON that has one form only: fields that are missing, of another type or unknown are refused by
 * their path.
 */

import { FormatError } from '../core/errors.ts';

/** Gives the value in the form that is wanted, or refuses it. */
export type JsonReader<T> = (value: unknown, field: string) => T;

/** A place that is not as it must be; becomes a FormatError where the document is known. */
class WrongField extends Error {
  readonly field: string;
  readonly wanted: string;

  constructor(field: string, wanted: string) {
    super(`${field} is not ${wanted}`);
    this.field = field;
    this.wanted = wanted;
  }
}

const MAX_ITEMS = 1_000_000;

/** Refuses a value. */
export function wrongField(field: string, wanted: string): never {
  throw new WrongField(field, wanted);
}

export const text: JsonReader<string> = (value, field) =>
  typeof value === 'string' ? value : wrongField(field, 'text');

export const matching =
  (pattern: RegExp, wanted: string): JsonReader<string> =>
  (value, field) =>
    typeof value === 'string' && pattern.test(value) ? value : wrongField(field, wanted);

/** So many bytes in lower-case hexadecimal. */
export const hex = (bytes: number): JsonReader<string> =>
  matching(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), `${bytes} bytes in hexadecimal`);

/** Base64 as encoders write it: Node's decoder passes over what it does not know. */
export const base64: JsonReader<Uint8Array> = (value, field) => {
  if (typeof value !== 'string') return wrongField(field, 'base64');
  const bytes = Buffer.from(value, 'base64');
  return bytes.toString('base64') === value
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
    : wrongField(field, 'base64');
};

export const oneOf =
  <T extends string | number>(...known: readonly T[]): JsonReader<T> =>
  (value, field) =>
    known.includes(value as T) ? (value as T) : wrongField(field, known.join(' or '));

/** A number of things or bytes. */
export const count: JsonReader<number> = (value, field) =>
  Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : wrongField(field, 'a number');

export const nullable =
  <T>(read: JsonReader<T>): JsonReader<T | null> =>
  (value, field) =>
    value === null ? null : read(value, field);

export const list =
  <T>(read: JsonReader<T>): JsonReader<T[]> =>
  (value, field) =>
    Array.isArray(value) && value.length <= MAX_ITEMS
      ? value.map((each, index) => read(each, `${field}[${index}]`))
      : wrongField(field, 'a list');

/** Exactly these fields, none more. */
export const record =
  <T extends object>(fields: { readonly [K in keyof T]: JsonReader<T[K]> }): JsonReader<T> =>
  (value, field) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return wrongField(field, 'an object');
    }
    const at = (name: string): string => (field === ROOT ? name : `${field}.${name}`);
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(fields, name));
    if (unknown !== undefined) return wrongField(at(unknown), 'a known field');
    const given = value as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries<JsonReader<unknown>>(fields).map(([name, read]) => [
        name,
        read(Object.hasOwn(given, name) ? given[name] : undefined, at(name)),
      ]),
    ) as T;
  };

/** How the document itself is called as a field. */
const ROOT = 'it';

/**
 * Reads a document.
 *
 * @param name How errors call it: its file's name.
 * @throws {FormatError} of `format`, naming the field.
 */
export function readStrictJson<T>(
  json: string,
  read: JsonReader<T>,
  format: string,
  name: string,
  hint: string,
): T {
  const fail = (message: string, field?: string, cause?: unknown): never => {
    throw new FormatError(format, 'bad-value', `Cannot use ${name}: ${message}`, {
      ...(field !== undefined && { field }),
      hint,
      cause,
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    return fail('it is not JSON', undefined, cause);
  }
  try {
    return read(value, ROOT);
  } catch (error) {
    if (!(error instanceof WrongField)) throw error;
    return fail(error.message, error.field);
  }
}
