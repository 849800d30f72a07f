/** Reads AIDL values from a parcel: generated code calls the methods, the run-time codec does too. */

import { FormatError } from '../../core/errors.ts';
import type { LocalBinder, RemoteBinder } from '../rpc/binder.ts';
import { BinderStatusError, STATUS } from '../rpc/errors.ts';
import type { ParcelReader } from '../rpc/parcel-reader.ts';
import { type BinderSession, MAX_VALUE_DEPTH } from './writer.ts';

/**
 * Bad data is a FormatError; a null that the interface does not allow is a BinderStatusError
 * UNEXPECTED_NULL, as in libbinder.
 */
export class AidlReader {
  readonly #session: BinderSession;
  readonly #parcel: ParcelReader;
  #depth = 0;

  constructor(session: BinderSession, parcel: ParcelReader) {
    this.#session = session;
    this.#parcel = parcel;
  }

  boolean(): boolean {
    return this.#parcel.bool();
  }

  byte(): number {
    return this.#parcel.byte();
  }

  char(): string {
    return this.#parcel.char();
  }

  int(): number {
    return this.#parcel.int32();
  }

  long(): bigint {
    return this.#parcel.int64();
  }

  float(): number {
    return this.#parcel.float();
  }

  double(): number {
    return this.#parcel.double();
  }

  string(): string {
    return present(this.#parcel.string16());
  }

  nullableString(): string | null {
    return this.#parcel.string16();
  }

  /** @param size Of `byte[N]`. */
  bytes(size?: number): Uint8Array {
    return present(this.nullableBytes(size));
  }

  nullableBytes(size?: number): Uint8Array | null {
    const value = this.#parcel.byteArray();
    if (value !== null) checkSize(value.length, size);
    return value;
  }

  enumBytes(size?: number): number[] {
    return present(this.nullableEnumBytes(size));
  }

  nullableEnumBytes(size?: number): number[] | null {
    const value = this.nullableBytes(size);
    return value === null ? null : [...new Int8Array(value.buffer, value.byteOffset, value.length)];
  }

  /** @param size Of `T[N]`. */
  array<T>(read: () => T, size?: number): T[] {
    return present(this.nullableArray(read, size));
  }

  nullableArray<T>(read: () => T, size?: number): T[] | null {
    const values = this.#parcel.vector(read);
    if (values !== null) checkSize(values.length, size);
    return values;
  }

  /** The length that the caller gives an `out` array. */
  length(): number {
    return present(this.nullableLength());
  }

  nullableLength(): number | null {
    const length = this.#parcel.int32();
    if (length === -1) return null;
    if (length < 0) throw bad(`an array of ${length} elements`);
    return length;
  }

  structure<T>(read: (input: AidlReader) => T): T {
    return present(this.nullableStructure(read));
  }

  nullableStructure<T>(read: (input: AidlReader) => T): T | null {
    if (this.#parcel.int32() === 0) return null;
    if (++this.#depth > MAX_VALUE_DEPTH) {
      throw new FormatError('binder-rpc', 'too-large', 'Cannot read parcel: it nests too deep');
    }
    try {
      return read(this);
    } finally {
      this.#depth--;
    }
  }

  /**
   * The fields of a parcelable, behind their size.
   *
   * @param read Asks before each field whether the sender had it: older ones know fewer. Fields that
   *   newer senders add are skipped.
   */
  fields<T>(read: (more: () => boolean) => T): T {
    const before = this.#parcel.remaining;
    const size = this.#parcel.int32();
    if (size < 4 || size > before || size % 4 !== 0) throw bad(`a parcelable of ${size} bytes`);
    const end = before - size;
    const value = read(() => this.#parcel.remaining > end);
    const rest = this.#parcel.remaining - end;
    if (rest < 0) throw bad('a field reaches beyond its parcelable');
    this.#parcel.skip(rest);
    return value;
  }

  /** Which of its fields a union holds. */
  tag(): number {
    return this.#parcel.int32();
  }

  /** For the tag of a union that has fewer fields. */
  badTag(tag: number, name: string): FormatError {
    return bad(`field ${tag} of the union ${name}`);
  }

  binder(): LocalBinder | RemoteBinder {
    return present(this.nullableBinder());
  }

  nullableBinder(): LocalBinder | RemoteBinder | null {
    return this.#session.readBinder(this.#parcel);
  }
}

function present<T>(value: T | null): T {
  if (value === null) throw new BinderStatusError(STATUS.UNEXPECTED_NULL);
  return value;
}

function checkSize(found: number, size: number | undefined): void {
  if (size !== undefined && found !== size) throw bad(`${found} elements, expected ${size}`);
}

const bad = (what: string): FormatError =>
  new FormatError('binder-rpc', 'bad-value', `Cannot read parcel: ${what}`);
