/** The rules of a recipe, applied to a tree; one that changes nothing is a mistake, told at its line. */

import { RecipeError, UsageError, type Diagnostic } from '../../core/errors.ts';
import type { Directory } from '../../io/file-tree.ts';
import { applyRule, type TreeChange } from '../../io/tree-rules.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { TreeRule } from '../../recipe/source-schema.ts';

/**
 * @param at Where the recipe has the list of rules.
 * @throws {RecipeError} with every rule that matches nothing or has a broken pattern.
 */
export function applyRules(
  tree: Directory,
  rules: readonly TreeRule[],
  recipe: Recipe,
  at: RecipePath,
): void {
  const problems: Diagnostic[] = [];
  for (const [index, rule] of rules.entries()) {
    const where = [...at, index, 'match'];
    try {
      const problem = applyRule(tree, changeOf(rule));
      if (problem === 'no-match') {
        problems.push(
          recipe.diagnosticAt(
            where,
            `Nothing matches ${rule.match.join(', ')}`,
            'Patterns are for paths in the image: a name such as *.so, or a whole path such as /usr/lib/*',
          ),
        );
      } else if (problem === 'only-links') {
        const message = `Only symbolic links match ${rule.match.join(', ')}: they have no mode`;
        problems.push(recipe.diagnosticAt(where, message, 'Name what they point to'));
      }
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      problems.push(recipe.diagnosticAt(where, error.message));
    }
  }
  if (problems.length > 0) throw new RecipeError(problems);
}

function changeOf({ match, mode, uid, gid, mtime, xattrs, remove }: TreeRule): TreeChange {
  return {
    match,
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8),
    uid,
    gid,
    mtime,
    xattrs:
      xattrs === undefined
        ? undefined
        : new Map(Object.entries(xattrs).map(([name, value]) => [name, xattrValue(value)])),
    remove,
  };
}

/** Text, or bytes behind `0x` or `base64:`. */
function xattrValue(value: string | null): Uint8Array | null {
  if (value === null) return null;
  if (value.startsWith('0x')) return new Uint8Array(Buffer.from(value.slice(2), 'hex'));
  if (value.startsWith('base64:')) {
    return new Uint8Array(Buffer.from(value.slice('base64:'.length), 'base64'));
  }
  return new Uint8Array(Buffer.from(value));
}
