/** Merges the sources of one partition into one tree, and remembers which source put what there. */

import { RecipeError } from '../../core/errors.ts';
import { directory, type Directory, type Inode } from '../../io/file-tree.ts';
import { ensureDirectory, PathConflict } from '../../io/merge-tree.ts';
import { visitTree } from '../../io/visit-tree.ts';
import { originRuns, type OriginRuns } from '../../io/origins.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { describeSource } from '../../recipe/source-schema.ts';
import { mergeOrThrow } from '../sources/clashes.ts';
import { applyRules } from '../sources/rules.ts';
import { sourceTree, type SourceNote, type SourcesContext } from '../sources/source-tree.ts';

export interface PartitionTree {
  readonly tree: Directory;
  /** For every name in the order of `walk`: the index of its source in `contents`, or -1 for the builder itself. */
  readonly origins: OriginRuns;
}

/** What the sources need, but for what they have from the partition. */
export type PartitionContext = Omit<SourcesContext, 'recipe'>;

/**
 * Two sources may have one path only when what they have there is equal but for its time; folders unite, with the
 * attributes of the first source that names them.
 *
 * @param name Of the partition, as in the recipe.
 * @throws {RecipeError} at the source that claims a path which another one has, or whose archive is damaged; at a rule
 *   that matches nothing.
 */
export async function partitionTree(
  recipe: Recipe,
  name: string,
  context: PartitionContext,
): Promise<PartitionTree> {
  const partition = recipe.data.partitions[name];
  if (partition === undefined) throw new RangeError(`The recipe has no partition ${name}`);
  const { contents, rules } = partition;
  const tree = directory({ mtime: context.sourceDate });
  const origins = new Map<Inode, number>();
  for (const [index, source] of contents.entries()) {
    const at = ['partitions', name, 'contents', index];
    const added = await sourceTree(source, { ...context, recipe, at });
    await mergeOrThrow(tree, added, {
      onAdd: (inode) => origins.set(inode, index),
      describe(known) {
        const owner = origins.get(known) ?? -1;
        const other = contents[owner];
        if (other === undefined) return 'Give it another path';
        const { file, line } = recipe.positionOf(['partitions', name, 'contents', owner]);
        return `contents[${owner}] (${describeSource(other)}, ${file}:${line}) put it there: leave it out of one of them with exclude`;
      },
      diagnostic: (message, hint) => recipe.diagnosticAt(at, message, hint),
    });
  }
  if (name === 'system') addMountPoints(tree, recipe, context.sourceDate);
  applyRules(tree, rules, recipe, ['partitions', name, 'rules']);
  for (const [index, paths] of privileged(tree, origins)) {
    const source = contents[index];
    // Modes that the recipe itself writes are meant.
    if (source === undefined || 'file' in source || 'inline' in source) continue;
    context.note?.(privilegeNote(paths), ['partitions', name, 'contents', index]);
  }
  return { tree, origins: originRuns(tree, (inode) => origins.get(inode) ?? -1) };
}

/** The folders on which the guest mounts the other partitions. */
function addMountPoints(tree: Directory, recipe: Recipe, mtime: number): void {
  for (const [name, { mount }] of Object.entries(recipe.data.partitions)) {
    try {
      if (name !== 'system') ensureDirectory(tree, mount, { mtime });
    } catch (cause) {
      if (!(cause instanceof PathConflict)) throw cause;
      const message = `Cannot mount on ${mount}: ${cause.path} is no folder of the system`;
      throw new RecipeError([recipe.diagnosticAt(['partitions', name, 'mount'], message)], {
        cause,
      });
    }
  }
}

const SET_IDS = 0o6000;
/** How many paths a warning names. */
const SHOWN = 5;

/** Programs that run with more rights than who starts them, by the index of their source. */
function privileged(tree: Directory, origins: ReadonlyMap<Inode, number>): Map<number, string[]> {
  const found = new Map<number, string[]>();
  visitTree(tree, (path, inode) => {
    if (inode.kind !== 'file') return;
    if ((inode.mode & SET_IDS) === 0 && !inode.xattrs.has('security.capability')) return;
    const index = origins.get(inode) ?? -1;
    const paths = found.get(index);
    if (paths === undefined) found.set(index, [path]);
    else paths.push(path);
  });
  return found;
}

function privilegeNote(paths: readonly string[]): SourceNote {
  const more = paths.length > SHOWN ? ` and ${paths.length - SHOWN} more` : '';
  const shown = [...paths].sort().slice(0, SHOWN).join(', ');
  return {
    kind: 'warning',
    message: `Runs with more rights than who starts it: ${shown}${more}`,
    hint: 'Take the rights away with rules (mode, xattrs), or leave the files out with exclude',
  };
}
