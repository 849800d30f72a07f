/** What every check of a recipe is given, and tells. */

import type { Diagnostic } from '../../core/errors.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { RecipeData } from '../../recipe/schema.ts';

/** Keys that are named for a build instead of those of the recipe, whose files need not be there. */
export interface NamedElsewhere {
  readonly image: boolean;
  readonly payload: boolean;
}

export interface CheckContext {
  readonly recipe: Recipe;
  readonly elsewhere: NamedElsewhere;
  /** The payloads, the first one first. */
  readonly payloads: readonly CheckedPayload[];
  /** Where microbuild keeps what it knows; undefined to do without. */
  readonly cacheDirectory: string | undefined;
  /** Whether everything must be pinned. */
  readonly isLockNeeded: boolean;
  /** Whether all at a path and below is as it was written: else nothing can be said about it. */
  isSound(path: RecipePath): boolean;
  /** Tells a problem; nothing where the value is not as it was written. */
  tell(path: RecipePath, message: string, hint?: string): void;
  tellAtKey(path: RecipePath, message: string, hint?: string): void;
  warn(path: RecipePath, message: string, hint?: string): void;
  /** The real path of a file or folder that may be used; undefined where it may not, which is told. */
  realPath(path: RecipePath): string | undefined;
}

export interface CheckedPayload {
  readonly at: RecipePath;
  readonly data: RecipeData['payload'];
  /** Files that its build makes: they need not be there. */
  readonly made: ReadonlySet<string>;
}

/** Both kinds of remarks. */
export interface Told {
  readonly problems: Diagnostic[];
  readonly warnings: Diagnostic[];
}

/** Looks at one kind of problem. It reads what it must, and changes nothing. */
export type Check = (context: CheckContext) => Promise<void> | void;
