/** How AIDL's types, names and values are written in Rust. */

import type { AidlArgument, AidlType, ConstantValue, TypeDescription } from '../types.ts';
import { upperFirst } from './text.ts';

const KEYWORDS: ReadonlySet<string> = new Set(
  (
    'abstract as async await become box break const continue crate do dyn else enum extern false final ' +
    'fn for gen if impl in let loop macro match mod move mut override priv pub ref return self Self ' +
    'static struct super trait true try type typeof unsafe unsized use virtual where while yield'
  ).split(' '),
);
/** Keywords that cannot be written as names even with `r#`. */
const NEVER_NAMES: ReadonlySet<string> = new Set(['self', 'Self', 'super', 'crate', '_']);

/** Names that generated code means something else by. */
const TAKEN_TYPES: ReadonlySet<string> = new Set(
  'Clone Debug Default Err From Into None Ok Option PartialEq Result Send Some Sync'.split(' '),
);

/** The name of a declared type. */
export const rustTypeName = (name: string): string =>
  TAKEN_TYPES.has(name) ? `${name}_` : rustName(name);

export function rustName(name: string): string {
  if (NEVER_NAMES.has(name)) return `${name}_`;
  return KEYWORDS.has(name) ? `r#${name}` : name;
}

/** The name of a parameter, which must not hide a type or a variant. */
export const rustVariable = (name: string): string =>
  /^[A-Z]/.test(name) ? `arg_${name}` : rustName(name);

export const snakeCase = (name: string): string =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll(/([A-Z]+)([A-Z][a-z])/g, '$1_$2')
    .toLowerCase();

/** Where types without a package stand. */
const NO_PACKAGE = 'no_package';

/** The module that a type stands in: its package, and one for each type around it. */
export function modulePath(description: TypeDescription): readonly string[] {
  const { outer, packageName } = description;
  if (outer === undefined) return (packageName || NO_PACKAGE).split('.').map(rustName);
  return [...modulePath(outer), rustName(snakeCase(outer.name))];
}

/** The name of what stands for a type: for an interface, its proxy. */
export function typeName(description: TypeDescription): string {
  return description.kind === 'interface'
    ? `Bp${baseName(description.name)}`
    : rustTypeName(description.name);
}

/** `IFoo` and `Foo` are both served by `BnFoo`, as in Android. */
export const baseName = (name: string): string =>
  /^I[A-Z]/.test(name) ? name.slice(1) : upperFirst(name);

/** Where an element that has no default is made in advance: `Slot` stands for it. */
type Place = 'value' | 'field' | 'out';

export class RustTypes {
  readonly #from: readonly string[];

  /** @param from The module that the names are written in. */
  constructor(from: readonly string[]) {
    this.#from = from;
  }

