/** Places of a recipe as text. */

import type { RecipePath } from '../recipe/issues.ts';

/** Such as `partitions.system.contents[3]`. */
export const formatRecipePath = (path: RecipePath): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? part : `${text}.${part}`,
    '',
  );
