/** What AIDL files say, with every name looked up: what calls, servers and generators work from. */

import type { Diagnostic } from '../../core/errors.ts';

export type ScalarKind = 'boolean' | 'byte' | 'char' | 'int' | 'long' | 'float' | 'double';
export type Direction = 'in' | 'out' | 'inout';

/** `nullable` says that null may stand for the value. */
export type AidlType =
  | { readonly kind: ScalarKind }
  | { readonly kind: 'String'; readonly nullable: boolean }
  | { readonly kind: 'IBinder'; readonly nullable: boolean }
  | { readonly kind: 'enum'; readonly declaration: EnumDescription }
  | {
      readonly kind: 'interface';
      readonly declaration: InterfaceDescription;
      readonly nullable: boolean;
    }
  | {
      readonly kind: 'structure';
      readonly declaration: StructureDescription;
      readonly nullable: boolean;
      /** `@nullable(heap=true)`: the structure may hold itself. */
      readonly heap: boolean;
    }
  | {
      readonly kind: 'array';
      readonly element: AidlType;
      /** Of `T[N]`; null for `T[]` and `List<T>`. */
      readonly size: number | null;
      /** Written as `List<T>`. */
      readonly list: boolean;
      readonly nullable: boolean;
    }
  | { readonly kind: 'unsupported'; readonly name: string; readonly problem: Diagnostic };

/** The value of a constant or default: null where there is none. */
export type ConstantValue =
  | boolean
  | number
  | bigint
  | string
  | readonly ConstantValue[]
  | { readonly enumerator: string; readonly value: number | bigint };

export interface ConstantDescription {
  readonly name: string;
  readonly doc: string | undefined;
  readonly type: AidlType;
  readonly value: ConstantValue;
}

export interface AidlArgument {
  readonly name: string;
  readonly direction: Direction;
  readonly type: AidlType;
}

export interface AidlMethod {
  readonly name: string;
  readonly doc: string | undefined;
  /** The transaction code: its place in the interface from 1, or the given id + 1. */
  readonly code: number;
  readonly oneway: boolean;
  readonly args: readonly AidlArgument[];
  /** Null for `void`. */
  readonly returns: AidlType | null;
  /** Why it cannot be called: one of its types cannot travel. */
  readonly unsupported: Diagnostic | undefined;
}

interface DescriptionBase {
  /** With package and enclosing types, as in `a.b.Outer.Inner`. */
  readonly fullName: string;
  readonly name: string;
  readonly packageName: string;
  /** Of the type around it, when it is nested. */
  readonly outer: TypeDescription | undefined;
  readonly doc: string | undefined;
  readonly constants: readonly ConstantDescription[];
  readonly nested: readonly TypeDescription[];
  /** The path of its file. */
  readonly file: string;
}

export interface InterfaceDescription extends DescriptionBase {
  readonly kind: 'interface';
  /** The token that opens every call: the full name, unless `@Descriptor` gives another. */
  readonly descriptor: string;
  readonly methods: readonly AidlMethod[];
}

export interface FieldDescription {
  readonly name: string;
  readonly doc: string | undefined;
  readonly type: AidlType;
  /** Undefined when the file gives none. */
  readonly value: ConstantValue | undefined;
}

export interface StructureDescription extends DescriptionBase {
  readonly kind: 'parcelable' | 'union';
  readonly fields: readonly FieldDescription[];
  readonly fixedSize: boolean;
}

export interface EnumDescription extends DescriptionBase {
  readonly kind: 'enum';
  readonly backing: 'byte' | 'int' | 'long';
  readonly enumerators: readonly {
    readonly name: string;
    readonly doc: string | undefined;
    /** A bigint when the backing type is `long`. */
    readonly value: number | bigint;
  }[];
}

export type TypeDescription = InterfaceDescription | StructureDescription | EnumDescription;

/** A type as AIDL writes it, with its annotations. */
export function formatType(type: AidlType | null): string {
  if (type === null) return 'void';
  switch (type.kind) {
    case 'String':
    case 'IBinder':
      return nullable(type.nullable, type.kind);
    case 'enum':
      return simplePath(type.declaration);
    case 'interface':
      return nullable(type.nullable, simplePath(type.declaration));
    case 'structure': {
      const name = simplePath(type.declaration);
      return type.heap ? `@nullable(heap=true) ${name}` : nullable(type.nullable, name);
    }
    case 'array':
      return nullable(type.nullable, formatArray(type));
    case 'unsupported':
      return type.name;
    case 'boolean':
    case 'byte':
    case 'char':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return type.kind;
  }
}

function formatArray(type: AidlType & { readonly kind: 'array' }): string {
  if (type.list) return `List<${formatType(withoutNull(type.element))}>`;
  let suffix = '';
  let element: AidlType = type;
  while (element.kind === 'array' && !element.list) {
    suffix += element.size === null ? '[]' : `[${element.size}]`;
    element = element.element;
  }
  return `${formatType(withoutNull(element))}${suffix}`;
}

/** The elements of a nullable array are nullable without being annotated so. */
const withoutNull = (type: AidlType): AidlType =>
  'nullable' in type ? { ...type, nullable: false } : type;

const nullable = (isNullable: boolean, name: string): string =>
  isNullable ? `@nullable ${name}` : name;

/** The name within the package: `Outer.Inner`. */
export function simplePath(declaration: TypeDescription): string {
  return declaration.outer === undefined
    ? declaration.name
    : `${simplePath(declaration.outer)}.${declaration.name}`;
}

/** A method as AIDL writes it. */
export function formatMethod(method: AidlMethod): string {
  const args = method.args
    .map((arg) => {
      const direction = arg.direction === 'in' ? '' : `${arg.direction} `;
      return `${direction}${formatType(arg.type)} ${arg.name}`;
    })
    .join(', ');
  return `${method.oneway ? 'oneway ' : ''}${formatType(method.returns)} ${method.name}(${args})`;
}
