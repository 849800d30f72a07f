/**
 * Values of a recipe that know where they were written, and what they do to the values below them: a
 * recipe may stand on others.
 */

import type { Origin } from './source-text.ts';

/** Where a value stands: the keys and indexes that lead to it. */
export type RecipePath = readonly (string | number)[];

export type ScalarValue = string | number | boolean | null;

export interface LocatedScalar {
  readonly kind: 'scalar';
  readonly value: ScalarValue;
  readonly origin: Origin;
  /** Of a number, as it was written: 1.10 is another version than 1.1. */
  readonly text?: string;
  /** Whether it is not what was meant, which has been told. */
  readonly isBroken?: boolean;
}

export interface LocatedList {
  readonly kind: 'list';
  readonly items: readonly Located[];
  readonly origin: Origin;
}

export interface LocatedMap {
  readonly kind: 'map';
  readonly entries: ReadonlyMap<string, Entry>;
  readonly origin: Origin;
  /** Whether it replaces what is below it, because something in between was no mapping. */
  readonly replaces: boolean;
}

export type Located = LocatedScalar | LocatedList | LocatedMap;

/** What a key does: takes the value (mappings merge), appends to a list, or removes. */
export type Entry = {
  /** Where the key stands. */
  readonly key: Origin;
} & (
  | { readonly does: 'set'; readonly value: Located }
  | { readonly does: 'append'; readonly value: LocatedList }
  /** `found` tells whether there was something to remove. */
  | { readonly does: 'remove'; readonly value: LocatedScalar; readonly found: boolean }
);

/** The value at a path, or undefined. */
export function valueAt(root: Located, path: RecipePath): Located | undefined {
  const { value, depth } = nearest(root, path);
  return depth === path.length ? value : undefined;
}

/** The value at a path, or the nearest one above it. */
export const nearestValue = (root: Located, path: RecipePath): Located => nearest(root, path).value;

function nearest(root: Located, path: RecipePath): { value: Located; depth: number } {
  let value = root;
  for (const [depth, key] of path.entries()) {
    const next = childOf(value, key);
    if (next === undefined) return { value, depth };
    value = next;
  }
  return { value, depth: path.length };
}

function childOf(value: Located, key: string | number): Located | undefined {
  if (value.kind === 'list') return typeof key === 'number' ? value.items[key] : undefined;
  if (value.kind === 'scalar') return undefined;
  const entry = value.entries.get(String(key));
  return entry?.does === 'remove' ? undefined : entry?.value;
}

/** The key that leads to the value at a path, if a mapping holds it. */
export function keyAt(root: Located, path: RecipePath): Origin | undefined {
  const last = path.at(-1);
  const parent = valueAt(root, path.slice(0, -1));
  return parent?.kind === 'map' ? parent.entries.get(String(last))?.key : undefined;
}

/** The plain value, as a schema takes it. What is removed is not there. */
export function plainValue(value: Located): unknown {
  switch (value.kind) {
    case 'scalar':
      return value.value;
    case 'list':
      return value.items.map(plainValue);
    case 'map': {
      const plain: Record<string, unknown> = {};
      for (const [key, entry] of value.entries) {
        if (entry.does === 'remove') continue;
        // `__proto__` is a key like any other, which the schema refuses.
        Object.defineProperty(plain, key, {
          value: plainValue(entry.value),
          enumerable: true,
          configurable: true,
          writable: true,
        });
      }
      return plain;
    }
  }
}

/** Each value with what a function makes of the scalars. */
export function mapScalars(
  value: Located,
  change: (scalar: LocatedScalar) => LocatedScalar,
): Located {
  switch (value.kind) {
    case 'scalar':
      return change(value);
    case 'list':
      return { ...value, items: value.items.map((item) => mapScalars(item, change)) };
    case 'map': {
      const entries = new Map<string, Entry>();
      for (const [key, entry] of value.entries) {
        entries.set(
          key,
          entry.does === 'remove'
            ? entry
            : ({ ...entry, value: mapScalars(entry.value, change) } as Entry),
        );
      }
      return { ...value, entries };
    }
  }
}

/** How many values there are, counted up to a limit. */
export function countValues(value: Located, limit: number): number {
  let count = 1;
  if (value.kind === 'scalar') return count;
  const children =
    value.kind === 'list' ? value.items : [...value.entries.values()].map((each) => each.value);
  for (const child of children) {
    if (count > limit) break;
    count += countValues(child, limit - count);
  }
  return count;
}
