/** Questions to schemas: what they say of a value at a path, and what a valid value looks like. */

import { z } from 'zod';
import { valueAt, type Located, type RecipePath } from './located.ts';

/** What of a schema is looked at here. */
export interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly catchall?: z.core.$ZodType;
  readonly element?: z.core.$ZodType;
  readonly valueType?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
  readonly values?: readonly unknown[];
  readonly entries?: Readonly<Record<string, string>>;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly defaultValue?: unknown;
}

export const definitionOf = (schema: z.core.$ZodType): Definition =>
  // oxlint-disable-next-line no-underscore-dangle -- how zod tells what a schema is
  schema._zod.def;

/** Looks through defaults, optionals and pipes to the schema that they wrap. */
export function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  for (let next = wrappedIn(inner); next !== undefined; next = wrappedIn(inner)) inner = next;
  return inner;
}

const wrappedIn = (schema: z.core.$ZodType): z.core.$ZodType | undefined => {
  const { innerType, in: input } = definitionOf(schema);
  return innerType ?? input;
};

/** Which form of a union was meant: the one whose first key is there. */
export function chosenForm(
  options: readonly z.core.$ZodType[],
  value: Located | undefined,
): z.core.$ZodType | undefined {
  const forms = options.map((option) => ({ option, ...definitionOf(unwrapped(option)) }));
  switch (value?.kind) {
    case 'map':
      return (
        forms.find(({ shape = {} }) => {
          const [first] = Object.keys(shape);
          return first !== undefined && value.entries.has(first);
        }) ?? onlyOf(forms.filter(({ type }) => type === 'object'))
      )?.option;
    case 'list':
      return onlyOf(forms.filter(({ type }) => type === 'array'))?.option;
    case 'scalar':
      return onlyOf(
        forms.filter(({ type }) => (type === 'enum' ? 'string' : type) === typeof value.value),
      )?.option;
    case undefined:
      return undefined;
  }
}

const onlyOf = <T>(values: readonly T[]): T | undefined =>
  values.length === 1 ? values[0] : undefined;

/** What a schema says of the child at a key; of a union, the form that was meant. */
export function childSchema(
  schema: z.core.$ZodType,
  key: string | number,
  value: Located | undefined,
): z.core.$ZodType | undefined {
  const { shape, catchall, element, valueType, options } = definitionOf(unwrapped(schema));
  if (options !== undefined) {
    const form = chosenForm(options, value);
    return form && childSchema(form, key, value);
  }
  if (typeof key === 'number') return element;
  if (shape !== undefined && Object.hasOwn(shape, key)) return shape[key];
  const rest = catchall ?? valueType;
  return rest === undefined || definitionOf(rest).type === 'never' ? undefined : rest;
}

/**
 * Tells what does not go together in a mapping.
 *
 * @param path Where it is told, from the mapping on.
 * @param keys What it depends on: where one of these is not valid, nothing can be said.
 */
export function tellConflict(
  context: z.RefinementCtx,
  path: readonly string[],
  keys: readonly string[],
  message: string,
  params: Readonly<Record<string, unknown>> = {},
): void {
  const depth = path.length;
  context.addIssue({
    code: 'custom',
    path: [...path],
    message,
    params: { ...params, keys, depth },
  });
}

/** The places that decide whether there is a conflict; undefined of issues that are none. */
export function conflictPlaces(issue: z.core.$ZodIssue): RecipePath[] | undefined {
  if (issue.code !== 'custom') return undefined;
  const { keys, depth } = issue.params ?? {};
  if (!Array.isArray(keys) || typeof depth !== 'number') return undefined;
  const mapping = issue.path.slice(0, issue.path.length - depth) as RecipePath;
  return (keys as string[]).map((key) => [...mapping, key]);
}

/** What a schema says of the value at a path. */
export function schemaAt(
  schema: z.core.$ZodType,
  root: Located,
  path: RecipePath,
): z.core.$ZodType | undefined {
  let at: z.core.$ZodType | undefined = schema;
  for (const [depth, key] of path.entries()) {
    at = at && childSchema(at, key, valueAt(root, path.slice(0, depth)));
  }
  return at;
}

/** Whether a value may be left out. */
export const isOptional = (schema: z.core.$ZodType): boolean =>
  // oxlint-disable-next-line no-underscore-dangle -- as above
  schema._zod.optin !== undefined;

/**
 * A valid value of a schema, to stand for one that is not. Texts give an example of themselves where
 * they must have a form.
 */
export function placeholder(schema: z.core.$ZodType): unknown {
  const [example] = (z.globalRegistry.get(schema)?.['examples'] as unknown[] | undefined) ?? [];
  if (example !== undefined) return example;
  const {
    type,
    shape,
    element,
    options,
    values,
    entries,
    innerType,
    in: input,
  } = definitionOf(schema);
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(shape ?? {}).flatMap(([key, each]) =>
          isOptional(each) ? [] : [[key, placeholder(each)]],
        ),
      );
    case 'array':
      return element === undefined ? [] : [placeholder(element)];
    case 'union':
      return options?.[0] && placeholder(options[0]);
    case 'literal':
      return values?.[0];
    case 'enum':
      return Object.values(entries ?? {})[0];
    case 'record':
      return {};
    case 'boolean':
      return false;
    case 'number':
      return (schema as { readonly minValue?: number | null }).minValue ?? 0;
    case 'string':
      return 'example';
    case 'optional':
      return undefined;
    case 'nullable':
      return null;
    default: {
      const inner = innerType ?? input;
      return inner && placeholder(inner);
    }
  }
}
