/**
 * What a schema found wrong, told in the recipe's words: the place, the problem, and what to write.
 */

import { z } from 'zod';
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

/** Whether what is wrong is the name that a value has. */
export const isAboutKey = (issue: z.core.$ZodIssue): boolean =>
  issue.code === 'custom' && issue.params?.['atKey'] === true;

/** What is wrong with the form of a union that was meant; undefined where that is not known. */
function issuesOfForm(
  issue: z.core.$ZodIssueInvalidUnion,
  { root, schema }: IssueContext,
): z.core.$ZodIssue[] | undefined {
  const path = issuePath(issue);
  const definition = schemaAt(schema, root, path);
  const { options = [] } = definition ? definitionOf(unwrapped(definition)) : {};
  const form = chosenForm(options, valueAt(root, path));
  const inner = form && issue.errors[options.indexOf(form)];
  return inner?.map((each) => ({ ...each, path: [...issue.path, ...each.path] }));
}

/** The issues that an issue consists of, where it is one of a union. */
export const innermost = (issue: z.core.$ZodIssue, context: IssueContext): z.core.$ZodIssue[] =>
  (issue.code === 'invalid_union' ? issuesOfForm(issue, context) : undefined)?.flatMap((each) =>
    innermost(each, context),
  ) ?? [issue];

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
  // That it is empty has been told.
  if (isEmptied(root, path)) return [];
  // Only the codes that need more than the schema's own message have a case.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (issue.code) {
    case 'unrecognized_keys': {
      const definition = schemaAt(schema, root, path);
      const known = Object.keys(
        (definition && definitionOf(unwrapped(meant(definition, found))).shape) ?? {},
      );
      const forms = formKeys(definition);
      const present = forms.filter((key) => found?.kind === 'map' && found.entries.has(key));
      const [form] = present;
      return issue.keys.slice(0, MAX_UNKNOWN_KEYS).flatMap((key) => {
        if (present.length > 1 && !present.includes(key) && isKeyOf(definition, present, key)) {
          return [];
        }
        if (form !== undefined && present.includes(key)) {
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
              ? `Known here: ${known.join(', ')}${more(issue.keys.length, key === issue.keys[MAX_UNKNOWN_KEYS - 1])}`
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
      const inner = issuesOfForm(issue, context);
      if (inner !== undefined) return inner.flatMap((each) => locateIssue(each, context));
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
        : one(
            here,
            `${where} is ${describeValue(found)}: ${article(issue.expected)}`,
            rewritten(issue.expected, found, schemaAt(schema, root, path)),
          );
    case 'too_small':
    case 'too_big':
      return one(
        here,
        `${where} is not valid`,
        MADE_BY_ZOD.test(issue.message) ? boundHint(issue) : issue.message,
      );
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
        isAboutKey(issue) ? (keyAt(root, path) ?? here) : missing,
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

/** Whether one of the forms that begin with some keys has another key. */
const isKeyOf = (
  schema: z.core.$ZodType | undefined,
  forms: readonly string[],
  key: string,
): boolean =>
  (schema && definitionOf(unwrapped(schema)).options)?.some((option) => {
    const [first, ...others] = Object.keys(definitionOf(unwrapped(option)).shape ?? {});
    return first !== undefined && forms.includes(first) && others.includes(key);
  }) === true;

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

/** Whether a key of a mapping stands there without a value, and there was none below to take away. */
function isEmptied(root: Located, path: RecipePath): boolean {
  const parent = valueAt(root, path.slice(0, -1));
  const entry =
    parent?.kind === 'map' && path.length > 0 ? parent.entries.get(String(path.at(-1))) : undefined;
  return entry?.does === 'remove' && !entry.found;
}

/** Messages of the schema that are not in our words. */
const MADE_BY_ZOD = /^Too (?:small|big): /;

/** What to write where a number, a list or a text is too small or too large. */
function boundHint(
  issue: Extract<z.core.$ZodIssue, { code: 'too_small' | 'too_big' }>,
): string | undefined {
  const isLeast = issue.code === 'too_small';
  const bound = Number(isLeast ? issue.minimum : issue.maximum);
  const limit = isLeast ? 'at least' : 'at most';
  if (issue.origin === 'array') {
    return isLeast && bound === 1
      ? 'Write at least one, or leave the key out'
      : `Write ${limit} ${bound}`;
  }
  return issue.origin === 'string'
    ? `Write ${limit} ${bound} characters`
    : `Write a number of ${limit} ${bound}`;
}

/** How to write a value of another type. YAML takes some texts for numbers, and quoted numbers for texts. */
function rewritten(
  expected: string,
  found: Located,
  schema: z.core.$ZodType | undefined,
): string | undefined {
  if (found.kind !== 'scalar' || found.value === null) return undefined;
  const { value, text = String(value) } = found;
  if (expected === 'array') return `Write [${text}]`;
  if (expected === 'string') {
    const issue = schema && z.safeParse(schema, text).error?.issues[0];
    return issue === undefined ? `Put quotes around it: '${text}'` : issue.message;
  }
  const isNumber = typeof value === 'string' && /^-?\d+$/.test(value);
  return (expected === 'number' || expected === 'int') && isNumber
    ? `Leave out the quotes: ${value}`
    : undefined;
}

/** That not all of the unknown keys are told, on the last one that is. */
const more = (count: number, isLast: boolean): string =>
  isLast && count > MAX_UNKNOWN_KEYS
    ? `. There are ${count - MAX_UNKNOWN_KEYS} more keys that nobody knows`
    : '';

/** A key beside the missing one that nobody knows and that is nearly it. */
function misspelling({ root }: IssueContext, path: RecipePath): string | undefined {
  const parent = valueAt(root, path.slice(0, -1));
  if (parent?.kind !== 'map') return undefined;
  const name = String(path.at(-1));
  const near = closest(
    name,
    [...parent.entries.keys()].filter((key) => key !== name),
  );
  return near === undefined ? undefined : `There is "${near}": is that it?`;
}

function describeValue(value: Located): string {
  if (value.kind === 'map') return 'a mapping';
  if (value.kind === 'list') return 'a list';
  if (value.value === null) return 'empty';
  if (typeof value.value === 'string') return `the text "${value.value.slice(0, 60)}"`;
  if (typeof value.value === 'number') return `the number ${value.text ?? value.value}`;
  return `the boolean ${value.value}`;
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
