/**
 * What the schema found wrong, told in the recipe's words: the place, the problem, and what to write.
 */

import { isMap, isPair, isScalar, isSeq, type Document, type Node } from 'yaml';
import type { z } from 'zod';
import type { Diagnostic } from '../core/errors.ts';
import { closest } from './closest.ts';
import { recipeSchema } from './schema.ts';

/** Where a value stands: the keys and indexes that lead to it. */
export type RecipePath = readonly (string | number)[];

/** Makes a diagnostic at a character offset of the recipe. */
export type At = (offset: number, message: string, hint?: string, length?: number) => Diagnostic;

/** A file with more unknown keys than this is not a recipe; naming them all would take quadratic time. */
const MAX_UNKNOWN_KEYS = 20;

interface IssueContext {
  readonly document: Document.Parsed;
  readonly at: At;
  /** A diagnostic at the value of a path, or at the nearest one above it. */
  readonly diagnosticAt: (path: RecipePath, message: string, hint?: string) => Diagnostic;
}

/** The node at a path, or the nearest one above it. */
export function nodeAt(document: Document.Parsed, path: RecipePath): Node | undefined {
  let node: unknown = document.contents;
  for (const key of path) {
    const next: unknown = isMap(node) || isSeq(node) ? node.get(key, true) : undefined;
    if (next === undefined || next === null) break;
    node = next;
  }
  return (node ?? undefined) as Node | undefined;
}

/** The offset of a key itself, for problems with the key and not its value. */
function keyOffset(document: Document.Parsed, path: RecipePath, key: string): number {
  const map = nodeAt(document, path);
  if (isMap(map)) {
    for (const pair of map.items) {
      if (isPair(pair) && isScalar(pair.key) && pair.key.value === key) {
        return pair.key.range?.[0] ?? 0;
      }
    }
  }
  return map?.range?.[0] ?? 0;
}

/** What is wrong with a value, where it stands, and what to write instead. */
export function describeIssue(issue: z.core.$ZodIssue, context: IssueContext): Diagnostic[] {
  const { document, at, diagnosticAt } = context;
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  const where = path.length === 0 ? 'The recipe' : `"${path.join('.')}"`;
  // Only the codes that need more than the schema's own message have a case.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.slice(0, MAX_UNKNOWN_KEYS).map((key) => {
        const known = Object.keys(definitionAt(document, path)?.shape ?? {});
        const suggestion = closest(key, known);
        return at(
          keyOffset(document, path, key),
          `Unknown key "${key}"${path.length === 0 ? '' : ` in "${path.join('.')}"`}`,
          suggestion === undefined
            ? known.length > 0
              ? `Known here: ${known.join(', ')}`
              : undefined
            : `Did you mean "${suggestion}"?`,
          key.length,
        );
      });
    case 'invalid_union': {
      const inner = bestBranch(issue, document, path);
      if (inner !== undefined) {
        return inner.flatMap((each) =>
          describeIssue({ ...each, path: [...issue.path, ...each.path] }, context),
        );
      }
      const { key, suggestion } = misspelledForm(document, path);
      return key === undefined
        ? [diagnosticAt(path, `${where} is not one of the forms it may have`, issue.message)]
        : [
            at(
              keyOffset(document, path, key),
              `Unknown key "${key}" in ${where}`,
              `Did you mean "${suggestion}"?`,
              key.length,
            ),
          ];
    }
    case 'invalid_type': {
      const found = describeValue(valueAt(document, path));
      return found === undefined
        ? [diagnosticAt(path.slice(0, -1), `${where} is missing: ${article(issue.expected)}`)]
        : [diagnosticAt(path, `${where} is ${found}: ${article(issue.expected)}`)];
    }
    case 'invalid_value': {
      const found = valueAt(document, path);
      const text = describeValue(found);
      const choices = issue.values.map(String);
      if (text === undefined) {
        return [
          diagnosticAt(path.slice(0, -1), `${where} is missing`, `Write ${choices.join(' or ')}`),
        ];
      }
      const suggestion = typeof found === 'string' ? closest(found, choices) : undefined;
      return [
        diagnosticAt(
          path,
          `${where} cannot be ${text}`,
          suggestion === undefined
            ? `Write ${choices.join(' or ')}`
            : `Did you mean "${suggestion}"?`,
        ),
      ];
    }
    default:
      return [diagnosticAt(path, `${where} is not valid`, issue.message)];
  }
}

