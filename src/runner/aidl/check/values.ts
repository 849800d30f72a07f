/** Whether a constant expression fits the type that it stands for, and its value as that type. */

import type { Problems } from '../syntax/source.ts';
import type { Expression } from '../syntax/tree.ts';
import { type AidlType, type ConstantValue, type EnumDescription, formatType } from '../types.ts';
import { type Constant, type Constants, showKind } from './constants.ts';
import type { Entry } from './documents.ts';

const RANGES = {
  byte: [-128n, 127n],
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  long: [-(2n ** 63n), 2n ** 63n - 1n],
} as const;

/** Undefined when it does not fit, which is told. */
export function typedConstant(
  expression: Expression,
  type: AidlType,
  scope: Entry,
  constants: Constants,
  problems: Problems,
): ConstantValue | undefined {
  if (type.kind === 'unsupported') return undefined;
  if (type.kind === 'enum') {
    return enumerator(expression, type.declaration, scope, constants, problems);
  }
  const value = constants.evaluate(expression, scope);
  if (value === undefined) return undefined;
  if (value.kind === 'array') {
    if (type.kind === 'array' && !type.list) {
      return arrayConstant(expression, value.items, type, scope, constants, problems);
    }
  } else {
    const typed = scalarConstant(value, type);
    if (typed !== undefined) return typed;
  }
  const hints: Partial<Record<AidlType['kind'], string>> = {
    float: 'Write the number as 1.5f',
    double: 'Write the number as 1.5',
    array: 'Write the values as {1, 2}',
    structure: 'Its own fields have defaults',
  };
  problems.add(
    expression.place,
    `Cannot use ${showKind(value)} as ${formatType(type)}`,
    hints[type.kind],
  );
  return undefined;
}

function scalarConstant(value: Constant, type: AidlType): ConstantValue | undefined {
  switch (value.kind) {
    case 'boolean':
    case 'int8':
    case 'int32':
    case 'int64': {
      if (type.kind === 'boolean') return value.value !== 0n;
      if (type.kind !== 'byte' && type.kind !== 'int' && type.kind !== 'long') return undefined;
      const [least, most] = RANGES[type.kind];
      if (value.value < least || value.value > most) return undefined;
      return type.kind === 'long' ? value.value : Number(value.value);
    }
    case 'float':
      if (type.kind === 'double') return value.value;
      return type.kind === 'float' && value.single ? Math.fround(value.value) : undefined;
    case 'char':
      return type.kind === 'char' ? value.value : undefined;
    case 'string':
      return type.kind === 'String' ? value.value : undefined;
    case 'array':
      return undefined;
  }
}

function arrayConstant(
  expression: Expression,
  items: readonly Expression[],
  type: AidlType & { readonly kind: 'array' },
  scope: Entry,
  constants: Constants,
  problems: Problems,
): ConstantValue | undefined {
  if (type.size !== null && items.length !== type.size) {
    const found = `Expected ${type.size} values, found ${items.length}`;
    problems.add(expression.place, found);
    return undefined;
  }
  const values: ConstantValue[] = [];
  for (const item of items) {
    const value = typedConstant(item, type.element, scope, constants, problems);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}

function enumerator(
  expression: Expression,
  declaration: EnumDescription,
  scope: Entry,
  constants: Constants,
  problems: Problems,
): ConstantValue | undefined {
  const found = constants.enumeratorOf(expression, scope);
  if (found === undefined || found.owner.fullName !== declaration.fullName) {
    const name = declaration.enumerators[0]?.name ?? 'NAME';
    problems.add(
      expression.place,
      `Cannot use this as ${declaration.fullName}: it is none of its enumerators`,
      `Write one, such as ${declaration.name}.${name}`,
    );
    return undefined;
  }
  const value = constants.valueOf(found.owner, found.name);
  if (value === undefined || typeof value !== 'object' || !('value' in value)) return undefined;
  if (typeof value.value !== 'bigint') return undefined;
  const isLong = declaration.backing === 'long';
  return { enumerator: found.name, value: isLong ? value.value : Number(value.value) };
}
