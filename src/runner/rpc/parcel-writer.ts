/**
 * Builds the data of a Binder RPC parcel. Every value is padded with zeros to 4 bytes.
 *
 * @see https://android.googlesource.com/platform/frameworks/native libs/binder/Parcel.cpp
 */

import { type LocalBinder, RemoteBinder } from './binder.ts';
import type { ParcelData } from './wire.ts';

/** `Stability::Level::SYSTEM`, what host libbinder writes behind every non-null binder. */
const STABILITY_SYSTEM = 12;
const TYPE_BINDER_NULL = 0;
const TYPE_BINDER = 1;

/** A parcel to be sent, with the objects that get their addresses then. */
export interface OutgoingParcel extends ParcelData {
  readonly binders: readonly {
    /** Where in the data the address goes. */
    readonly at: number;
    readonly object: LocalBinder | RemoteBinder;
  }[];
}

const integer = (value: number, min: number, max: number, type: string): number => {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(`Cannot store ${value} as ${type}`);
};

/** Appends values; methods return the writer so that calls can be chained. */
export class ParcelWriter {
  #buffer = new Uint8Array(64);
  #view = new DataView(this.#buffer.buffer);
  #size = 0;
  readonly #objects: number[] = [];
  readonly #binders: OutgoingParcel['binders'][number][] = [];
  readonly #listsBinders: boolean;

  /** @param version The wire version of the session: since 2 the object table lists binders. */
  constructor(version = 2) {
    this.#listsBinders = version >= 2;
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size;
  }

  finish(): OutgoingParcel {
    return {
      data: this.#buffer.slice(0, this.#size),
      objects: [...this.#objects],
      binders: [...this.#binders],
    };
  }

  int32(value: number): this {
    const checked = integer(value, -0x80000000, 0x7fffffff, 'int');
    const at = this.#grow(4);
    this.#view.setInt32(at, checked, true);
    return this;
  }

  uint32(value: number): this {
    const checked = integer(value, 0, 0xffffffff, 'unsigned int');
    const at = this.#grow(4);
    this.#view.setUint32(at, checked, true);
    return this;
  }

  int64(value: bigint): this {
    if (value !== BigInt.asIntN(64, value)) throw new RangeError(`Cannot store ${value} as long`);
    const at = this.#grow(8);
    this.#view.setBigInt64(at, value, true);
    return this;
  }

  uint64(value: bigint): this {
    if (value !== BigInt.asUintN(64, value)) {
      throw new RangeError(`Cannot store ${value} as unsigned long`);
    }
    const at = this.#grow(8);
    this.#view.setBigUint64(at, value, true);
    return this;
  }

  float(value: number): this {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }

  double(value: number): this {
    const at = this.#grow(8);
    this.#view.setFloat64(at, value, true);
    return this;
  }

  bool(value: boolean): this {
    return this.int32(value ? 1 : 0);
  }

  /** AIDL's `byte`: signed, in an int32. */
  byte(value: number): this {
    return this.int32(integer(value, -128, 127, 'byte'));
  }

  /** AIDL's `char`: one UTF-16 unit, in an int32. */
  char(value: string): this {
    if (value.length !== 1) throw new RangeError(`Cannot store "${value}" as char`);
    return this.int32(value.charCodeAt(0));
  }

  /** AIDL's `String`: count of UTF-16 units, the units, a zero unit. Null is count -1. */
  string16(value: string | null): this {
    if (value === null) return this.int32(-1);
    const units = value.length;
    this.int32(units);
    const at = this.#grow(2 * (units + 1));
    for (let i = 0; i < units; i++) this.#view.setUint16(at + 2 * i, value.charCodeAt(i), true);
    return this;
  }

  /** `String8`, which AIDL does not use: count of bytes, UTF-8, a zero byte. */
  string8(value: string): this {
    const encoded = Buffer.from(value, 'utf8');
    return this.int32(encoded.length).#raw(encoded, 1);
  }

  /** A C string: UTF-8 and a zero byte. */
  cString(value: string): this {
    return this.#raw(Buffer.from(value, 'utf8'), 1);
  }

  /** AIDL's `byte[]`: count and packed bytes. */
  byteArray(value: Uint8Array | null): this {
    return value === null ? this.int32(-1) : this.int32(value.length).#raw(value, 0);
  }

  /** Any other array: count, then each element by `write`. */
  vector<T>(values: readonly T[] | null, write: (writer: this, value: T) => void): this {
    if (values === null) return this.int32(-1);
    this.int32(values.length);
    for (const value of values) write(this, value);
    return this;
  }

  /** A nullable parcelable: 0, or 1 and its body. */
  parcelable(body: ((writer: this) => void) | null): this {
    this.int32(body === null ? 0 : 1);
    body?.(this);
    return this;
  }

  /**
   * A body that starts with its own size, this word included: what AIDL puts around the fields of a
   * parcelable, so that an older reader can skip the newer ones.
   */
  sized(body: (writer: this) => void): this {
    const start = this.#size;
    this.int32(0);
    body(this);
    this.#view.setInt32(start, this.#size - start, true);
    return this;
  }

  /**
   * An object of ours or a proxy. It gets its address, and is counted, when the parcel is sent; until
   * then the parcel holds the proxy, so that the caller may release it.
   */
  object(object: LocalBinder | RemoteBinder | null): this {
    if (object === null) return this.binder(null);
    if (object instanceof RemoteBinder) object.hold();
    this.#binders.push({ at: this.#size + 4, object });
    return this.binder(0n);
  }

  /** A binder by the address that the session gave it; null is 0 and stability 0. */
  binder(address: bigint | null): this {
    if (address === null) return this.int32(TYPE_BINDER_NULL).int32(0);
    if (this.#listsBinders) this.#objects.push(this.#size);
    return this.int32(TYPE_BINDER).uint64(address).int32(STABILITY_SYSTEM);
  }

  #raw(value: Uint8Array, terminator: number): this {
    const at = this.#grow(value.length + terminator);
    this.#buffer.set(value, at);
    return this;
  }

  /** Room for `size` bytes, padded to 4 with zeros; returns where it starts. */
  #grow(size: number): number {
    const at = this.#size;
    const end = at + Math.ceil(size / 4) * 4;
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#buffer.length));
      larger.set(this.#buffer);
      this.#buffer = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#size = end;
    return at;
  }
}

/** Lets go of the proxies in a parcel that was sent, or will not be. */
export function releaseBinders(parcel: OutgoingParcel): void {
  for (const { object } of parcel.binders) {
    if (object instanceof RemoteBinder) object.release();
  }
}
