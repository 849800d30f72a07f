/**
 * What a schema found wrong, told in the recipe's words: the place, the problem, and what to write.
 */

import type { z } from 'zod';
import type { Diagnostic } from '../core/errors.ts';
import { closest } from './closest.ts';
import { keyAt, nearestValue, valueAt, type Located, type RecipePath } from './located.ts';
import { chosenForm, definitionOf, schemaAt, unwrapped } from './schema-tools.ts';
import { problemAt, type Origin } from './source-text.ts';

export type { RecipePath } from './located.ts';

/** A file with more unknown keys than this is not a recipe; naming them all would take quadratic time. */
const MAX_UNKNOWN_KEYS = 20;

export interface IssueContext {
  readonly root: Located;
  readonly schema: z.core.$ZodType;
  /** What leads to the root, for messages. */
  readonly above?: RecipePath;
}

/** The path of an issue, without what a recipe cannot hold. */
export const issuePath = (issue: z.core.$ZodIssue): (string | number)[] =>
  issue.path.filter((part) => typeof part !== 'symbol');

/** What is wrong with a value, where it stands, and what to write instead. */
export function describeIssue(issue: z.core.$ZodIssue, context: IssueContext): Diagnostic[] {
  return locateIssue(issue, context).map(({ origin, message, hint }) =>
    problemAt(origin, message, hint),
  );
}

export interface LocatedIssue {
  readonly origin: Origin;
  readonly message: string;
  readonly hint?: string | undefined;
}

/** The same, before it becomes text: to know where it is. */
export function locateIssue(issue: z.core.$ZodIssue, context: IssueContext): LocatedIssue[] {
  const { root, schema, above = [] } = context;
  const path = issuePath(issue);
  const full = [...above, ...path];
  const where = full.length === 0 ? 'The recipe' : `"${full.join('.')}"`;
  const found = valueAt(root, path);
  if (found?.kind === 'scalar' && found.isBroken === true) return [];
  const here = nearestValue(root, path).origin;
  // A value that was removed is missed where that was written.
  const missing = (found === undefined ? keyAt(root, path) : undefined) ?? here;
  const one = (origin: Origin, message: string, hint?: string): LocatedIssue[] => [
    { origin, message, hint },
  ];
  // Only the codes that need more than the schema's own message have a case.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (issue.code) {
    case 'unrecognized_keys': {
      const definition = schemaAt(schema, root, path);
      const known = Object.keys(
        (definition && definitionOf(unwrapped(meant(definition, found))).shape) ?? {},
      );
      const forms = formKeys(definition);
      const form = found?.kind === 'map' ? forms.find((key) => found.entries.has(key)) : undefined;
      return issue.keys.slice(0, MAX_UNKNOWN_KEYS).flatMap((key) => {
        if (form !== undefined && forms.includes(key)) {
          return one(
            keyAt(root, [...path, key]) ?? here,
            `${where} has both "${form}" and "${key}"`,
            `Leave one out; what a base, a fragment or the recipe of a profile says is taken away with "${form}: null"`,
          );
        }
        const suggestion = closest(key, known);
        return one(
          keyAt(root, [...path, key]) ?? here,
          `Unknown key "${key}"${full.length === 0 ? '' : ` in ${where}`}`,
          suggestion === undefined
            ? known.length > 0
              ? `Known here: ${known.join(', ')}`
              : undefined
            : `Did you mean "${suggestion}"?`,
        );
      });
    }
    case 'invalid_key':
      return one(
        keyAt(root, path) ?? here,
        `${where} is not a valid name`,
        issue.issues[0]?.message,
      );
    case 'invalid_union': {
      const definition = schemaAt(schema, root, path);
      const { options = [] } = definition ? definitionOf(unwrapped(definition)) : {};
      const form = chosenForm(options, found);
      const inner = form && issue.errors[options.indexOf(form)];
      if (inner !== undefined) {
        return inner.flatMap((each) =>
          locateIssue({ ...each, path: [...issue.path, ...each.path] }, context),
        );
      }
      if (found === undefined) return one(missing, `${where} is missing`, issue.message);
      const misspelled = misspelledForm(options, found);
      return misspelled === undefined
        ? one(here, `${where} is not one of the forms it may have`, issue.message)
        : one(
            misspelled.origin,
            `Unknown key "${misspelled.key}" in ${where}`,
            `Did you mean "${misspelled.suggestion}"?`,
          );
    }
    case 'invalid_type':
      return found === undefined
        ? one(
            missing,
            `${where} is missing: ${article(issue.expected)}`,
            misspelling(context, path),
          )
        : one(here, `${where} is ${describeValue(found)}: ${article(issue.expected)}`);
    case 'invalid_value': {
      const choices = issue.values.map(String);
      if (found === undefined) {
        return one(missing, `${where} is missing`, `Write ${choices.join(' or ')}`);
      }
      const suggestion =
        found.kind === 'scalar' && typeof found.value === 'string'
          ? closest(found.value, choices)
          : undefined;
      return one(
        here,
        `${where} cannot be ${describeValue(found)}`,
        suggestion === undefined
          ? `Write ${choices.join(' or ')}`
          : `Did you mean "${suggestion}"?`,
      );
    }
    case 'custom':
      return one(
        issue.params?.['atKey'] === true ? (keyAt(root, path) ?? here) : missing,
        `${where} is not valid`,
        issue.message,
      );
    default:
      return one(here, `${where} is not valid`, issue.message);
  }
}

/** Of a union, the form that a value was meant to have. */
function meant(schema: z.core.$ZodType, value: Located | undefined): z.core.$ZodType {
  const { options } = definitionOf(unwrapped(schema));
  return (options && chosenForm(options, value)) ?? schema;
}

/** The key that a form of a union begins with: the one that it is known by. */
const firstKey = (form: z.core.$ZodType): string[] =>
  Object.keys(definitionOf(unwrapped(form)).shape ?? {}).slice(0, 1);

const formKeys = (schema: z.core.$ZodType | undefined): string[] =>
  (schema && definitionOf(unwrapped(schema)).options)?.flatMap(firstKey) ?? [];

/** For a union of which no form was found: a key that is nearly the first key of one. */
function misspelledForm(
  options: readonly z.core.$ZodType[],
  value: Located,
): { key: string; suggestion: string; origin: Origin } | undefined {
  if (value.kind !== 'map') return undefined;
  const firstKeys = options.flatMap(firstKey);
  for (const [key, { key: origin }] of value.entries) {
    const suggestion = closest(key, firstKeys);
    if (suggestion !== undefined) return { key, suggestion, origin };
  }
  return undefined;
}

/** A key beside the missing one that nobody knows and that is nearly it. */
function misspelling({ root }: IssueContext, path: RecipePath): string | undefined {
  const parent = valueAt(root, path.slice(0, -1));
  if (parent?.kind !== 'map') return undefined;
  const near = closest(String(path.at(-1)), [...parent.entries.keys()]);
  return near === undefined ? undefined : `There is "${near}": is that it?`;
}

function describeValue(value: Located): string {
  if (value.kind === 'map') return 'a mapping';
  if (value.kind === 'list') return 'a list';
  if (value.value === null) return 'empty';
  if (typeof value.value === 'string') return `the text "${value.value.slice(0, 60)}"`;
  return `the ${typeof value.value} ${JSON.stringify(value.value)}`;
}

const article = (expected: string): string =>
  `write ${
    {
      object: 'a mapping',
      record: 'a mapping',
      array: 'a list',
      string: 'a text',
      int: 'a whole number',
      number: 'a number',
      boolean: 'true or false',
    }[expected] ?? expected
  }`;
