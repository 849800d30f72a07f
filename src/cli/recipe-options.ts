/** The options of every command that takes a recipe. Nothing here reads one: that takes its time. */

import type { Options } from 'yargs';

/** What a recipe is chosen by, besides its path. */
export const recipeOptions = {
  profile: {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Lay this profile over the recipe; several go in their order',
  },
  var: {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'Set a variable of the recipe: NAME=VALUE',
  },
} as const satisfies Record<string, Options>;
