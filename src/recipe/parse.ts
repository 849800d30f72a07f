/**
 * Recipe text to validated value. Positions are kept, so that every later problem with a value can
 * still name the line it came from.
 */

import { dirname, relative, resolve } from 'node:path';
import { RecipeError, UsageError, type Diagnostic } from '../core/errors.ts';
import { assemble, type RecipeChoices } from './assemble.ts';
import { readBounded, readLayers, readSingle, type Layers } from './layers.ts';
import { keyAt, nearestValue, valueAt, type Located, type RecipePath } from './located.ts';
import type { RecipeData } from './schema.ts';
import { problemAt, type Origin } from './source-text.ts';
import { validate, validateOther } from './validate.ts';
import type { VariableValue } from './vars.ts';

export type { RecipeChoices } from './assemble.ts';

/** A file that is part of a recipe. */
export interface RecipeFile {
  /** Relative to the folder of the recipe; may begin with `../`. */
  readonly path: string;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
  readonly text: string;
}

/** A place in a recipe's files. Lines and columns count from 1. */
export interface Position {
  /** As `path` of `RecipeFile`. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A validated recipe that knows where each value was written. */
export interface Recipe {
  readonly data: RecipeData;
  /** Absolute path of the recipe file; paths of the recipe are relative to `directory`. */
  readonly file: string;
  readonly directory: string;
  /** All files that made it, in the order of reading. */
  readonly files: readonly RecipeFile[];
  /** The profiles in effect, in the order in which they were applied. */
  readonly profiles: readonly string[];
  /** The variables with the values in effect. */
  readonly vars: Readonly<Record<string, VariableValue>>;
  /**
   * What else the recipe is, with the same variables: without profiles that are chosen, and with each of them
   * alone. Those that are not valid are left out, and the one that is in effect.
   */
  alternatives(): readonly Recipe[];
  /** What was written, put together: for showing it. */
  readonly written: Located;
  /** Where the value at `path` was written, or the nearest value above it. */
  positionOf(path: RecipePath): Position;
  /** Absolute path of the folder whose files the value at `path` may name: that of the file it stands in. */
  folderOf(path: RecipePath): string;
  /** A problem with the value at `path`, or with the nearest value above it that was written down. */
  diagnosticAt(path: RecipePath, message: string, hint?: string): Diagnostic;
  /** A problem with the key that leads to the value at `path`. */
  diagnosticAtKey(path: RecipePath, message: string, hint?: string): Diagnostic;
}

/** A recipe as far as it can be understood. */
export interface RecipeDraft {
  /** Everything that is wrong with text and values. */
  readonly problems: readonly Diagnostic[];
  readonly warnings: readonly Diagnostic[];
  /** With something valid in the place of what is not; undefined when there is too little to go by. */
  readonly recipe: Recipe | undefined;
  /** Whether all at a path and below it is as it was written. */
  isSound(path: RecipePath): boolean;
}

/**
 * Reads `RECIPE` (a file, or a folder that holds `microbuild.yaml`) and what it stands on.
 *
 * @throws {UsageError} `input` when there is no such file or it cannot be read; `usage` when a profile or
 *   variable is chosen that it does not have.
 */
export async function readDraft(path: string, choices: RecipeChoices = {}): Promise<RecipeDraft> {
  const absolute = resolve(path);
  for (const file of [absolute, resolve(absolute, 'microbuild.yaml')]) {
    const bytes = await readBounded(file);
    if (bytes === undefined) continue;
    const problems: Diagnostic[] = [];
    return draftOf(await readLayers(bytes, file, problems), file, choices, problems);
  }
  throw new UsageError('input', `Cannot find a recipe at ${path}`, {
    hint: 'Name a recipe file, or a folder that holds microbuild.yaml',
  });
}

/**
 * Reads `RECIPE` as `readDraft` does.
 *
 * @throws {RecipeError} with every problem of the text and of its values.
 * @throws {UsageError} as `readDraft` does.
 */
export const readRecipe = async (path: string, choices: RecipeChoices = {}): Promise<Recipe> =>
  soundRecipe(await readDraft(path, choices));

/**
 * Parses the bytes of a recipe that stands on no other.
 *
 * @param file Absolute path, for messages and for paths relative to it.
 * @throws {RecipeError} with every problem of the text and of its values.
 */
export function parseRecipe(bytes: Uint8Array, file: string, choices: RecipeChoices = {}): Recipe {
  const problems: Diagnostic[] = [];
  return soundRecipe(draftOf(readSingle(bytes, file, problems), file, choices, problems));
}

function soundRecipe({ recipe, problems }: RecipeDraft): Recipe {
  if (recipe === undefined || problems.length > 0) throw new RecipeError(problems);
  return recipe;
}

function draftOf(
  layers: Layers,
  file: string,
  choices: RecipeChoices,
  problems: Diagnostic[],
): RecipeDraft {
  const warnings: Diagnostic[] = [];
  const nothing = { problems, warnings, recipe: undefined, isSound: () => false };
  if (layers.root === undefined) return nothing;
  const directory = dirname(file);
  const assembled = assemble(layers.root, directory, choices, { problems, warnings });
  const { data, isSound } = validate(assembled.root, problems);
  for (const other of assembled.others) validateOther(other, problems);
  if (data === undefined) return nothing;
  return { problems, warnings, recipe: recipeOf(data, assembled, layers, file, choices), isSound };
}

function recipeOf(
  data: RecipeData,
  { root, profiles, vars, choosable }: ReturnType<typeof assemble>,
  layers: Layers,
  file: string,
  choices: RecipeChoices,
): Recipe {
  const { sources } = layers;
  const directory = dirname(file);
  const originOf = (path: RecipePath): Origin => {
    const value = valueAt(root, path);
    if (value !== undefined) return value.origin;
    return keyAt(root, path) ?? nearestValue(root, path).origin;
  };
  return {
    data,
    file,
    directory,
    files: sources.map((source) => ({
      path: relative(directory, source.file),
      sha256: source.sha256,
      text: source.text,
    })),
    profiles,
    vars,
    alternatives() {
      const seen = new Set([profiles.join()]);
      return [[], ...choosable.map((name) => [name])].flatMap((chosen): Recipe[] => {
        const problems: Diagnostic[] = [];
        const draft = draftOf(layers, file, { vars: choices.vars, profiles: chosen }, problems);
        const other = draft.recipe;
        if (other === undefined || problems.length > 0) return [];
        const isKnown = seen.has(other.profiles.join());
        seen.add(other.profiles.join());
        return isKnown ? [] : [other];
      });
    },
    written: root,
    positionOf(path) {
      const { source, start } = originOf(path);
      return { file: relative(directory, source.file), ...source.place(start) };
    },
    folderOf: (path) => dirname(originOf(path).source.file),
    diagnosticAt: (path, message, hint) => problemAt(originOf(path), message, hint),
    diagnosticAtKey: (path, message, hint) =>
      problemAt(keyAt(root, path) ?? originOf(path), message, hint),
  };
}
