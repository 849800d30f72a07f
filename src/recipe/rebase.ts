/**
 * Paths of bases and fragments are relative to the file that they stand in; in the whole recipe all are
 * relative to its folder.
 */

import { dirname, join, relative } from 'node:path';
import type { z } from 'zod';
import type { Located, LocatedScalar } from './located.ts';
import { chosenForm, childSchema, definitionOf } from './schema-tools.ts';
import { isAddress, pathKinds, type PathKind } from './schema-values.ts';

/** @param directory Absolute path of the recipe's folder. */
export function rebasePaths(root: Located, schema: z.core.$ZodType, directory: string): Located {
  const visit = (value: Located, at: z.core.$ZodType | undefined): Located => {
    if (at === undefined) return value;
    switch (value.kind) {
      case 'scalar':
        return isPath(value, at) ? rebased(value, directory) : value;
      case 'list':
        return {
          ...value,
          items: value.items.map((item, index) => visit(item, childSchema(at, index, value))),
        };
      case 'map': {
        const entries = new Map(value.entries);
        for (const [key, entry] of value.entries) {
          if (entry.does !== 'set') continue;
          entries.set(key, { ...entry, value: visit(entry.value, childSchema(at, key, value)) });
        }
        return { ...value, entries };
      }
    }
  };
  return visit(root, schema);
}

function isPath(scalar: LocatedScalar, schema: z.core.$ZodType): boolean {
  const { value: text } = scalar;
  if (typeof text !== 'string' || text.startsWith('/') || text === '') return false;
  const kind = kindOf(schema, scalar);
  switch (kind) {
    case 'path':
      return true;
    case 'dotted':
      return text.startsWith('.');
    case 'address':
      return !isAddress(text);
    case undefined:
      return false;
  }
}

/** Through everything that wraps the schema which says so. */
function kindOf(schema: z.core.$ZodType, value: Located): PathKind | undefined {
  for (let at: z.core.$ZodType | undefined = schema; at !== undefined;) {
    const known = pathKinds.get(at)?.kind;
    if (known !== undefined) return known;
    const { innerType, in: input, options }: ReturnType<typeof definitionOf> = definitionOf(at);
    at = innerType ?? input ?? (options && chosenForm(options, value));
  }
  return undefined;
}

function rebased(scalar: LocatedScalar, directory: string): LocatedScalar {
  const from = dirname(scalar.origin.source.file);
  if (from === directory) return scalar;
  const text = String(scalar.value);
  const path = relative(directory, join(from, text));
  // A leading dot tells a path from a name.
  const value = path.startsWith('.') || !text.startsWith('.') ? path : `./${path}`;
  return { ...scalar, value: value === '' ? '.' : value };
}
