/** What a lock says of the kernel, so that a recipe is checked against it before any work. */

import type { Lock, LockedKernel } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { kernelSourceOf } from '../../recipe/schema.ts';
import { openBlobs, type BlobsOptions } from '../fetch.ts';
import { inputPath } from '../inputs.ts';
import { archiveTree } from '../sources/archive-tree.ts';
import { unpackDeb } from '../sources/unpack.ts';
import { kernelFromDeb, kernelFromFile } from '../steps/kernel-source.ts';
import { recallKernelFacts, rememberKernelFacts } from '../kernel-facts.ts';
import { kernelFiles, kernelModules } from '../steps/kernel.ts';

/** The digest of what the lock pins as the kernel; undefined where it pins none. */
export function kernelDigest(recipe: Recipe, lock: Lock): string | undefined {
  const source = kernelSourceOf(recipe.data);
  return 'deb' in source ? lock.debs[source.deb]?.sha256 : lock.files[source.file]?.sha256;
}

/** Whether facts are of a kernel that the recipe has in one of its profiles. */
export const isKernelOf = (recipe: Recipe, lock: Lock, { sha256 }: LockedKernel): boolean =>
  [recipe, ...recipe.alternatives()].some((each) => kernelDigest(each, lock) === sha256);

/**
 * The facts of the kernel that a lock pins. The kernel is opened for them; a build takes what is unpacked
 * for that from the cache.
 *
 * @param known Facts that are taken when they are of the same kernel.
 * @throws {RecipeError} when it is none, is for another architecture or lacks a module.
 */
export async function kernelFacts(
  recipe: Recipe,
  lock: Lock,
  known: LockedKernel | undefined,
  context: Omit<BlobsOptions, 'recipe'>,
): Promise<LockedKernel | undefined> {
  const sha256 = kernelDigest(recipe, lock);
  if (sha256 === undefined) return undefined;
  const { cache } = context;
  const isRemembered = (await recallKernelFacts(cache.directory, sha256)) !== undefined;
  // The lock knows no modules. That is no reason to fetch a kernel, but one that is here tells them to the first build.
  const tells = !isRemembered && (await cache.find(sha256)) !== undefined;
  if (known?.sha256 === sha256 && !tells) return known;
  const named = kernelSourceOf(recipe.data);
  let source;
  if ('deb' in named) {
    const deb = lock.debs[named.deb];
    if (deb === undefined) return undefined;
    const update = `microbuild lock ${recipe.directory} --update ${named.deb}`;
    const path = await openBlobs({ ...context, recipe }).fetch({ kind: 'deb', deb }, update);
    // As the build unpacks it: whoever comes second takes it from the cache.
    const archive = {
      path,
      name: `${deb.package} ${deb.version}`,
      digest: { sha256, size: deb.size },
    };
    const tree = async () => archiveTree(await unpackDeb(cache, archive), archive.name, {});
    source = kernelFromDeb(recipe, { sha256, tree });
  } else {
    const modules = named.modules === undefined ? undefined : inputPath(recipe, named.modules);
    source = await kernelFromFile(recipe, { path: inputPath(recipe, named.file), modules });
  }
  const { release, erofsConfig } = await kernelFiles(recipe, source, cache, context.signal);
  if ((await recallKernelFacts(cache.directory, sha256)) === undefined) {
    // Its files were in the cache: they were taken out of it without a look at its other modules.
    const modules = await kernelModules(source);
    await rememberKernelFacts(cache.directory, sha256, { release, erofs: erofsConfig, modules });
  }
  return { release, ...(erofsConfig && { erofs: [...erofsConfig] }), sha256 };
}
