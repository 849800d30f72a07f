import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import { toHex } from '../../../../src/core/digest.ts';
import { BinderException } from '../../../../src/runner/rpc/errors.ts';
import { ParcelReader } from '../../../../src/runner/rpc/parcel-reader.ts';
import { ParcelWriter } from '../../../../src/runner/rpc/parcel-writer.ts';
import { readStatus, writeException, writeOk } from '../../../../src/runner/rpc/status.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

interface Vector {
  readonly op: string;
  readonly arg: string;
  readonly hex: string;
}

/** The C++ of the recorded test, as the calls that must give the same bytes. */
const SCALARS: Readonly<Record<string, (w: ParcelWriter, arg: string) => void>> = {
  writeInterfaceToken: (w, arg) => w.string16(text(arg)),
  writeInt32: (w, arg) => w.int32(Number(arg)),
  writeUint32: (w, arg) => w.uint32(Number(arg)),
  writeInt64: (w, arg) => w.int64(BigInt(arg)),
  writeUint64: (w, arg) => w.uint64(BigInt(arg)),
  writeFloat: (w, arg) => w.float(Number.parseFloat(arg)),
  writeDouble: (w, arg) => w.double(Number(arg)),
  writeCString: (w, arg) => w.cString(text(arg)),
  writeString8: (w, arg) => w.string8(text(arg)),
  writeString16: (w, arg) => w.string16(text(arg)),
  writeUtf8AsUtf16: (w, arg) => w.string16(nullable(arg, text)),
  writeStrongBinder: (w) => w.binder(null),
  writeBool: (w, arg) => w.bool(arg === 'true'),
  writeChar: (w, arg) => w.char(arg === String.raw`'\0'` ? '\0' : arg.slice(1, 2)),
  writeByte: (w, arg) => w.byte(Number(arg)),
  writeInt32Array: (w) => w.vector([-1, 0, 17], (each, value) => each.int32(value)),
  writeByteArray: (w) => w.byteArray(new Uint8Array([0, 17, 255])),
  writeByteVector: (w, arg) =>
    w.byteArray(nullable(arg, (list) => new Uint8Array(numbers(list).map((v) => v & 0xff)))),
  writeInt32Vector: (w, arg) => w.vector(nullable(arg, numbers), (each, v) => each.int32(v)),
  writeInt64Vector: (w, arg) =>
    w.vector(nullable(arg, numbers), (each, v) => each.int64(BigInt(v))),
  writeUint64Vector: (w, arg) =>
    w.vector(nullable(arg, numbers), (each, v) => each.uint64(BigInt(v))),
  writeFloatVector: (w, arg) => w.vector(nullable(arg, numbers), (each, v) => each.float(v)),
  writeDoubleVector: (w, arg) => w.vector(nullable(arg, numbers), (each, v) => each.double(v)),
  writeBoolVector: (w, arg) =>
    w.vector(
      nullable(arg, (list) => items(list).map((item) => item === 'true')),
      (each, v) => each.bool(v),
    ),
  writeCharVector: (w, arg) =>
    w.vector(
      nullable(arg, (list) =>
        items(list).map((item) => (item === String.raw`'\0'` ? '\0' : item.slice(1, 2))),
      ),
      (each, v) => each.char(v),
    ),
  writeString16Vector: (w, arg) => w.vector(nullable(arg, strings), (each, v) => each.string16(v)),
  writeUtf8VectorAsUtf16Vector: (w, arg) =>
    w.vector(nullable(arg, strings), (each, v) => each.string16(v)),
  writeStrongBinderVector: (w, arg) => w.vector(nullable(arg, items), (each) => each.binder(null)),
  writeEnumVector: (w, arg) => {
    const values = nullable(arg, (list) => items(list).map((item) => (item.endsWith('B') ? 1 : 0)));
    if (arg.includes('Int8')) w.byteArray(values === null ? null : new Uint8Array(values));
    else if (arg.includes('Int64')) w.vector(values, (each, v) => each.int64(BigInt(v)));
    else w.vector(values, (each, v) => each.int32(v));
  },
  writeParcelableVector: (w, arg) =>
    w.vector(nullable(arg, items), (each) => each.parcelable((body) => body.int32(37))),
  writeNullableParcelable: (w, arg) =>
    w.parcelable(arg.includes('nullopt') ? null : (body) => body.int32(37)),
  writeParcelable: (w) => w.parcelable((body) => body.int32(37)),
  writeVectorSize: (w, arg) => w.int32(nullable(arg, items)?.length ?? -1),
  writeNoException: (w) => writeOk(w),
  statusWriteToParcel: (w, arg) => {
    const [, code, message] = /\((\d+), "(.*)"\)/.exec(arg) ?? [];
    if (code === undefined || message === undefined) writeOk(w);
    else if (arg.includes('ServiceSpecific')) {
      writeException(w, new BinderException(-8, message, Number(code)));
    } else writeException(w, new BinderException(Number(code), message));
  },
};

const text = (arg: string): string => /"(.*)"/.exec(arg)?.[1] ?? '';
const nullable = <T>(arg: string, read: (arg: string) => T): T | null =>
  /\((?:std::)?nullopt\)$|^std::nullopt$/.test(arg) ? null : read(arg);
