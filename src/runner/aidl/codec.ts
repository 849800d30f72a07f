/** Writes and reads values by a type that is known only at run time. */

import { defaultField } from './defaults.ts';
import type { AidlReader } from './reader.ts';
import type {
  AidlType,
  FieldDescription,
  InterfaceDescription,
  StructureDescription,
} from './types.ts';
import type { AidlValue } from './values.ts';
import type { AidlWriter } from './writer.ts';
import type { LocalBinder, RemoteBinder } from '../rpc/binder.ts';

/** Makes of an object that was read what its reader works with. */
export type WrapBinder = (
  binder: LocalBinder | RemoteBinder,
  declaration: InterfaceDescription | undefined,
) => AidlValue;

type Fields = Readonly<Record<string, AidlValue>>;

/** @param value Was checked by `checkValue`. */
export function writeValue(out: AidlWriter, type: AidlType, value: AidlValue): void {
  switch (type.kind) {
    case 'boolean':
      return out.boolean(value as boolean);
    case 'byte':
    case 'int':
    case 'float':
    case 'double':
      return out[type.kind](value as number);
    case 'char':
      return out.char(value as string);
    case 'long':
      return out.long(value as bigint);
    case 'String':
      return type.nullable
        ? out.nullableString(value as string | null)
        : out.string(value as string);
    case 'enum': {
      const { backing } = type.declaration;
      return backing === 'long' ? out.long(value as bigint) : out[backing](value as number);
    }
    case 'IBinder':
    case 'interface': {
      const binder = value as LocalBinder | RemoteBinder | null;
      return type.nullable || binder === null ? out.nullableBinder(binder) : out.binder(binder);
    }
    case 'structure': {
      const { declaration } = type;
      const write = (_out: AidlWriter, inner: Fields): void => writeFields(out, declaration, inner);
      return type.nullable
        ? out.nullableStructure(value as Fields | null, write)
        : out.structure(value as Fields, write);
    }
    case 'array':
      return writeArray(out, type, value);
    case 'unsupported':
      return out.fail(value, 'nothing: no call can carry it');
  }
}

function writeArray(out: AidlWriter, type: AidlType & { kind: 'array' }, value: AidlValue): void {
  const { element, nullable } = type;
  const size = type.size ?? undefined;
  if (element.kind === 'byte') {
    const bytes = value as Uint8Array | null;
    return nullable ? out.nullableBytes(bytes, size) : out.bytes(bytes as Uint8Array, size);
  }
  if (isByteEnum(element)) {
    const values = value as readonly number[] | null;
    return nullable
      ? out.nullableEnumBytes(values, size)
      : out.enumBytes(values as readonly number[], size);
  }
  const values = value as readonly AidlValue[] | null;
  const write = (item: AidlValue): void => writeValue(out, element, item);
  return nullable
    ? out.nullableArray(values, write, size)
    : out.array(values as readonly AidlValue[], write, size);
}

function writeFields(
  out: AidlWriter,
  { kind, fields, name }: StructureDescription,
  value: Fields,
): void {
  if (kind === 'union') {
    const index = fields.findIndex((field) => Object.hasOwn(value, field.name));
    const field = fields[index];
    if (field === undefined) return out.fail(value, `one of the fields of ${name}`);
    out.tag(index);
    return writeValue(out.at(field.name), field.type, value[field.name] ?? null);
  }
  out.fields(() => {
    for (const field of fields)
      writeValue(out.at(field.name), field.type, value[field.name] ?? null);
  });
}

export function readValue(input: AidlReader, type: AidlType, wrap: WrapBinder): AidlValue {
  switch (type.kind) {
    case 'boolean':
    case 'byte':
    case 'char':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return input[type.kind]();
    case 'String':
      return type.nullable ? input.nullableString() : input.string();
    case 'enum':
      return input[type.declaration.backing]();
    case 'IBinder':
    case 'interface': {
      const binder = type.nullable ? input.nullableBinder() : input.binder();
      const declaration = type.kind === 'interface' ? type.declaration : undefined;
      return binder === null ? null : wrap(binder, declaration);
    }
    case 'structure': {
      const { declaration } = type;
      const read = (): AidlValue => readFields(input, declaration, wrap);
      return type.nullable ? input.nullableStructure(read) : input.structure(read);
    }
    case 'array':
      return readArray(input, type, wrap);
    case 'unsupported':
      throw new TypeError(`Cannot read ${type.name}: no call can carry it`);
  }
}

function readArray(
  input: AidlReader,
  type: AidlType & { kind: 'array' },
  wrap: WrapBinder,
): AidlValue {
  const { element, nullable } = type;
  const size = type.size ?? undefined;
  if (element.kind === 'byte') return nullable ? input.nullableBytes(size) : input.bytes(size);
  if (isByteEnum(element)) return nullable ? input.nullableEnumBytes(size) : input.enumBytes(size);
  const read = (): AidlValue => readValue(input, element, wrap);
  return nullable ? input.nullableArray(read, size) : input.array(read, size);
}

function readFields(
  input: AidlReader,
  { kind, fields, name }: StructureDescription,
  wrap: WrapBinder,
): AidlValue {
  if (kind === 'union') {
    const tag = input.tag();
    const field = fields[tag];
    if (field === undefined) throw input.badTag(tag, name);
    return { [field.name]: readValue(input, field.type, wrap) };
  }
  return input.fields((more) =>
    Object.fromEntries(
      fields.map((field) => [
        field.name,
        more() ? readValue(input, field.type, wrap) : absentField(field),
      ]),
    ),
  );
}

/** An older sender does not know the field. */
const absentField = (field: FieldDescription): AidlValue => defaultField(field) ?? null;

const isByteEnum = (type: AidlType): boolean =>
  type.kind === 'enum' && type.declaration.backing === 'byte';
