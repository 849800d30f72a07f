/** JSON Schema (2020-12) of recipes: what editors complete and check them with. */

import { z } from 'zod';
import { compositionSchema } from './composition-schema.ts';
import { recipeSchema } from './schema.ts';

/** What is read here of a JSON Schema. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly examples?: readonly unknown[];
  readonly [key: string]: unknown;
}

const convert = (schema: z.ZodType): JsonSchema => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return rest as JsonSchema;
};

/** A whole recipe, which stands on no other. */
export const wholeRecipeSchema = (): JsonSchema => convert(recipeSchema);

/** `extends`, `include`, `vars` and `profiles`. */
export const compositionJsonSchema = (): JsonSchema => convert(compositionSchema);

/** A file of a recipe: it may leave out what the files below it say. */
export function recipeJsonSchema(): Record<string, unknown> {
  return shared(recipeDocument());
}

function recipeDocument(): JsonSchema {
  const whole = wholeRecipeSchema();
  const { properties: layers = {} } = compositionJsonSchema();
  const profile = layers['profiles']?.additionalProperties;
  const when = typeof profile === 'object' ? profile.properties?.['when'] : undefined;
  const { properties = {}, description = '' } = partOf(whole);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'urn:microbuild:recipe:v1',
    title: 'microbuild recipe',
    description,
    type: 'object',
    properties: {
      ...properties,
      ...layers,
      profiles: {
        ...layers['profiles'],
        additionalProperties: {
          type: 'object',
          properties: {
            ...(when && { when }),
            ...(layers['vars'] && { vars: layers['vars'] }),
            ...properties,
          },
          additionalProperties: false,
        },
      },
    },
    additionalProperties: false,
    // What stands on nothing says all that must be said.
    anyOf: [{ required: ['extends'] }, { required: ['include'] }, requiredOf(whole)],
    $defs: {
      fragment: {
        description: 'A fragment, which other recipes include',
        type: 'object',
        properties: { ...properties, ...layers },
        additionalProperties: false,
      },
      variable: {
        type: 'string',
        pattern: String.raw`\$\{[A-Za-z]`,
        description: 'A text with variables',
      },
    },
  };
}

const NULL: JsonSchema = { type: 'null', description: 'Removes what is below' };
const VARIABLE: JsonSchema = { $ref: '#/$defs/variable' };

/** A mapping that may leave out, append and remove. */
function partOf(schema: JsonSchema): JsonSchema {
  if (schema.anyOf !== undefined) return { ...schema, anyOf: schema.anyOf.map(partOf) };
  const { properties, additionalProperties, required: _, ...rest } = schema;
  if (schema.type !== 'object') return withVariables(schema);
  const entries = Object.entries(properties ?? {}).flatMap(
    ([key, value]): [string, JsonSchema][] => {
      const { description, ...inner } = partOf(value);
      const about = description === undefined ? {} : { description };
      const own: [string, JsonSchema] = [key, { ...about, anyOf: [inner, NULL] }];
      return value.type === 'array'
        ? [own, [`${key}+`, { ...inner, description: `Appends to ${key} of what is below` }]]
        : [own];
    },
  );
  return {
    ...rest,
    ...(properties !== undefined && { properties: Object.fromEntries(entries) }),
    ...(additionalProperties !== undefined && {
      additionalProperties:
        typeof additionalProperties === 'boolean'
          ? additionalProperties
          : { anyOf: [partOf(additionalProperties), NULL] },
    }),
  };
}

/** The same, where a text with variables may stand for each value. */
function withVariables(schema: JsonSchema): JsonSchema {
  const { description, default: usual, ...inner } = schema;
  const about = {
    ...(description !== undefined && { description }),
    ...(usual !== undefined && { default: usual }),
  };
  if (schema.anyOf !== undefined) return { ...schema, anyOf: schema.anyOf.map(withVariables) };
  if (schema.type === 'array') {
    return { ...schema, ...(schema.items && { items: withVariables(schema.items) }) };
  }
  if (schema.type === 'object') {
    const entries = Object.entries(schema.properties ?? {});
    return {
      ...schema,
      ...(schema.properties && {
        properties: Object.fromEntries(entries.map(([key, each]) => [key, withVariables(each)])),
      }),
    };
  }
  const isFree = schema.type === 'string' && !('pattern' in schema) && schema.const === undefined;
  return isFree && schema.enum === undefined ? schema : { ...about, anyOf: [inner, VARIABLE] };
}

/** What must be there where nothing is below. */
function requiredOf(schema: JsonSchema): JsonSchema {
  const entries = Object.entries(schema.properties ?? {}).flatMap(([key, value]) =>
    schema.required?.includes(key) === true &&
    value.type === 'object' &&
    value.required !== undefined
      ? [[key, requiredOf(value)] as const]
      : [],
  );
  return {
    ...(schema.required !== undefined && { required: schema.required }),
    ...(entries.length > 0 && { properties: Object.fromEntries(entries) }),
  };
}

/** Shorter parts are as well written twice. */
const MIN_SHARED = 250;

/** The same schema with what occurs several times written once, below `$defs`. */
function shared(schema: JsonSchema): JsonSchema {
  const counts = new Map<string, number>();
  const texts = new WeakMap<object, string>();
  const textOf = (part: object): string => {
    const known = texts.get(part) ?? JSON.stringify(part);
    texts.set(part, known);
    return known;
  };
  const isSchema = (part: unknown): part is JsonSchema =>
    typeof part === 'object' && part !== null && ('type' in part || 'anyOf' in part);
  const count = (part: unknown): void => {
    if (typeof part !== 'object' || part === null) return;
    if (isSchema(part)) {
      const text = textOf(part);
      const seen = counts.get(text) ?? 0;
      counts.set(text, seen + 1);
      // What is in a part that is shared is written with it.
      if (seen > 0) return;
    }
    Object.values(part).forEach(count);
  };
  count(schema);

  const names = new Map<string, string>();
  const definitions: Record<string, unknown> = {};
  const share = (part: unknown, key: string): unknown => {
    if (Array.isArray(part)) return part.map((each) => share(each, key));
    if (typeof part !== 'object' || part === null) return part;
    const inside = (): Record<string, unknown> =>
      Object.fromEntries(
        Object.entries(part).map(([name, each]) => [
          name,
          share(each, /^(?:properties|items|anyOf|additionalProperties)$/.test(name) ? key : name),
        ]),
      );
    const text = isSchema(part) ? textOf(part) : '';
    if (text.length < MIN_SHARED || (counts.get(text) ?? 0) < 2) return inside();
    let name = names.get(text);
    if (name === undefined) {
      const base = key.replace(/\W/g, '') || 'part';
      name = base;
      for (let index = 2; Object.hasOwn(definitions, name); index += 1) name = `${base}${index}`;
      names.set(text, name);
      definitions[name] = {};
      definitions[name] = inside();
    }
    return { $ref: `#/$defs/${name}` };
  };
  const { $defs = {}, ...rest } = share(schema, '') as JsonSchema & { readonly $defs?: object };
  return { ...rest, $defs: { ...definitions, ...$defs } };
}
