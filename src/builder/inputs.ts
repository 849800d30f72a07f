/** The files of a recipe, and the checks of all that it names. */

import { join } from 'node:path';
import { RecipeError } from '../core/errors.ts';
import type { Recipe } from '../recipe/parse.ts';
import { checkRecipe } from './checks/check.ts';
import type { NamedElsewhere } from './checks/context.ts';

/** Whether a `deb:` names a file of the recipe rather than a package of the lock. */
export const isLocalDeb = (deb: string): boolean => deb.startsWith('.');

/** The absolute path of a path in the recipe. */
export const inputPath = (recipe: Recipe, path: string): string => join(recipe.directory, path);

/** @throws {RecipeError} with everything that cannot be used, or does not go together. */
export async function checkInputs(recipe: Recipe, elsewhere?: NamedElsewhere): Promise<void> {
  const { problems } = await checkRecipe(recipe, { elsewhere });
  if (problems.length > 0) throw new RecipeError(problems);
}
