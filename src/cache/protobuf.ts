/**
 * Messages of protocol buffers (proto3), each described once for encoder and decoder.
 *
 * Encoding is canonical as the Remote Execution API asks of what is hashed: fields in the order of their numbers, each at most
 * once, none that has its default. Decoding is for bytes of strangers: every error is a FormatError, and a field that the
 * format allows once and that stands there twice is one. The wire format itself is the library's.
 */

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FormatError } from '../core/errors.ts';

/** One kind of value: how it stands on the wire, and which value is left out. */
interface Scalar<T> {
  readonly wire: WireType;
  readonly absent: T;
  isAbsent(value: T): boolean;
  write(writer: BinaryWriter, value: T): void;
  read(reader: BinaryReader): T;
}

interface FieldBase<T> {
  readonly number: number;
  /** Never there: carries the type of the value. */
  readonly type?: T;
}
type ScalarField<T> = FieldBase<T> & { readonly form: 'scalar'; readonly scalar: Scalar<T> };
type MessageField<T> = FieldBase<T | undefined> & {
  readonly form: 'message';
  readonly message: Message<T>;
};
type ListField<T> = FieldBase<readonly T[]> & {
  readonly form: 'list';
  readonly of: { readonly scalar: Scalar<T> } | { readonly message: Message<T> };
};
type Field = ScalarField<never> | MessageField<never> | ListField<never>;

/** A message: its name, its fields, and both directions. */
export interface Message<T> {
  readonly name: string;
  /** Fields that are left out have their defaults. */
  encode(value: Partial<T>): Uint8Array<ArrayBuffer>;
  /** @throws {FormatError} of format `protobuf` when the bytes are not such a message. Unknown fields are passed over. */
  decode(bytes: Uint8Array): T;
  /**
   * Where its fields stand, for showing them.
   *
   * @param offset Of the first byte, from which places count.
   */
  places(bytes: Uint8Array, offset?: number): MessagePlaces;
}

/** A field as it stands in the bytes. Offset and size in bytes, tag and length included. */
export interface FieldPlace {
  /** Undefined of a field that the description does not have. */
  readonly name: string | undefined;
  readonly number: number;
  readonly offset: number;
  readonly size: number;
  /** Undefined of messages, whose fields are `inner`, and of fields that nobody knows. */
  readonly value: unknown;
  readonly inner: MessagePlaces | undefined;
}

/** A message field by field, as far as it can be read. */
export interface MessagePlaces {
  readonly name: string;
  readonly fields: readonly FieldPlace[];
  readonly error: FormatError | undefined;
}

/** The value of a message as its decoder gives it. */
export type MessageValue<M> = M extends Message<infer T> ? T : never;

const text: Scalar<string> = {
  wire: WireType.LengthDelimited,
  absent: '',
  isAbsent: (value) => value === '',
  write: (writer, value) => writer.string(value),
  read: (reader) => reader.string(true),
};
const octets: Scalar<Uint8Array> = {
  wire: WireType.LengthDelimited,
  absent: new Uint8Array(0),
  isAbsent: (value) => value.length === 0,
  write: (writer, value) => writer.bytes(value),
  read: (reader) => reader.bytes(),
};
const flag: Scalar<boolean> = {
  wire: WireType.Varint,
  absent: false,
  isAbsent: (value) => !value,
  write: (writer, value) => writer.bool(value),
  read: (reader) => reader.bool(),
};
const whole32: Scalar<number> = {
  wire: WireType.Varint,
  absent: 0,
  isAbsent: (value) => value === 0,
  write: (writer, value) => writer.int32(value),
  read: (reader) => reader.int32(),
};
/** int64; what a number cannot hold exactly is refused. */
const whole64: Scalar<number> = {
  wire: WireType.Varint,
  absent: 0,
  isAbsent: (value) => value === 0,
  write(writer, value) {
    if (!Number.isSafeInteger(value)) throw new RangeError(`Cannot encode ${value} as int64`);
    writer.int64(value);
  },
  read(reader) {
    const value = Number(reader.int64());
    if (Number.isSafeInteger(value)) return value;
    throw new FormatError('protobuf', 'out-of-range', 'A number is larger than 2^53');
  },
};

const scalarField =
  <T>(scalar: Scalar<T>) =>
  (number: number): ScalarField<T> => ({ number, form: 'scalar', scalar });

/** Fields by the names that `.proto` files have for their types. */
export const string = scalarField(text);
export const bytes = scalarField(octets);
export const bool = scalarField(flag);
export const int32 = scalarField(whole32);
export const int64 = scalarField(whole64);

/** `TYPE name = number` of another message: undefined when it is not there. */
export const optional = <T>(number: number, of: Message<T>): MessageField<T> => ({
  number,
  form: 'message',
  message: of,
});

/** `repeated TYPE name = number` of another message. */
export const repeated = <T>(number: number, of: Message<T>): ListField<T> => ({
  number,
  form: 'list',
  of: { message: of },
});

/** `repeated string name = number`. */
export const strings = (number: number): ListField<string> => ({
  number,
  form: 'list',
  of: { scalar: text },
});

