/** How layers lie on each other: the laws that every grouping of them must keep. */

import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecipeError, type Diagnostic } from '../../../src/core/errors.ts';
import { plainValue, type Located, type LocatedMap } from '../../../src/recipe/located.ts';
import { mergeMaps, settle } from '../../../src/recipe/merge.ts';
import { parseRecipe } from '../../../src/recipe/parse.ts';
import { sourceText } from '../../../src/recipe/source-text.ts';
import { parseYaml } from '../../../src/recipe/yaml.ts';

const read = (value: unknown): LocatedMap =>
  parseYaml(sourceText(Buffer.from(JSON.stringify(value)), '/r/microbuild.yaml'));

const over = (below: LocatedMap, above: LocatedMap): LocatedMap =>
  mergeMaps(below, above, { problems: [], directory: '/r' });

const settled = (map: LocatedMap): unknown => plainValue(settle(map, []));

/** Layers in which a key is of one kind everywhere, so that appending always makes sense. */
const layer: fc.Arbitrary<Record<string, unknown>> = fc.letrec<{ layer: Record<string, unknown> }>(
  (tie) => ({
    layer: fc.record(
      {
        text: fc.constantFrom('a', 'b', null),
        list: fc.oneof(fc.constant(null), fc.array(fc.nat(3), { maxLength: 2 })),
        'more+': fc.array(fc.nat(3), { maxLength: 2 }),
        map: fc.oneof({ maxDepth: 3 }, fc.constant(null), tie('layer')),
        either: fc.oneof({ maxDepth: 3 }, fc.constantFrom('x', null), tie('layer')),
      },
      { requiredKeys: [] },
    ),
  }),
).layer;

describe('merging', () => {
  test('is associative: layers may be put together in any grouping', () => {
    fc.assert(
      fc.property(layer, layer, layer, layer, (...values) => {
        const [a, b, c, d] = values.map(read) as [LocatedMap, LocatedMap, LocatedMap, LocatedMap];
        const one = settled(over(over(over(a, b), c), d));
        expect(settled(over(over(a, b), over(c, d)))).toEqual(one);
        expect(settled(over(a, over(b, over(c, d))))).toEqual(one);
      }),
    );
  });

  test('with nothing changes nothing, and a layer without lists to append to lies on itself', () => {
    fc.assert(
      fc.property(layer, (value) => {
        const map = read(value);
        const empty = read({});
        expect(settled(over(map, empty))).toEqual(settled(map));
        expect(settled(over(empty, map))).toEqual(settled(map));
      }),
    );
  });

  test('every value keeps the place where it was written', () => {
    const places = (value: Located): void => {
      const { source, start, end } = value.origin;
      const text = source.text.slice(start, end).trim();
      // A merged mapping or list has parts of others; a scalar is what it says.
      if (value.kind === 'scalar') expect(JSON.parse(text)).toEqual(value.value);
      if (value.kind === 'list') value.items.forEach(places);
      if (value.kind === 'map') for (const entry of value.entries.values()) places(entry.value);
    };
    fc.assert(
      fc.property(layer, layer, (a, b) => {
        expect(() => places(settle(over(read(a), read(b)), []))).not.toThrow();
      }),
    );
  });

  test('removing tells when there was nothing to remove', () => {
    const problems: Diagnostic[] = [];
    settle(over(read({ a: 1 }), read({ a: null, b: null })), problems);
    expect(problems.map(({ message }) => message)).toEqual([
      '"b" is empty, and there is nothing that this could remove',
    ]);
  });
});

test('a recipe of any values parses, or is refused with places inside of it', () => {
  const key = fc.constantFrom(
    ...'name arch vars profiles partitions system contents when payload vm kernel source deb file contents+ __proto__ constructor libraries payloads rules match fec'.split(
      ' ',
    ),
  );
  const scalar = fc.oneof(
    fc.string(),
    fc.constantFrom('${name}', '${', '$${x}'),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
  );
  const value = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 5 },
      scalar,
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(key, tie('node'), { maxKeys: 5 }),
    ),
  })).node;
  fc.assert(
    fc.property(fc.dictionary(key, value, { maxKeys: 6 }), (recipe) => {
      const text = JSON.stringify(recipe);
      try {
        parseRecipe(Buffer.from(text), '/r/microbuild.yaml');
      } catch (error) {
        if (!(error instanceof RecipeError)) throw error;
        for (const { line, column, source } of error.diagnostics) {
          expect(line).toBe(1);
          expect(column).toBeGreaterThan(0);
          expect(column).toBeLessThanOrEqual(Math.max(1, (source ?? '').length));
        }
      }
    }),
    { numRuns: 300 },
  );
});
