/**
 * Writes AIDL values into a parcel: generated code calls the methods, the run-time codec does too.
 *
 * A parcelable starts with its own size, so everything is written twice: first only counted, which also
 * checks every value before anything is sent, then for real.
 *
 * @see https://android.googlesource.com/platform/frameworks/native libs/binder/Parcel.cpp
 */

import { UsageError } from '../../core/errors.ts';
import type { LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import type { ParcelWriter } from '../rpc/parcel-writer.ts';
import type { ParcelReader } from '../rpc/parcel-reader.ts';

/** The part of an RPC session that turns objects into what a parcel holds, and back. */
export interface BinderSession {
  writeBinder(parcel: ParcelWriter, object: LocalBinder | RemoteBinder | null): void;
  readBinder(parcel: ParcelReader): LocalBinder | RemoteBinder | null;
}

/** Nesting of parcelables that is written and read; what is declared nests less. */
export const MAX_VALUE_DEPTH = 96;

type Segment = string | number;

/** Where the words go: counted, or into a parcel. */
interface Sink {
  int32(value: number): void;
  int64(value: bigint): void;
  float(value: number): void;
  double(value: number): void;
  string16(value: string): void;
  bytes(value: Uint8Array): void;
  binder(object: LocalBinder | RemoteBinder | null): void;
  /** A part that starts with its own size. */
  sized(body: () => void): void;
}

/**
 * Runs `write` twice, and puts what it writes behind what `parcel` holds.
 *
 * @param what Names the whole in errors: `argument`, `the return value`.
 * @throws {UsageError} for a value that its type does not allow, before anything is written.
 */
export function writeAidl(
  session: BinderSession,
  parcel: ParcelWriter,
  what: string,
  write: (out: AidlWriter) => void,
): void {
  const sizes: number[] = [];
  write(new AidlWriter(countingSink(sizes), what));
  write(new AidlWriter(parcelSink(session, parcel, sizes), what));
}

function countingSink(sizes: number[]): Sink {
  let size = 0;
  const add = (bytes: number): void => {
    size += Math.ceil(bytes / 4) * 4;
  };
  return {
    int32: () => add(4),
    int64: () => add(8),
    float: () => add(4),
    double: () => add(8),
    string16: (value) => add(4 + Math.ceil((2 * (value.length + 1)) / 4) * 4),
    bytes: (value) => add(4 + Math.ceil(value.length / 4) * 4),
    binder: (object) => add(object === null ? 8 : 16),
    sized(body) {
      const at = sizes.push(0) - 1;
      const start = size;
      add(4);
      body();
      sizes[at] = size - start;
    },
  };
}

function parcelSink(session: BinderSession, parcel: ParcelWriter, sizes: readonly number[]): Sink {
  let next = 0;
  return {
    int32: (value) => void parcel.int32(value),
    int64: (value) => void parcel.int64(value),
    float: (value) => void parcel.float(value),
    double: (value) => void parcel.double(value),
    string16: (value) => void parcel.string16(value),
    bytes: (value) => void parcel.byteArray(value),
    binder: (object) => session.writeBinder(parcel, object),
    sized(body) {
      parcel.int32(sizes[next++] ?? 0);
      body();
    },
  };
}

export class AidlWriter {
  readonly #sink: Sink;
  readonly #what: string;
  readonly #path: Segment[] = [];
  #leaf: Segment = '';
  #depth = 0;

  constructor(sink: Sink, what: string) {
    this.#sink = sink;
    this.#what = what;
  }

  /** Names the next value in errors. */
  at(name: Segment): this {
    this.#leaf = name;
    return this;
  }

  boolean(value: boolean): void {
    if (typeof value !== 'boolean') this.fail(value, 'boolean');
    this.#sink.int32(value ? 1 : 0);
  }

  byte(value: number): void {
    this.#sink.int32(this.#integer(value, -128, 127, 'byte'));
  }

  /** One UTF-16 unit. */
  char(value: string): void {
    if (typeof value !== 'string' || value.length !== 1) this.fail(value, 'char');
    this.#sink.int32(value.charCodeAt(0));
  }

  int(value: number): void {
    this.#sink.int32(this.#integer(value, -0x80000000, 0x7fffffff, 'int'));
  }

  long(value: bigint): void {
    if (typeof value !== 'bigint' || value !== BigInt.asIntN(64, value)) this.fail(value, 'long');
    this.#sink.int64(value);
  }

  float(value: number): void {
    if (typeof value !== 'number') this.fail(value, 'float');
    this.#sink.float(value);
  }

  double(value: number): void {
    if (typeof value !== 'number') this.fail(value, 'double');
    this.#sink.double(value);
  }

  string(value: string): void {
    if (typeof value !== 'string') this.fail(value, 'String');
    this.#sink.string16(value);
  }

  nullableString(value: string | null): void {
    if (value === null) this.#sink.int32(-1);
    else this.string(value);
  }

  /** @param size Of `byte[N]`. */
  bytes(value: Uint8Array, size?: number): void {
    if (!(value instanceof Uint8Array)) this.fail(value, 'byte[]');
    if (size !== undefined && value.length !== size) this.#badLength(value.length, size);
    this.#sink.bytes(value);
  }

  nullableBytes(value: Uint8Array | null, size?: number): void {
    if (value === null) this.#sink.int32(-1);
    else this.bytes(value, size);
  }

  /** An array of an enum that is backed by bytes, which travel packed. */
  enumBytes(values: readonly number[], size?: number): void {
    this.#checkArray(values, size);
    this.#elements(values, (value) => this.#integer(value, -128, 127, 'byte'));
    this.#sink.bytes(Uint8Array.from(values, (value) => value & 0xff));
  }

  nullableEnumBytes(values: readonly number[] | null, size?: number): void {
    if (values === null) this.#sink.int32(-1);
    else this.enumBytes(values, size);
  }

  /** @param size Of `T[N]`. */
  array<T>(values: readonly T[], write: (value: T) => void, size?: number): void {
    this.#checkArray(values, size);
    this.#sink.int32(values.length);
    this.#elements(values, write);
  }

  nullableArray<T>(values: readonly T[] | null, write: (value: T) => void, size?: number): void {
    if (values === null) this.#sink.int32(-1);
    else this.array(values, write, size);
  }

  /** The length of an `out` array, which the caller decides; null for none. */
  length(value: number | null): void {
    this.#sink.int32(
      value === null ? -1 : this.#integer(value, 0, 0x7fffffff, 'the length of an array'),
    );
  }

  /** A parcelable or union. */
  structure<T extends object>(value: T, write: (out: AidlWriter, value: T) => void): void {
    if (typeof value !== 'object' || value === null) this.fail(value, 'an object');
    this.#sink.int32(1);
    this.#path.push(this.#leaf);
    // A value may hold itself.
    if (++this.#depth > MAX_VALUE_DEPTH) this.fail('...', 'a value that nests less');
    write(this, value);
    this.#depth--;
    this.#leaf = this.#path.pop() ?? '';
  }

  nullableStructure<T extends object>(
    value: T | null,
    write: (out: AidlWriter, value: T) => void,
  ): void {
    if (value === null) this.#sink.int32(0);
    else this.structure(value, write);
  }

  /** The fields of a parcelable, behind their size. */
  fields(body: () => void): void {
    this.#sink.sized(body);
  }

  /** Which of its fields a union holds, from 0; the value follows. */
  tag(index: number): void {
    this.#sink.int32(index);
  }

  binder(object: LocalBinder | RemoteBinder): void {
    if (typeof object !== 'object' || object === null)
      this.fail(object, 'an object that can be called');
    this.#sink.binder(object);
  }

  nullableBinder(object: LocalBinder | RemoteBinder | null): void {
    this.#sink.binder(object);
  }

  /** @throws {UsageError} always; it names the value by its path. */
  fail(value: unknown, expected: string): never {
    throw valueError(value, this.#what, [...this.#path, this.#leaf], expected);
  }

  #integer(value: number, least: number, most: number, expected: string): number {
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    return this.fail(value, expected);
  }

  #checkArray(values: readonly unknown[], size: number | undefined): void {
    if (!Array.isArray(values)) this.fail(values, 'an array');
    if (size !== undefined && values.length !== size) this.#badLength(values.length, size);
  }

  #badLength(found: number, size: number): never {
    return this.fail(`${found} elements`, `${size} of them`);
  }

  #elements<T>(values: readonly T[], write: (value: T) => void): void {
    this.#path.push(this.#leaf);
    for (let i = 0; i < values.length; i++) {
      this.#leaf = i;
      write(values[i] as T);
    }
    this.#leaf = this.#path.pop() ?? '';
  }
}

/** "Cannot use 7 as argument "a.b[3]": expected String". */
export function valueError(
  value: unknown,
  what: string,
  path: readonly Segment[],
  expected: string,
  hint?: string,
): UsageError {
  const name = formatPath(path);
  const where = name === '' ? what : `${what} "${name}"`;
  return new UsageError(
    'usage',
    `Cannot use ${showValue(value)} as ${where}: expected ${expected}`,
    hint === undefined ? {} : { hint },
  );
}

export function formatPath(path: readonly Segment[]): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (segment !== '') text += text === '' ? segment : `.${segment}`;
  }
  return text;
}

function showValue(value: unknown): string {
  if (typeof value === 'bigint') return `${value}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'number' && !Number.isFinite(value)) return `${value}`;
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === 'bigint' ? `${inner}` : inner,
    );
  } catch {
    text = 'an object';
  }
  return (text ?? 'undefined').slice(0, 80);
}