type ValueOf<Fields> = {
  readonly [Name in keyof Fields]: Fields[Name] extends FieldBase<infer T> ? T : never;
};

/** @param fields By name; in any order. */
export function message<const Fields extends Record<string, FieldBase<unknown>>>(
  name: string,
  fields: Fields,
): Message<ValueOf<Fields>> {
  type Value = ValueOf<Fields>;
  const ordered = Object.entries(fields as unknown as Record<string, Field>).sort(
    ([, a], [, b]) => a.number - b.number,
  );
  const byNumber = new Map(ordered.map((entry) => [entry[1].number, entry]));

  const fail = (code: 'truncated' | 'bad-value' | 'duplicate', what: string): never => {
    throw new FormatError('protobuf', code, `Cannot decode ${name}: ${what}`);
  };

  const readInto = (value: Record<string, unknown>, input: Uint8Array): void => {
    const reader = new BinaryReader(input);
    const seen = new Set<number>();
    while (reader.pos < reader.len) {
      const [number, wire] = reader.tag();
      const entry = byNumber.get(number);
      if (entry === undefined) {
        reader.skip(wire, number);
        continue;
      }
      const [key, field] = entry;
      const wanted = wireOf(field);
      if (wire !== wanted) fail('bad-value', `"${key}" has wire type ${wire}, expected ${wanted}`);
      if (field.form === 'list') {
        (value[key] as unknown[]).push(readValue(field.of, reader));
        continue;
      }
      if (seen.has(number)) fail('duplicate', `"${key}" is there twice`);
      seen.add(number);
      value[key] = readValue(field, reader);
    }
    if (reader.pos !== reader.len) fail('truncated', 'it ends in the middle of a field');
  };

  return {
    name,
    encode(value) {
      const writer = new BinaryWriter();
      for (const [key, field] of ordered) {
        writeField(writer, field, (value as Record<string, unknown>)[key]);
      }
      return writer.finish();
    },
    decode(input) {
      const value = Object.fromEntries(ordered.map(([key, field]) => [key, absentOf(field)]));
      try {
        readInto(value, input);
      } catch (cause) {
        throw decodingError(name, cause);
      }
      return value as Value;
    },
    places(input, offset = 0) {
      const places: FieldPlace[] = [];
      try {
        const reader = new BinaryReader(input);
        while (reader.pos < reader.len) {
          const start = reader.pos;
          const [number, wire] = reader.tag();
          const [key, field] = byNumber.get(number) ?? [];
          const isKnown = field !== undefined && wire === wireOf(field);
          let value: unknown;
          let inner: MessagePlaces | undefined;
          if (!isKnown) {
            reader.skip(wire, number);
          } else {
            const kind = field.form === 'list' ? field.of : field;
            if ('scalar' in kind) value = kind.scalar.read(reader);
            else {
              const encoded = reader.bytes();
              inner = kind.message.places(encoded, offset + reader.pos - encoded.length);
            }
          }
          if (reader.pos > reader.len) fail('truncated', 'it ends in the middle of a field');
          const size = reader.pos - start;
          const known = isKnown ? key : undefined;
          places.push({ name: known, number, offset: offset + start, size, value, inner });
        }
        return { name, fields: places, error: undefined };
      } catch (cause) {
        return { name, fields: places, error: decodingError(name, cause) };
      }
    },
  };
}

/** The library throws plain errors: of ranges where bytes are missing, of values for all else. */
function decodingError(name: string, cause: unknown): FormatError {
  if (cause instanceof FormatError) return cause;
  const code = cause instanceof RangeError ? 'truncated' : 'bad-value';
  const what = cause instanceof Error ? cause.message : String(cause);
  return new FormatError('protobuf', code, `Cannot decode ${name}: ${what}`, { cause });
}

const absentOf = (field: Field): unknown =>
  field.form === 'scalar' ? field.scalar.absent : field.form === 'list' ? [] : undefined;

const wireOf = (field: Field): WireType =>
  field.form === 'scalar' ? field.scalar.wire : WireType.LengthDelimited;

type Kind = { readonly scalar: Scalar<never> } | { readonly message: Message<never> };

const readValue = (kind: Kind, reader: BinaryReader): unknown =>
  'scalar' in kind ? kind.scalar.read(reader) : kind.message.decode(reader.bytes());

function writeValue(writer: BinaryWriter, number: number, kind: Kind, value: unknown): void {
  if ('scalar' in kind) {
    writer.tag(number, kind.scalar.wire);
    kind.scalar.write(writer, value as never);
  } else {
    writer.tag(number, WireType.LengthDelimited);
    writer.bytes(kind.message.encode(value as never));
  }
}

function writeField(writer: BinaryWriter, field: Field, value: unknown): void {
  if (value === undefined) return;
  if (field.form === 'list') {
    for (const each of value as readonly unknown[]) {
      writeValue(writer, field.number, field.of, each);
    }
  } else if (field.form === 'message' || !field.scalar.isAbsent(value as never)) {
    writeValue(writer, field.number, field, value);
  }
}
