/** Values of AIDL types by chance, in the form in which they are read. */

import fc from 'fast-check';
import type { AidlType, StructureDescription } from '../../src/runner/aidl/types.ts';

/** Objects that can be called are null: they need a session. */
export function arbitraryOf(type: AidlType, depth = 0): fc.Arbitrary<unknown> {
  if ('nullable' in type && type.nullable) {
    if (type.kind === 'interface' || type.kind === 'IBinder' || depth > 3) return fc.constant(null);
    return fc.option(arbitraryOf({ ...type, nullable: false }, depth));
  }
  switch (type.kind) {
    case 'boolean':
      return fc.boolean();
    case 'byte':
      return fc.integer({ min: -128, max: 127 });
    case 'char':
      return fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit));
    case 'int':
      return fc.integer();
    case 'long':
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case 'float':
      return fc.float();
    case 'double':
      return fc.double();
    case 'String':
      return fc.string({ unit: 'grapheme' });
    case 'enum':
      return fc.oneof(
        fc.constantFrom(...type.declaration.enumerators.map(({ value }) => value)),
        arbitraryOf({ kind: type.declaration.backing }),
      );
    case 'array': {
      const { element, size } = type;
      const length = size === null ? { maxLength: 4 } : { minLength: size, maxLength: size };
      if (element.kind === 'byte') return fc.uint8Array(length);
      // A type may hold arrays of itself.
      if (size === null && depth > 2) return fc.constant([]);
      return fc.array(arbitraryOf(element, depth + 1), length);
    }
    case 'structure':
      return structure(type.declaration, depth + 1);
    case 'interface':
    case 'IBinder':
    case 'unsupported':
      throw new TypeError(`No value of ${type.kind} without a session`);
  }
}

function structure(declaration: StructureDescription, depth: number): fc.Arbitrary<unknown> {
  const fields = declaration.fields.map(
    ({ name, type }) => [name, arbitraryOf(type, depth)] as const,
  );
  return declaration.kind === 'union'
    ? fc.oneof(...fields.map(([name, value]) => value.map((each) => ({ [name]: each }))))
    : fc.record(Object.fromEntries(fields));
}
