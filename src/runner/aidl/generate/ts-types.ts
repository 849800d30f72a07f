/** How AIDL's types, names and values are written in TypeScript. */

import type { AidlType, ConstantValue, FieldDescription, TypeDescription } from '../types.ts';
import { outermost } from './text.ts';

const RESERVED: ReadonlySet<string> = new Set(
  (
    'abstract any arguments as async await boolean break case catch class const continue debugger declare ' +
    'default delete do else enum eval export extends false finally for from function get if implements ' +
    'import in infer instanceof interface is keyof let module namespace never new null number object of ' +
    'out package private protected public readonly return set static string super switch symbol this throw ' +
    'true try type typeof undefined unique unknown var void while with yield input more each'
  ).split(' '),
);
/** Names of types that generated code uses itself. */
const USED_TYPES: ReadonlySet<string> = new Set(
  (
    'AidlReader AidlWriter Array BigInt Error Function JSON LocalBinder Map Number Object Partial Pick ' +
    'Promise Record RemoteBinder String Symbol Uint8Array aidlInterface'
  ).split(' '),
);

/** The name of a parameter, which must not hide a type. */
export const variable = (name: string): string => {
  if (/^[A-Z]/.test(name)) return `arg_${name}`;
  return RESERVED.has(name) ? `${name}_` : name;
};

/** The key of a property where one is written. */
export const key = (name: string): string => (name === '__proto__' ? "['__proto__']" : name);

/** A type is exported by its name; one that is nested has the names around it in front. */
export function exportName(description: TypeDescription): string {
  const { outer, name } = description;
  if (outer !== undefined) return `${exportName(outer)}_${name}`;
  return USED_TYPES.has(name) || RESERVED.has(name) ? `${name}_` : name;
}

/** `a/b/IFoo`: where the file of a type lies, without its ending. */
export function modulePath(description: TypeDescription): string {
  const { packageName, name } = outermost(description);
  return [...(packageName === '' ? [] : packageName.split('.')), name].join('/');
}

/** Names of one file: of its own types, and of those that it imports on the way. */
export class TsNames {
  readonly #file: TypeDescription;
  readonly #used = new Map<string, TypeDescription>();
  readonly #imported = new Map<TypeDescription, string>();
  readonly #runtime = new Set<string>();

  /** @param own The types that the file declares. */
  constructor(file: TypeDescription, own: readonly TypeDescription[]) {
    this.#file = file;
    for (const each of own) this.#used.set(exportName(each), each);
  }

