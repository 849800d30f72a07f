/**
 * Fixed-layout binary records.
 *
 * A record is declared once, in the order and with the names its
 * specification uses. The declaration is the encoder, the decoder and the size
 * check; it knows nothing of files, defaults or meaning.
 */

import { FormatError } from '../core/errors.ts';

/** One fixed-size member of a record. */
export interface Field<T> {
  readonly size: number;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

/** @param mask All bits of the field: written millions of times, a field costs one operation. */
const fits = (value: number, mask: number): number => {
  if ((value & mask) >>> 0 === value) return value;
  throw new RangeError(`Cannot store ${value} in an unsigned ${32 - Math.clz32(mask)}-bit field`);
};

const fits64 = (value: bigint): bigint => {
  if (value === BigInt.asUintN(64, value)) return value;
  throw new RangeError(`Cannot store ${value} in an unsigned 64-bit field`);
};

const u16 = (littleEndian: boolean): Field<number> => ({
  size: 2,
  read: (view, at) => view.getUint16(at, littleEndian),
  write: (view, at, value) => view.setUint16(at, fits(value, 0xffff), littleEndian),
});

const u32 = (littleEndian: boolean): Field<number> => ({
  size: 4,
  read: (view, at) => view.getUint32(at, littleEndian),
  write: (view, at, value) => view.setUint32(at, fits(value, 0xffff_ffff), littleEndian),
});

const u64 = (littleEndian: boolean): Field<bigint> => ({
  size: 8,
  read: (view, at) => view.getBigUint64(at, littleEndian),
  write: (view, at, value) => view.setBigUint64(at, fits64(value), littleEndian),
});

export const u8: Field<number> = {
  size: 1,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, fits(value, 0xff)),
};
/** Little-endian: EROFS, fs-verity, dm-verity, GPT, ZIP, APK signing block. */
export const le = { u16: u16(true), u32: u32(true), u64: u64(true) } as const;
/** Big-endian: AVB. */
export const be = { u16: u16(false), u32: u32(false), u64: u64(false) } as const;

/** `size` bytes; a shorter value is padded with zeros. */
export const bytes = (size: number): Field<Uint8Array> => ({
  size,
  read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, size).slice(),
  write(view, at, value) {
    if (value.length > size) {
      throw new RangeError(`Cannot store ${value.length} bytes in a ${size}-byte field`);
    }
    new Uint8Array(view.buffer, view.byteOffset + at, size).set(value);
  },
});

// `unknown` would not do: a field both reads and writes its type.
// oxlint-disable-next-line typescript/no-explicit-any
type Fields = Record<string, Field<any>>;
/** The values of a record, by field name. */
export type Values<F extends Fields> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface Struct<F extends Fields> {
  readonly name: string;
  readonly size: number;
  /** The declaration: names, in order, with their sizes. */
  readonly fields: F;
  encode(values: Values<F>): Uint8Array;
  /** Encodes into `target` at `at`: the hot path, which allocates nothing. */
  encodeInto(target: DataView, at: number, values: Values<F>): void;
  decode(source: Uint8Array, at?: number): Values<F>;
}

/**
 * Declares a record.
 *
 * @param name The specification's name, as it should read in an error.
 * @param size The size the specification gives. A layout that does not add up
 *   to it throws when the module is loaded, as `static_assert` would.
 */
export function struct<F extends Fields>(name: string, size: number, fields: F): Struct<F> {
  let end = 0;
  const layout = Object.entries(fields).map(([key, field]) => {
    const at = end;
    end += field.size;
    return { key, field, at };
  });
  if (end !== size) throw new TypeError(`${name} is ${size} bytes but its fields take ${end}`);

  return {
    name,
    size,
    fields,
    encode(values) {
      const out = new Uint8Array(size);
      this.encodeInto(new DataView(out.buffer), 0, values);
      return out;
    },
    encodeInto(target, start, values) {
      for (const { key, field, at } of layout) field.write(target, start + at, values[key]);
    },
    decode(source, start = 0) {
      const available = source.length - start;
      if (available < size) {
        throw new FormatError(
          'struct',
          'truncated',
          `Cannot read ${name}: it needs ${size} bytes, found ${Math.max(available, 0)}`,
          { offset: start },
        );
      }
      const view = new DataView(source.buffer, source.byteOffset + start, size);
      const values: Record<string, unknown> = {};
      for (const { key, field, at } of layout) values[key] = field.read(view, at);
      return values as Values<F>;
    },
  };
}
