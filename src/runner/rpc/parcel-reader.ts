/** Reads the data of a Binder RPC parcel; every length is checked against the bytes that are there. */

import { FormatError } from '../../core/errors.ts';
import { BinderStatusError, STATUS } from './errors.ts';
import type { ParcelData } from './wire.ts';

const TYPE_BINDER = 1;
/** VENDOR, SYSTEM and VINTF. */
const STABILITIES: ReadonlySet<number> = new Set([3, 12, 63]);

/** Reads values in the order they were written. Bad data is a FormatError of format `binder-rpc`. */
export class ParcelReader {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  readonly #objects: ReadonlySet<number> | undefined;
  readonly #unread: Set<number>;
  #at = 0;

  /** @param version The wire version of the session: since 2 a binder must stand in the object table. */
  constructor(parcel: ParcelData, version = 2) {
    this.#data = parcel.data;
    this.#view = new DataView(parcel.data.buffer, parcel.data.byteOffset, parcel.data.length);
    this.#objects = version >= 2 ? new Set(parcel.objects) : undefined;
    this.#unread = new Set(parcel.objects);
  }

  /** Addresses of binders that the peer listed and nobody read; they count as received all the same. */
  unreadBinders(): bigint[] {
    return [...this.#unread].flatMap((at) => {
      const isWhole = at + 12 <= this.#data.length;
      const isBinder = isWhole && this.#view.getInt32(at, true) === TYPE_BINDER;
      return isBinder ? [this.#view.getBigUint64(at + 4, true)] : [];
    });
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#data.length - this.#at;
  }

  /**
   * Reads the token that starts every call to an AIDL interface.
   *
   * @throws {BinderStatusError} PERMISSION_DENIED when something else stands there, as from Android's
   *   servers in Rust and over the NDK.
   */
  enforceInterface(descriptor: string): void {
    let token: string | null = null;
    try {
      token = this.string16();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
    if (token !== descriptor) throw new BinderStatusError(STATUS.PERMISSION_DENIED);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  uint64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  float(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }

  bool(): boolean {
    return this.int32() !== 0;
  }

  /** AIDL's `byte`: libbinder keeps the low eight bits. */
  byte(): number {
    return (this.int32() << 24) >> 24;
  }

  /** AIDL's `char`: one UTF-16 unit. */
  char(): string {
    return String.fromCharCode(this.int32() & 0xffff);
  }

  string16(): string | null {
    const units = this.#count('string');
    if (units === null) return null;
    const at = this.#take(2 * (units + 1));
    if (this.#view.getUint16(at + 2 * units, true) !== 0) {
      throw this.#fail('bad-value', 'its string is not terminated', at);
    }
    return Buffer.from(this.#data.buffer, this.#data.byteOffset + at, 2 * units).toString(
      'utf16le',
    );
  }

  string8(): string | null {
    const size = this.#count('string');
    if (size === null) return null;
    const at = this.#take(size + 1);
    if (this.#view.getUint8(at + size) !== 0) {
      throw this.#fail('bad-value', 'its string is not terminated', at);
    }
    return Buffer.from(this.#data.buffer, this.#data.byteOffset + at, size).toString('utf8');
  }

  /** A copy of a `byte[]`. */
  byteArray(): Uint8Array | null {
    const size = this.#count('byte[]');
    if (size === null) return null;
    const at = this.#take(size);
    return this.#data.slice(at, at + size);
  }

  /** An array whose elements take at least 4 bytes each. */
  vector<T>(read: (reader: this) => T): T[] | null {
    const count = this.#count('array');
    if (count === null) return null;
    if (4 * count > this.remaining) throw this.#fail('truncated', `an array of ${count}`, this.#at);
    return Array.from({ length: count }, () => read(this));
  }

  /** The address of a binder, which the session turns into an object. */
  binder(): bigint | null {
    const start = this.#at;
    const type = this.int32();
    if (type === 0) {
      const stability = this.int32();
      if (stability === 0) return null;
      throw this.#fail('bad-value', `a null binder of stability ${stability}`, start);
    }
    if (type !== TYPE_BINDER) {
      throw this.#fail('bad-value', `object type ${type} is not a binder`, start);
    }
    if (this.#objects !== undefined && !this.#objects.has(start)) {
      throw this.#fail('bad-value', 'a binder is not in the object table', start);
    }
    const address = this.uint64();
    const stability = this.int32();
    if (!STABILITIES.has(stability)) {
      throw this.#fail('bad-value', `a binder of stability ${stability}`, start);
    }
    this.#unread.delete(start);
    return address;
  }

  /** Skips what a sized part of the data still holds. */
  skip(size: number): void {
    this.#take(size);
  }

  #count(what: string): number | null {
    const at = this.#at;
    const count = this.int32();
    if (count === -1) return null;
    if (count < 0) throw this.#fail('bad-value', `a ${what} of ${count} elements`, at);
    return count;
  }

  #take(size: number): number {
    const at = this.#at;
    const end = at + Math.ceil(size / 4) * 4;
    if (size < 0 || end > this.#data.length) {
      throw this.#fail('truncated', `it needs ${size} bytes, found ${this.remaining}`, at);
    }
    this.#at = end;
    return at;
  }

  #fail(code: 'truncated' | 'bad-value', what: string, offset: number): FormatError {
    return new FormatError('binder-rpc', code, `Cannot read parcel: ${what}`, { offset });
  }
}