  of(description: TypeDescription): string {
    const name = exportName(description);
    if (outermost(description) === this.#file) return name;
    const known = this.#imported.get(description);
    if (known !== undefined) return known;
    const local = this.#used.has(name)
      ? `${description.packageName.replaceAll('.', '_')}_${name}`
      : name;
    this.#used.set(local, description);
    this.#imported.set(description, local);
    return local;
  }

  /** Something of the runtime; `type ` in front of what is only a type. */
  runtime(name: string): string {
    this.#runtime.add(name);
    return name.replace(/^type /, '');
  }

  /** The import statements of all that was named. */
  imports(runtime: string, extension: string): readonly string[] {
    const lines: string[] = [];
    const specifiers = [...this.#runtime].sort(byName);
    if (specifiers.length > 0) {
      lines.push(`import { ${specifiers.join(', ')} } from ${quote(runtime)};`);
    }
    const byFile = new Map<string, string[]>();
    for (const [description, local] of this.#imported) {
      const name = exportName(description);
      const path = relativePath(modulePath(this.#file), modulePath(description)) + extension;
      const names = byFile.get(path) ?? [];
      names.push(name === local ? name : `${name} as ${local}`);
      byFile.set(path, names);
    }
    for (const [path, names] of [...byFile].sort(([a], [b]) => (a < b ? -1 : 1))) {
      lines.push(`import { ${names.sort().join(', ')} } from ${quote(path)};`);
    }
    return lines;
  }
}

const byName = (a: string, b: string): number => (bare(a) < bare(b) ? -1 : 1);
const bare = (specifier: string): string => specifier.replace(/^type /, '');

function relativePath(from: string, to: string): string {
  const folder = from.split('/').slice(0, -1);
  const parts = to.split('/');
  let common = 0;
  while (common < folder.length && folder[common] === parts[common]) common++;
  const up = folder.slice(common).map(() => '..');
  const path = [...up, ...parts.slice(common)].join('/');
  return up.length === 0 ? `./${path}` : path;
}

export const quote = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;

export function tsType(type: AidlType, names: TsNames): string {
  const isNull = 'nullable' in type && type.nullable;
  return isNull ? `${bareType(type, names)} | null` : bareType(type, names);
}

function bareType(type: AidlType, names: TsNames): string {
  switch (type.kind) {
    case 'boolean':
      return 'boolean';
    case 'byte':
    case 'int':
    case 'float':
    case 'double':
      return 'number';
    case 'long':
      return 'bigint';
    case 'char':
    case 'String':
      return 'string';
    case 'enum':
    case 'structure':
    case 'interface':
      return names.of(type.declaration);
    case 'IBinder':
      return `${names.runtime('type LocalBinder')} | ${names.runtime('type RemoteBinder')}`;
    case 'array': {
      if (type.element.kind === 'byte') return 'Uint8Array';
      const element = tsType(type.element, names);
      return `readonly ${/ | /.test(element) ? `(${element})` : element}[]`;
    }
    case 'unsupported':
      throw new TypeError(`Cannot write ${type.name} in TypeScript`);
  }
}

/** A statement that writes `value`, by the AidlWriter that `out` says. */
export function writeCode(type: AidlType, value: string, names: TsNames, out = 'out'): string {
  const nullable = 'nullable' in type && type.nullable;
  const method = (name: string): string =>
    nullable ? `${out}.nullable${name.charAt(0).toUpperCase()}${name.slice(1)}` : `${out}.${name}`;
  switch (type.kind) {
    case 'String':
      return `${method('string')}(${value})`;
    case 'enum':
      return `${out}.${type.declaration.backing}(${value})`;
    case 'structure':
      return `${method('structure')}(${value}, ${names.of(type.declaration)}.write)`;
    case 'IBinder':
      return `${method('binder')}(${value})`;
    case 'interface': {
      const name = names.of(type.declaration);
      const binder = `${name}.unwrap(${value})`;
      return nullable
        ? `${method('binder')}(${value} === null ? null : ${binder})`
        : `${method('binder')}(${binder})`;
    }
    case 'array': {
      const size = type.size === null ? '' : `, ${type.size}`;
      if (type.element.kind === 'byte') return `${method('bytes')}(${value}${size})`;
      if (isByteEnum(type.element)) return `${method('enumBytes')}(${value}${size})`;
      const element = writeCode(type.element, 'each', names);
      return `${method('array')}(${value}, (each) => ${element}${size})`;
    }
    case 'boolean':
    case 'byte':
    case 'char':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return `${out}.${type.kind}(${value})`;
    case 'unsupported':
      throw new TypeError(`Cannot write ${type.name} in TypeScript`);
  }
}

/** An expression that reads a value from `input`. */
export function readCode(type: AidlType, names: TsNames): string {
  const nullable = 'nullable' in type && type.nullable;
  const method = (name: string): string =>
    nullable ? `input.nullable${name.charAt(0).toUpperCase()}${name.slice(1)}` : `input.${name}`;
  switch (type.kind) {
    case 'String':
      return `${method('string')}()`;
    case 'enum':
      return `input.${type.declaration.backing}()`;
    case 'structure':
      return `${method('structure')}(${names.of(type.declaration)}.read)`;
    case 'IBinder':
      return `${method('binder')}()`;
    case 'interface': {
      const name = names.of(type.declaration);
      return nullable
        ? `${names.runtime('wrapNullable')}(input.nullableBinder(), ${name}.wrap)`
        : `${name}.wrap(input.binder())`;
    }
    case 'array': {
      const size = type.size === null ? '' : `${type.size}`;
      if (type.element.kind === 'byte') return `${method('bytes')}(${size})`;
      if (isByteEnum(type.element)) return `${method('enumBytes')}(${size})`;
      const tail = size === '' ? '' : `, ${size}`;
      return `${method('array')}(() => ${readCode(type.element, names)}${tail})`;
    }
    case 'boolean':
    case 'byte':
    case 'char':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return `input.${type.kind}()`;
    case 'unsupported':
      throw new TypeError(`Cannot read ${type.name} in TypeScript`);
  }
}

const isByteEnum = (type: AidlType): boolean =>
  type.kind === 'enum' && type.declaration.backing === 'byte';

/** The default of a field as code; undefined for an object that has to be given. */
export function defaultCode({ type, value }: FieldDescription, names: TsNames): string | undefined {
  return value === undefined ? zeroCode(type, names) : constantCode(type, value, names);
}

function zeroCode(type: AidlType, names: TsNames): string | undefined {
  if ('nullable' in type && type.nullable) return 'null';
  switch (type.kind) {
    case 'boolean':
      return 'false';
    case 'byte':
    case 'int':
    case 'float':
    case 'double':
      return '0';
    case 'long':
      return '0n';
    case 'char':
      return "'\\0'";
    case 'String':
      return "''";
    case 'enum':
      return type.declaration.backing === 'long' ? '0n' : '0';
    case 'structure':
      return hasDefault(type) ? `${names.of(type.declaration)}.of()` : undefined;
    case 'array': {
      if (type.element.kind === 'byte') return `new Uint8Array(${type.size ?? 0})`;
      if (type.size === null || type.size === 0) return '[]';
      const element = zeroCode(type.element, names);
      return element && `Array.from({ length: ${type.size} }, () => ${element})`;
    }
    case 'interface':
    case 'IBinder':
    case 'unsupported':
      return undefined;
  }
}

/** Whether a value can be made of nothing. */
export function hasDefault(type: AidlType): boolean {
  if ('nullable' in type && type.nullable) return true;
  if (type.kind === 'array')
    return type.size === null || type.size === 0 || hasDefault(type.element);
  if (type.kind === 'structure') {
    const { kind, fields } = type.declaration;
    const used = kind === 'union' ? fields.slice(0, 1) : fields;
    return used.every((field) => field.value !== undefined || hasDefault(field.type));
  }
  return type.kind !== 'interface' && type.kind !== 'IBinder' && type.kind !== 'unsupported';
}

export function constantCode(type: AidlType, value: ConstantValue, names: TsNames): string {
  if (Array.isArray(value)) {
    const element = type.kind === 'array' ? type.element : type;
    const items = (value as readonly ConstantValue[]).map((each) =>
      element.kind === 'byte' ? `${Number(each) & 0xff}` : constantCode(element, each, names),
    );
    return element.kind === 'byte' ? `Uint8Array.of(${items.join(', ')})` : `[${items.join(', ')}]`;
  }
  if (typeof value === 'object' && 'enumerator' in value && type.kind === 'enum') {
    return `${names.of(type.declaration)}.${value.enumerator}`;
  }
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object') throw new TypeError('Cannot write this constant in TypeScript');
  return typeof value === 'string' ? quote(value) : String(value);
}