/** For a union of objects: the problems of the form whose first key was written. */
function bestBranch(
  issue: z.core.$ZodIssueInvalidUnion,
  document: Document.Parsed,
  path: RecipePath,
): z.core.$ZodIssue[] | undefined {
  const options = definitionAt(document, path.slice(0, -1), path.at(-1))?.options ?? [];
  const chosen = chosenOption(options, valueAt(document, path));
  return chosen < 0 ? undefined : issue.errors[chosen];
}

/** For a union of which no form was found: a key that is nearly the first key of one. */
function misspelledForm(
  document: Document.Parsed,
  path: RecipePath,
): { key?: string; suggestion?: string } {
  const value = valueAt(document, path);
  const options = definitionAt(document, path.slice(0, -1), path.at(-1))?.options ?? [];
  const firstKeys = options.flatMap((option) => Object.keys(unwrap(option)?.shape ?? {})[0] ?? []);
  for (const item of isMap(value) ? value.items : []) {
    const key = isScalar(item.key) ? String(item.key.value) : '';
    const suggestion = closest(key, firstKeys);
    if (suggestion !== undefined) return { key, suggestion };
  }
  return {};
}

/** Which form of a union was meant: the one whose first key is there. */
function chosenOption(options: readonly unknown[], value: unknown): number {
  if (!isMap(value)) return -1;
  return options.findIndex((option) => {
    const [first] = Object.keys(unwrap(option)?.shape ?? {});
    return first !== undefined && value.has(first);
  });
}

function valueAt(document: Document.Parsed, path: RecipePath): unknown {
  const value: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  return isScalar(value) ? value.value : value;
}

function describeValue(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (value === null) return 'empty';
  if (isMap(value)) return 'a mapping';
  if (isSeq(value)) return 'a list';
  if (typeof value === 'string') return `the text "${value.slice(0, 60)}"`;
  return `the ${typeof value} ${JSON.stringify(value)}`;
}

const article = (expected: string): string =>
  `write ${
    {
      object: 'a mapping',
      array: 'a list',
      string: 'a text',
      int: 'a whole number',
      number: 'a number',
      boolean: 'true or false',
    }[expected] ?? expected
  }`;

/**
 * What the schema says of the value at a path; inside a union, of the form that was meant.
 *
 * @param last A further key whose union, if it is one, is returned as such.
 */
function definitionAt(
  document: Document.Parsed,
  path: RecipePath,
  last?: string | number,
): Definition | undefined {
  let definition = unwrap(recipeSchema);
  const parts = last === undefined ? path : [...path, last];
  for (const [depth, part] of parts.entries()) {
    definition = unwrap(definition?.shape?.[String(part)] ?? definition?.element);
    if (definition?.options === undefined || (last !== undefined && depth === path.length)) {
      continue;
    }
    const value = valueAt(document, parts.slice(0, depth + 1));
    definition = unwrap(definition.options[chosenOption(definition.options, value)]);
  }
  return definition;
}

interface Definition {
  readonly type: string;
  readonly shape?: Record<string, unknown>;
  readonly element?: unknown;
  readonly options?: readonly unknown[];
  readonly innerType?: unknown;
  readonly in?: unknown;
}

/** Looks through defaults, optionals and pipes to the schema they wrap. */
function unwrap(schema: unknown): Definition | undefined {
  let definition = (schema as { def?: Definition } | undefined)?.def;
  while (definition?.innerType !== undefined || definition?.in !== undefined) {
    definition = ((definition.innerType ?? definition.in) as { def?: Definition }).def;
  }
  return definition;
}
