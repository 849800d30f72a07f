/** The value that a field has when nobody gives one. */

import type { AidlType, ConstantValue, FieldDescription } from './types.ts';
import type { AidlValue } from './values.ts';

/** Undefined when there is none: an object that can be called has to be given. */
export function defaultField({ type, value }: FieldDescription): AidlValue | undefined {
  return value === undefined ? defaultOf(type) : fromConstant(value, type);
}

export function defaultOf(type: AidlType): AidlValue | undefined {
  if ('nullable' in type && type.nullable) return null;
  switch (type.kind) {
    case 'boolean':
      return false;
    case 'char':
      return '\0';
    case 'byte':
    case 'int':
    case 'float':
    case 'double':
      return 0;
    case 'long':
      return 0n;
    case 'String':
      return '';
    case 'enum':
      // As C++ has it: the zero of the backing type, which may be no enumerator.
      return type.declaration.backing === 'long' ? 0n : 0;
    case 'array': {
      if (type.element.kind === 'byte') return new Uint8Array(type.size ?? 0);
      const items = Array.from({ length: type.size ?? 0 }, () => defaultOf(type.element));
      return items.every((item) => item !== undefined) ? items : undefined;
    }
    case 'structure': {
      const { kind, fields } = type.declaration;
      const used = kind === 'union' ? fields.slice(0, 1) : fields;
      const values = used.map((field) => [field.name, defaultField(field)] as const);
      if (values.some(([, value]) => value === undefined)) return undefined;
      return Object.fromEntries(values) as Record<string, AidlValue>;
    }
    case 'interface':
    case 'IBinder':
    case 'unsupported':
      return undefined;
  }
}

function fromConstant(value: ConstantValue, type: AidlType): AidlValue {
  if (isList(value)) {
    const element = type.kind === 'array' ? type.element : type;
    if (element.kind === 'byte')
      return Uint8Array.from(value as readonly number[], (each) => each & 0xff);
    return value.map((each) => fromConstant(each, element));
  }
  return typeof value === 'object' ? value.value : value;
}

const isList = (value: ConstantValue): value is readonly ConstantValue[] => Array.isArray(value);
