/** The YAML test suite, and documents made to exhaust a parser: a recipe is that part of YAML that cannot. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { RecipeError } from '../../src/core/errors.ts';
import type { Located } from '../../src/recipe/located.ts';
import { parseRecipe } from '../../src/recipe/parse.ts';
import { sourceText } from '../../src/recipe/source-text.ts';
import { parseYaml } from '../../src/recipe/yaml.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Verdict {
  readonly expect: string;
  /** What it stands for; several documents one after the other. */
  readonly json?: string;
}

const files =
  corpus === undefined
    ? {}
    : (
        JSON.parse(readFileSync(corpusPath('sig-yaml', 'manifest.json'), 'utf8')) as {
          readonly files: Readonly<Record<string, Verdict>>;
        }
      ).files;

/** The files that are here: others are held back. */
const cases = Object.entries(files).flatMap(([name, verdict]) => {
  try {
    return [{ name, ...verdict, bytes: readFileSync(corpusPath('sig-yaml', name)) }];
  } catch {
    return [];
  }
});
const of = (...verdicts: readonly string[]): typeof cases =>
  cases.filter((each) => verdicts.includes(each.expect));

/** What of YAML is no part of a recipe, and says so. */
const POLICY =
  /no mapping|is empty|second YAML document|Aliases are not|plain word|Unresolved tag|Tags are not|Unknown directive|Unsupported YAML version|(?:Anchor|Alias) ending|is a text, a number|more digits|written twice|appends to a list/;

/** In milliseconds; the machine has others to serve. */
const SECOND = 1000;

/** The problems of a text, of its YAML only. */
function yamlProblems(bytes: Uint8Array): { value?: Located; messages: readonly string[] } {
  try {
    return { value: parseYaml(sourceText(bytes, '/r/microbuild.yaml')), messages: [] };
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    return { messages: error.diagnostics.map(({ message }) => message) };
  }
}

/** A value as it was written, with what removes and appends as plain keys. */
function asWritten(value: Located): unknown {
  if (value.kind === 'scalar') return value.value;
  if (value.kind === 'list') return value.items.map(asWritten);
  return Object.fromEntries(
    [...value.entries].map(([key, entry]) => [
      entry.does === 'append' ? `${key}+` : key,
      asWritten(entry.value),
    ]),
  );
}

describe.skipIf(corpus === undefined)('recipes as YAML', () => {
  test('the corpus is read', () => {
    expect(cases.length).toBeGreaterThan(100);
  });

  test.each(of('reject'))('refuses $name', ({ bytes }) => {
    const started = performance.now();
    expect(() => parseRecipe(bytes, '/r/microbuild.yaml')).toThrow(RecipeError);
    expect(performance.now() - started).toBeLessThan(SECOND);
    expect(yamlProblems(bytes).messages).not.toEqual([]);
  });

  test.each(of('accept'))('reads $name as others do, or says what a recipe cannot have', (each) => {
    const { value, messages } = yamlProblems(each.bytes);
    if (value === undefined) {
      for (const message of messages) expect(message).toMatch(POLICY);
      return;
    }
    if (each.json !== undefined) expect(asWritten(value)).toEqual(JSON.parse(each.json));
  });

  test.each(of('bounded', 'policy'))('takes no second for $name', ({ bytes }) => {
    const started = performance.now();
    expect(() => parseRecipe(bytes, '/r/microbuild.yaml')).toThrow(RecipeError);
    expect(performance.now() - started).toBeLessThan(SECOND);
  });
});
