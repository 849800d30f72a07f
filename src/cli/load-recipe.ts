/** The recipe that a command line names, with the profiles and variables that it chooses. */

import { checkedRecipe, type RecipeCheckOptions } from '../builder/checks/check.ts';
import { defaultCacheDirectory } from '../cache/store.ts';
import { UsageError } from '../core/errors.ts';
import { readRecipe, type Recipe, type RecipeChoices } from '../recipe/parse.ts';
import { SIGNING_PROFILES } from '../signing/policy/release.ts';
import type { CommandArguments, CommandContext } from './command.ts';

/**
 * Reads a recipe.
 *
 * @throws {RecipeError} with every problem of its text and values.
 */
export const loadRecipe = (path: string, choices: RecipeChoices = {}): Promise<Recipe> =>
  readRecipe(path, choices);

/** @throws {UsageError} `usage` when a variable is not written as NAME=VALUE, or twice. */
export function recipeChoices(args: CommandArguments): RecipeChoices {
  const vars: Record<string, string> = {};
  for (const text of args.optionalList('var') ?? []) {
    const at = text.indexOf('=');
    const name = text.slice(0, Math.max(at, 0));
    if (name === '') throw new UsageError('usage', `Cannot use --var ${text}: write NAME=VALUE`);
    if (Object.hasOwn(vars, name)) {
      throw new UsageError('usage', `Cannot set "${name}" twice`, {
        hint: 'Write one --var of it',
      });
    }
    vars[name] = text.slice(at + 1);
  }
  const named = args.optionalList('profile') ?? [];
  // What is signed has profiles of its own, which a recipe may but need not have.
  const isSigning = (name: string): boolean => SIGNING_PROFILES.some((each) => each === name);
  return {
    profiles: named.filter((name) => !isSigning(name)),
    optionalProfiles: named.filter(isSigning),
    vars,
  };
}

/**
 * The recipe that a command line names, checked without doing any work.
 *
 * @throws {RecipeError} with every problem of it, and of the files that it names.
 */
export async function recipeOf(
  args: CommandArguments,
  { reporter, env }: Pick<CommandContext, 'reporter' | 'env'>,
  options: RecipeCheckOptions = {},
): Promise<Recipe> {
  const { recipe, warnings } = await checkedRecipe(args.text('recipe'), recipeChoices(args), {
    cacheDirectory: defaultCacheDirectory(env),
    ...options,
  });
  for (const { file, line, column, message } of warnings) {
    reporter.report({ kind: 'warning', message: `${file}:${line}:${column}: ${message}` });
  }
  return recipe;
}
