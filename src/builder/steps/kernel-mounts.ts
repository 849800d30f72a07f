/** Whether a kernel mounts the file systems that a recipe asks for. */

import { RecipeError, UsageError } from '../../core/errors.ts';
import { checkErofsSupport, erofsKernelNeeds } from '../../formats/erofs/kernel-support.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { RecipeData } from '../../recipe/schema.ts';

/** What is known of a kernel. */
export interface KernelAbilities {
  readonly release: string;
  /** The options for EROFS that it is built with; undefined when nothing tells. */
  readonly erofs?: readonly string[] | undefined;
}

/** A file system that a kernel does not mount. */
export interface MountProblem {
  /** The key that asks for too much. */
  readonly at: RecipePath;
  readonly message: string;
  readonly hint?: string | undefined;
}

/**
 * Whether the kernel mounts what the file systems of a recipe need.
 *
 * @throws {RecipeError} at each line that asks for too much.
 */
export function checkKernelMounts(recipe: Recipe, kernel: KernelAbilities): void {
  const problems = mountProblems(recipe.data, kernel);
  if (problems.length === 0) return;
  throw new RecipeError(
    problems.map(({ at, message, hint }) => recipe.diagnosticAt(at, message, hint)),
  );
}

/** Why a kernel does not mount what a recipe has, for each partition; empty when it does, as far as is known. */
export const mountProblems = (data: RecipeData, kernel: KernelAbilities): MountProblem[] =>
  Object.entries(data.partitions).flatMap(([name, { filesystem }]) => {
    const problem = mountProblem(filesystem, kernel);
    const key = filesystem.compression === 'none' ? 'deduplicate' : 'compression';
    return problem === undefined
      ? []
      : [{ at: ['partitions', name, 'filesystem', key], ...problem }];
  });

function mountProblem(
  filesystem: RecipeData['partitions']['system']['filesystem'],
  { release, erofs }: KernelAbilities,
): Pick<MountProblem, 'message' | 'hint'> | undefined {
  const { compression, clusterSize, tails, deduplicate } = filesystem;
  const isCompressed = compression !== 'none';
  const needs = {
    algorithm: isCompressed ? compression : undefined,
    largeClusters: isCompressed && clusterSize > 4096,
    tailPacking: isCompressed && tails !== 'blocks',
    fragments: isCompressed && tails === 'fragments',
    chunks: deduplicate,
  };
  try {
    checkErofsSupport(needs, release);
  } catch (error) {
    if (error instanceof UsageError) return { message: error.message, hint: error.hint };
    // A kernel that does not say which version it is.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  const missing = erofsKernelNeeds(needs).config.filter(
    (option) => erofs?.includes(option) === false,
  );
  if (missing.length === 0) return undefined;
  return {
    message: `The kernel ${release} is built without ${missing.join(', ')}`,
    hint: 'Choose another compression, or a kernel that is built with it',
  };
}