const items = (arg: string): string[] => {
  const list = /\{(.*)\}/.exec(arg)?.[1] ?? '';
  return list === '' ? [] : list.split(',').map((item) => item.trim());
};
const numbers = (arg: string): number[] => items(arg).map((item) => Number.parseFloat(item));
const strings = (arg: string): (string | null)[] =>
  items(arg).map((item) => (item === 'std::nullopt' ? null : text(item)));

describe.skipIf(corpus === undefined)('the parcels that libbinder wrote', () => {
  test('are written byte for byte', () => {
    const path = corpusPath('binder', 'parcel_golden_v0_v1.json');
    const { vectors } = JSON.parse(readFileSync(path, 'utf8')) as { vectors: Vector[] };
    const wrong: string[] = [];
    for (const { op, arg, hex } of vectors) {
      const writer = new ParcelWriter(1);
      const write = SCALARS[op];
      expect(write, `no way to write ${op}`).toBeDefined();
      write?.(writer, arg);
      const actual = toHex(writer.finish().data);
      if (actual !== hex) wrong.push(`${op}(${arg}): ${actual}, expected ${hex}`);
    }
    expect(wrong).toEqual([]);
    expect(vectors.length).toBeGreaterThan(50);
  });
});

const read = (writer: ParcelWriter): ParcelReader => new ParcelReader(writer.finish());

test('every string comes back, with lone surrogates and zeros', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      const reader = read(new ParcelWriter().string16(value).string16(null));
      expect(reader.string16()).toBe(value);
      expect(reader.string16()).toBeNull();
      expect(reader.remaining).toBe(0);
    }),
  );
  expect(read(new ParcelWriter().string16('a\ud800\0b')).string16()).toBe('a\ud800\0b');
});

test('numbers and bytes come back', () => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.uint8Array(),
      fc.double(),
      (i, l, b, d) => {
        const reader = read(new ParcelWriter().int32(i).int64(l).byteArray(b).double(d));
        expect(reader.int32()).toBe(i);
        expect(reader.int64()).toBe(l);
        expect(reader.byteArray()).toEqual(b);
        expect(reader.double()).toBe(d);
      },
    ),
  );
});

test('values that do not fit are refused', () => {
  const writer = new ParcelWriter();
  expect(() => writer.int32(2 ** 31)).toThrow(RangeError);
  expect(() => writer.int32(1.5)).toThrow(RangeError);
  expect(() => writer.byte(128)).toThrow(RangeError);
  expect(() => writer.char('ab')).toThrow(RangeError);
  expect(() => writer.int64(2n ** 63n)).toThrow(RangeError);
  expect(writer.finish().data.length).toBe(0);
});

test('any bytes are read or refused with FormatError', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 64 }),
      fc.array(
        fc.constantFrom(
          'string16',
          'string8',
          'byteArray',
          'binder',
          'int64',
          'char',
          'status',
          'vector',
        ),
        { maxLength: 6 },
      ),
      (data, ops) => {
        const reader = new ParcelReader({ data, objects: [0] });
        try {
          for (const op of ops) {
            if (op === 'status') readStatus(reader);
            else if (op === 'vector') reader.vector((each) => each.string16());
            else (reader[op as 'string16'] as () => unknown).call(reader);
          }
        } catch (error) {
          expect(error instanceof FormatError || error instanceof BinderException).toBe(true);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('a huge count is refused before anything is allocated', () => {
  const reader = read(new ParcelWriter().int32(0x7fffffff));
  expect(() => reader.vector((each) => each.int32())).toThrow(FormatError);
  expect(() => read(new ParcelWriter().int32(0x7fffffff)).byteArray()).toThrow(FormatError);
  expect(() => read(new ParcelWriter().int32(0x7fffffff)).string16()).toThrow(FormatError);
  expect(() => read(new ParcelWriter().int32(-2)).byteArray()).toThrow(FormatError);
});

test('at version 2 a binder is listed in the object table and must be', () => {
  const parcel = new ParcelWriter(2).int32(7).binder(3n).binder(null).finish();
  expect(parcel.objects).toEqual([4]);
  expect(new ParcelWriter(1).binder(3n).finish().objects).toEqual([]);
  const reader = new ParcelReader(parcel);
  expect([reader.int32(), reader.binder(), reader.binder()]).toEqual([7, 3n, null]);
  const unlisted = new ParcelReader({ data: parcel.data, objects: [] }, 2);
  unlisted.int32();
  expect(() => unlisted.binder()).toThrow(FormatError);
});

test('an exception keeps its code, its message and its service code', () => {
  const writer = new ParcelWriter();
  writeException(writer, new BinderException(-8, 'boom', 77));
  const data = writer.finish();
  expect(toHex(data.data)).toBe('f8ffffff0400000062006f006f006d0000000000000000004d000000');
  expect(() => readStatus(new ParcelReader(data))).toThrow(
    expect.objectContaining({ exception: -8, serviceMessage: 'boom', serviceSpecific: 77 }),
  );
});

test('a reply header (EX_HAS_REPLY_HEADER) is skipped', () => {
  const reader = read(new ParcelWriter().int32(-128).int32(8).int32(99).int32(5));
  readStatus(reader);
  expect(reader.int32()).toBe(5);
});
