/** Whether a kernel mounts the file systems that a recipe asks for. */

import { RecipeError, UsageError } from '../../core/errors.ts';
import {
  checkErofsSupport,
  erofsKernelNeeds,
  type ErofsNeeds,
} from '../../formats/erofs/kernel-support.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { KernelFiles } from './kernel.ts';

/**
 * Whether the recipe's kernel mounts what its file system says.
 *
 * @throws {RecipeError} at the line that asks for too much.
 */
export function checkKernelMounts(recipe: Recipe, kernel: KernelFiles): void {
  const { compression, clusterSize, tails, deduplicate } = recipe.data.partitions.system.filesystem;
  const isCompressed = compression !== 'none';
  const needs: ErofsNeeds = {
    algorithm: isCompressed ? compression : undefined,
    largeClusters: isCompressed && clusterSize > 4096,
    tailPacking: isCompressed && tails !== 'blocks',
    fragments: isCompressed && tails === 'fragments',
    chunks: deduplicate,
  };
  const fail = (message: string, hint: string | undefined): never => {
    const at = ['partitions', 'system', 'filesystem', isCompressed ? 'compression' : 'deduplicate'];
    throw new RecipeError([recipe.diagnosticAt(at, message, hint)]);
  };
  try {
    checkErofsSupport(needs, kernel.release);
  } catch (error) {
    if (error instanceof UsageError) return fail(error.message, error.hint);
    throw error;
  }
  const { config } = erofsKernelNeeds(needs);
  const missing = config.filter((option) => kernel.erofsConfig?.includes(option) === false);
  if (missing.length > 0) {
    fail(
      `The kernel ${kernel.release} is built without ${missing.join(', ')}`,
      'Choose another compression, or a kernel that is built with it',
    );
  }
}