  /** The path of a type, or of something that is named for it. */
  path(description: TypeDescription, name = typeName(description)): string {
    const to = modulePath(description);
    let common = 0;
    while (common < to.length && to[common] === this.#from[common]) common++;
    const up = Array.from({ length: this.#from.length - common }, () => 'super');
    return [...up, ...to.slice(common), name].join('::');
  }

  /** The type of what is owned. */
  owned(type: AidlType, place: Place = 'value', inFixed = false): string {
    const bare = this.#bare(type, place, inFixed);
    if (!('nullable' in type) || !type.nullable) return bare;
    return type.kind === 'structure' && type.heap && place === 'field'
      ? `Option<_aidl::lib::Box<${bare}>>`
      : `Option<${bare}>`;
  }

  #bare(type: AidlType, place: Place, inFixed: boolean): string {
    switch (type.kind) {
      case 'boolean':
        return 'bool';
      case 'byte':
        return 'i8';
      case 'char':
        return 'u16';
      case 'int':
        return 'i32';
      case 'long':
        return 'i64';
      case 'float':
        return 'f32';
      case 'double':
        return 'f64';
      case 'String':
        return '_aidl::lib::String';
      case 'enum':
      case 'structure':
        return this.path(type.declaration);
      case 'IBinder':
      case 'interface': {
        const name = type.kind === 'IBinder' ? '_aidl::Binder' : this.path(type.declaration);
        const isEmptyFirst = !type.nullable && (place === 'out' || (place === 'field' && inFixed));
        return isEmptyFirst ? `_aidl::Slot<${name}>` : name;
      }
      case 'array': {
        const isFixed = type.size !== null;
        const element =
          type.element.kind === 'byte' ? 'u8' : this.owned(type.element, place, isFixed);
        return isFixed ? `[${element}; ${type.size}]` : `_aidl::lib::Vec<${element}>`;
      }
      case 'unsupported':
        throw new TypeError(`Cannot write ${type.name} in Rust`);
    }
  }

  /** The type of a field: an object that has to be there is empty until it is filled. */
  field(type: AidlType): string {
    const isObject = type.kind === 'IBinder' || type.kind === 'interface';
    return this.owned(type, 'field', isObject);
  }

  /** The type of a method's parameter. */
  parameter({ type, direction }: AidlArgument): string {
    if (direction !== 'in') return `&mut ${this.owned(type, 'out')}`;
    if (isCopied(type)) return this.owned(type);
    const nullable = 'nullable' in type && type.nullable;
    const bare = this.#borrowed(type);
    return nullable ? `Option<&${bare}>` : `&${bare}`;
  }

  #borrowed(type: AidlType): string {
    if (type.kind === 'String') return 'str';
    const plain = 'nullable' in type ? { ...type, nullable: false } : type;
    const owned = this.owned(plain);
    if (type.kind !== 'array' || type.size !== null) return owned;
    return `[${owned.slice('_aidl::lib::Vec<'.length, -1)}]`;
  }

  /** The value that a field starts with. */
  initial(type: AidlType, value: ConstantValue | undefined): string {
    if (value === undefined) return this.#zero(type);
    const literal = this.literal(type, value);
    return 'nullable' in type && type.nullable ? `Some(${literal})` : literal;
  }

  #zero(type: AidlType): string {
    const isNull = 'nullable' in type && type.nullable;
    if (isNull || type.kind !== 'array' || type.size === null) return 'Default::default()';
    return `core::array::from_fn(|_| ${this.#zero(type.element)})`;
  }

  literal(type: AidlType, value: ConstantValue, isConstant = false): string {
    if (Array.isArray(value)) return this.#arrayLiteral(type, value as readonly ConstantValue[]);
    const text = typeof value === 'object' ? '' : String(value);
    switch (type.kind) {
      case 'boolean':
        return text;
      case 'char':
        return String(text.charCodeAt(0));
      case 'byte':
      case 'int':
      case 'long':
        return text;
      case 'float':
      case 'double':
        return floatLiteral(Number(value), type.kind === 'float' ? 'f32' : 'f64');
      case 'String':
        return isConstant ? rustString(text) : `${rustString(text)}.into()`;
      case 'enum': {
        const { enumerator } = value as { readonly enumerator: string };
        return `${this.path(type.declaration)}::${rustName(enumerator)}`;
      }
      case 'array':
      case 'structure':
      case 'interface':
      case 'IBinder':
      case 'unsupported':
        throw new TypeError(`Cannot write a constant of ${type.kind} in Rust`);
    }
  }

  #arrayLiteral(type: AidlType, values: readonly ConstantValue[]): string {
    if (type.kind !== 'array') throw new TypeError('Cannot write these values in Rust');
    const { element, size } = type;
    const items = values.map((each) => {
      if (element.kind === 'byte') return `${Number(each) & 0xff}`;
      const literal = this.literal(element, each);
      return 'nullable' in element && element.nullable ? `Some(${literal})` : literal;
    });
    return size === null ? `_aidl::lib::Vec::from([${items.join(', ')}])` : `[${items.join(', ')}]`;
  }
}

/** What is passed by value. */
export function isCopied(type: AidlType): boolean {
  switch (type.kind) {
    case 'boolean':
    case 'byte':
    case 'char':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
    case 'enum':
      return true;
    case 'String':
    case 'IBinder':
    case 'interface':
    case 'structure':
    case 'array':
    case 'unsupported':
      return false;
  }
}

/** Constants hold printable ASCII only. */
const rustString = (text: string): string => JSON.stringify(text);

function floatLiteral(value: number, suffix: string): string {
  const text = String(value);
  return /[.e]/.test(text) ? `${text}_${suffix}` : `${text}.0_${suffix}`;
}
