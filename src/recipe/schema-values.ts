/** Values that occur in several places of a recipe. */

import { z } from 'zod';

/** A path below the recipe's folder. That it stays there is checked with the files at hand. */
export const relativePath = z
  .string()
  .min(1, 'Write a path below the folder of the recipe')
  .refine((path) => !path.startsWith('/'), 'Write a path relative to the folder of the recipe')
  .refine((path) => !path.includes('\0'), 'A path cannot hold a NUL');
