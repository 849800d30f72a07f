/** Merges the sources of the system partition into one tree. */

import { stat } from 'node:fs/promises';
import { FormatError, RecipeError } from '../../core/errors.ts';
import { directory, regularFile, walk, type Directory, type Inode } from '../../io/file-tree.ts';
import { fileContent, readDiskTree } from '../../io/disk-tree.ts';
import { addInode, mergeTree, PathConflict } from '../../io/merge-tree.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { PartitionSource } from '../../recipe/source-schema.ts';
import { inputPath } from '../inputs.ts';

/** What the tree needs besides the recipe. */
export interface SystemSources {
  /** The tree of `{ guest: runtime }`. */
  guest(): Promise<Directory>;
  /** The tree of a package that the lock pins, or of the recipe's own `.deb`. */
  deb(name: string): Promise<Directory>;
  /** Seconds since 1970: the time of every file. */
  readonly sourceDate: number;
}

/**
 * @throws {RecipeError} at the source that claims a path which another one has, or whose archive is
 *   damaged.
 */
export async function systemTree(recipe: Recipe, sources: SystemSources): Promise<Directory> {
  const mtime = sources.sourceDate;
  const root = directory({ mtime });
  const owners = new Map<string, number>();
  const { contents } = recipe.data.partitions.system;
  for (const [index, source] of contents.entries()) {
    const at = ['partitions', 'system', 'contents', index];
    try {
      await addSource(root, source, recipe, sources);
    } catch (cause) {
      if (cause instanceof PathConflict) {
        const owner = owners.get(cause.path);
        throw new RecipeError(
          [
            recipe.diagnosticAt(
              at,
              `${cause.path} is in the image already`,
              owner === undefined
                ? 'Give it another path'
                : `contents[${owner}] (${describeSource(contents[owner])}) put it there: leave one of them out`,
            ),
          ],
          { cause },
        );
      }
      if (cause instanceof FormatError) {
        throw new RecipeError([recipe.diagnosticAt(at, cause.message, cause.hint)], { cause });
      }
      throw cause;
    }
    walk(root, (path) => {
      if (!owners.has(path)) owners.set(path, index);
    });
  }
  return root;
}

const describeSource = (source: PartitionSource | undefined): string =>
  Object.entries(source ?? {})
    .slice(0, 1)
    .map(([kind, value]) => `${kind}: ${String(value)}`)
    .join('');

async function addSource(
  root: Directory,
  source: PartitionSource,
  recipe: Recipe,
  sources: SystemSources,
): Promise<void> {
  const mtime = sources.sourceDate;
  if ('guest' in source) {
    mergeTree(root, '/', await sources.guest(), { mtime });
  } else if ('deb' in source) {
    const tree = await sources.deb(source.deb);
    for (const path of source.exclude ?? []) removePath(tree, path);
    mergeTree(root, '/', tree, { mtime });
  } else if ('dir' in source) {
    const tree = await readDiskTree(inputPath(recipe, source.dir), mtime);
    mergeTree(root, source.to, tree, { mtime });
  } else if ('file' in source) {
    const path = inputPath(recipe, source.file);
    const content = fileContent(path, (await stat(path)).size);
    const { uid, gid } = source;
    const mode = Number.parseInt(source.mode, 8);
    addInode(root, source.to, regularFile(content, { mode, uid, gid, mtime }), { mtime });
  } else {
    throw new TypeError(`The source ${describeSource(source)} is not built`);
  }
}

/** Removes what is at `path` and below it, if anything is. */
function removePath(root: Directory, path: string): void {
  const names = path.split('/').filter((name) => name !== '');
  const last = names.pop();
  let at: Directory | undefined = root;
  for (const name of names) {
    const next: Inode | undefined = at?.children.get(name);
    at = next?.kind === 'directory' ? next : undefined;
  }
  if (last !== undefined) at?.children.delete(last);
}
