/** Where a payload's build finds the files of the recipe. */

import { join, relative } from 'node:path';
import type { RecipePath } from '../recipe/issues.ts';
import type { Recipe } from '../recipe/parse.ts';

/**
 * Where a path of the recipe is in the copy that a payload is built in: the copy is of the folder of the
 * file that writes the command, which may be a base of the recipe. What is outside of it begins with `..`.
 *
 * @param at Where the recipe has the payload.
 */
export const stagedPath = (recipe: Recipe, at: RecipePath, path: string): string =>
  relative(recipe.folderOf([...at, 'build', 'command']), join(recipe.directory, path));
