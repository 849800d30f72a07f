/**
 * How one layer of a recipe lies on another: mappings merge, everything else is replaced, `key+` appends
 * to a list, and `key: null` removes.
 *
 * Layers may be put together in any grouping: `a` on (`b` on `c`) is (`a` on `b`) on `c`.
 */

import type { Diagnostic } from '../core/errors.ts';
import {
  countValues,
  type Entry,
  type Located,
  type LocatedList,
  type LocatedMap,
} from './located.ts';
import { describeOrigin, problemAt } from './source-text.ts';

/** Far more than a recipe has; a few lines that double each other reach it at once. */
const MAX_VALUES = 200_000;

interface MergeContext {
  readonly problems: Diagnostic[];
  /** Folder of the recipe, for messages. */
  readonly directory: string;
}

/** `above` on `below`. */
export function mergeMaps(below: LocatedMap, above: LocatedMap, context: MergeContext): LocatedMap {
  if (above.replaces) return above;
  const entries = new Map(below.entries);
  for (const [key, entry] of above.entries) {
    const under = entries.get(key);
    entries.set(key, under === undefined ? entry : mergeEntries(under, entry, key, context));
  }
  return { kind: 'map', entries, origin: above.origin, replaces: below.replaces };
}

function mergeEntries(below: Entry, above: Entry, key: string, context: MergeContext): Entry {
  switch (above.does) {
    case 'remove':
      return { ...above, found: below.does !== 'remove' || below.found };
    case 'append':
      return append(below, above, key, context);
    case 'set': {
      const { value } = above;
      if (value.kind !== 'map') return above;
      if (below.does === 'set' && below.value.kind === 'map') {
        return { ...above, value: mergeMaps(below.value, value, context) };
      }
      return { ...above, value: { ...value, replaces: true } };
    }
  }
}

function append(
  below: Entry,
  above: Entry & { readonly does: 'append' },
  key: string,
  context: MergeContext,
): Entry {
  if (below.does === 'remove') return { does: 'set', key: above.key, value: above.value };
  if (below.value.kind !== 'list') {
    const what = below.value.kind === 'map' ? 'a mapping' : 'one value';
    context.problems.push(
      problemAt(
        above.key,
        `"${key}+" appends to a list, but "${key}" is ${what} (${describeOrigin(below.key, context.directory)})`,
        `Write "${key}:" to replace it`,
      ),
    );
    return below;
  }
  const items = [...below.value.items, ...above.value.items];
  const value: LocatedList = { kind: 'list', items, origin: above.value.origin };
  if (items.length > MAX_VALUES || countValues(value, MAX_VALUES) > MAX_VALUES) {
    context.problems.push(
      problemAt(above.key, `The list "${key}" grows beyond ${MAX_VALUES} values`),
    );
    return below;
  }
  return { ...below, value };
}

/**
 * The values that come out in the end: lists that append to nothing are those lists, and what is
 * removed is gone.
 */
export function settle(root: LocatedMap, problems: Diagnostic[]): LocatedMap {
  const entries = new Map<string, Entry>();
  for (const [key, entry] of root.entries) {
    if (entry.does !== 'remove') {
      entries.set(key, { does: 'set', key: entry.key, value: settled(entry.value, problems) });
      continue;
    }
    entries.set(key, entry);
    if (entry.found) continue;
    problems.push(
      problemAt(
        entry.key,
        `"${key}" is empty, and there is nothing that this could remove`,
        'Write a value, or leave the key out',
      ),
    );
  }
  return { ...root, entries };
}

const settled = (value: Located, problems: Diagnostic[]): Located =>
  value.kind === 'map' ? settle(value, problems) : value;
