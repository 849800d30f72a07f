/**
 * Merging trees of which no two may claim one path. Files that are equal in all but their times are no conflict: many
 * packages carry the same licence, and it does not matter whose it is.
 */

import { RecipeError, type Diagnostic } from '../../core/errors.ts';
import type { Directory, Inode } from '../../io/file-tree.ts';
import { isSameInode, mergeTree } from '../../io/merge-tree.ts';

/** More conflicts than that have one cause. */
const MAX_SHOWN = 20;

/**
 * @param about How to speak of it: who else has an inode, and the problem at its place in the recipe.
 * @throws {RecipeError} with every path that both have and that differs.
 */
export async function mergeOrThrow(
  root: Directory,
  added: Directory,
  about: {
    readonly onAdd: (inode: Inode) => void;
    readonly describe: (known: Inode) => string;
    readonly diagnostic: (message: string, hint: string) => Diagnostic;
  },
): Promise<void> {
  const problems: Diagnostic[] = [];
  for (const { path, known, added: inode } of mergeTree(root, added, about.onAdd)) {
    if (problems.length === MAX_SHOWN) break;
    if (await isSameInode(known, inode)) continue;
    problems.push(about.diagnostic(`${path} ${differenceOf(known, inode)}`, about.describe(known)));
  }
  if (problems.length > 0) throw new RecipeError(problems);
}

function differenceOf(known: Inode, added: Inode): string {
  if (known.kind !== added.kind) {
    return `is in the image already, as a ${known.kind} where this has a ${added.kind}`;
  }
  return 'is in the image already, and not the same';
}
