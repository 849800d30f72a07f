/** The schema of how a recipe is put together: what it stands on, its variables and its profiles. */

import { ARCHITECTURES, RUNTIMES, type Arch } from '../core/arch.ts';
import { z } from 'zod';

const layerPath = z
  .string()
  .min(1, 'Write the path of a file')
  .refine((path) => !path.startsWith('/'), 'Write a path relative to the file that this stands in')
  .refine((path) => !/^[a-z][a-z0-9+.-]*:\/\//i.test(path), 'Copy the file beside the recipe')
  .refine((path) => !path.includes('${'), 'Variables have no values yet where files are named')
  .refine((path) => !path.includes('\0'), 'A path cannot hold a NUL')
  .meta({ examples: ['../base/microbuild.yaml'] });

const layers = z.union(
  [layerPath, z.array(layerPath).max(64)],
  'Write the path of a file, or a list of paths',
);

const variableName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, 'Write 1 to 63 letters, digits, _ and -, a letter first')
  .meta({ examples: ['version'] });

const variableValue = z.union(
  [z.string(), z.number(), z.boolean()],
  'Write a text, a number, true or false',
);

const profileName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'Write 1 to 63 of a-z 0-9 . _ -')
  .meta({ examples: ['release'] });

const oneOf = <T extends z.ZodType>(value: T): z.ZodUnion<readonly [T, z.ZodArray<T>]> =>
  z.union([value, z.array(value).min(1)]);

const when = z
  .strictObject({
    arch: oneOf(z.enum(Object.keys(ARCHITECTURES) as [Arch, ...Arch[]]))
      .optional()
      .describe('The architecture of the recipe is this, or one of these'),
    runtime: oneOf(z.enum(RUNTIMES))
      .optional()
      .describe('The runtime of the recipe is this, or one of these'),
    profile: oneOf(profileName).optional().describe('This profile is chosen, or one of these is'),
    var: z
      .record(variableName, oneOf(variableValue))
      .optional()
      .describe('Variables that have this value, or one of these'),
  })
  .describe('Applies the profile by itself where all of this holds; without it, it is chosen');

/** The keys of a recipe that say how it is put together, and are gone when it is. */
export const compositionSchema = z.object({
  extends: layers
    .optional()
    .describe(
      'Recipe that this one stands on, or several, of which later ones override earlier ones: mappings merge, other values replace; "KEY+" appends to a list, "KEY: null" removes',
    ),
  include: layers
    .optional()
    .describe('Fragments that lie between the values of extends and those of this file'),
  vars: z
    .record(variableName, variableValue)
    .default({})
    .describe(
      'Variables: ${NAME} in any text stands for the value, $${ for ${ itself; --var NAME=VALUE overrides',
    ),
  profiles: z
    .record(profileName, z.looseObject({ when: when.optional() }))
    .default({})
    .describe(
      'Parts of a recipe that are laid over the rest where they are chosen: --profile NAME',
    ),
});

/** Of a single file. */
export const layersSchema = compositionSchema.pick({ extends: true, include: true });

export const COMPOSITION_KEYS = ['extends', 'include', 'vars', 'profiles'] as const;

/** More than anybody reads. */
export const MAX_VARIABLES = 1000;
export const MAX_PROFILES = 100;

export type When = z.output<typeof when>;
