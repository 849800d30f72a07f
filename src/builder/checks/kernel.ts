/** The kernel: for the architecture, mounts the file systems, has the modules. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { canonicalModuleName } from '../../formats/elf/kernel-module.ts';
import { closest } from '../../recipe/closest.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import { kernelSourceOf } from '../../recipe/schema.ts';
import { recallKernelFacts, type KernelFacts } from '../kernel-facts.ts';
import { readLock } from '../lock.ts';
import { mountProblems } from '../steps/kernel-mounts.ts';
import type { CheckContext } from './context.ts';
import { readKernelFile } from './kernel-file.ts';

type Known = Partial<KernelFacts>;

export async function checkKernel(context: CheckContext): Promise<void> {
  if (!context.isSound(['kernel', 'source']) || !context.isSound(['arch'])) return;
  const source = kernelSourceOf(context.recipe.data);
  const known =
    'file' in source ? await factsOfFile(context) : await factsOfDeb(context, source.deb);
  if (known === undefined) return;
  checkMounts(context, known);
  checkModules(context, known);
}

async function factsOfFile(context: CheckContext): Promise<Known | undefined> {
  const at = ['kernel', 'source', 'file'];
  const real = context.realPath(at);
  if (real === undefined) return undefined;
  const wants = Object.values(context.recipe.data.partitions).some(
    ({ filesystem }) => filesystem.compression !== 'none' || filesystem.deduplicate,
  );
  const found = await readKernelFile(real, wants);
  const { arch } = context.recipe.data;
  if (found.kind === 'unknown') {
    const hint = 'Name a vmlinux, a bzImage, an arm64 Image or an Android boot.img';
    context.tell(at, 'This file is no kernel', hint);
  } else if (found.arch !== undefined && found.arch !== arch) {
    const message = `This is a kernel for ${found.arch}, the recipe says ${arch}`;
    context.tell(at, message, 'Name a kernel for the architecture of the recipe');
  }
  const folder = context.realPath(['kernel', 'source', 'modules']);
  const modules = folder === undefined ? undefined : await modulesBelow(folder);
  return { ...found, ...(modules !== undefined && { modules }) };
}

/** More than any kernel has; somebody named the wrong folder. */
const MAX_MODULES = 50_000;

/** Names of modules in a folder, and of those that are built in. */
async function modulesBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  const queue = [folder];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      if (entry.isDirectory()) queue.push(join(at, entry.name));
      else if (entry.name.endsWith('.ko')) names.push(canonicalModuleName(entry.name.slice(0, -3)));
      if (names.length + queue.length > MAX_MODULES) return names;
    }
  }
  const builtin = await readFile(join(folder, 'modules.builtin'), 'latin1').catch(() => '');
  for (const line of builtin.split('\n')) {
    if (line !== '') names.push(canonicalModuleName(line.replace(/^.*\/|\.ko$/g, '')));
  }
  return names;
}

async function factsOfDeb(
  { recipe, cacheDirectory }: CheckContext,
  deb: string,
): Promise<Known | undefined> {
  let lock;
  try {
    lock = await readLock(recipe);
  } catch (error) {
    // Whoever needs the lock tells what is wrong with it.
    if (error instanceof UsageError) return undefined;
    throw error;
  }
  const sha256 = lock?.debs[deb]?.sha256;
  if (sha256 === undefined) return undefined;
  const known =
    cacheDirectory === undefined ? undefined : await recallKernelFacts(cacheDirectory, sha256);
  if (known !== undefined) return known;
  const pinned = lock?.kernel;
  return pinned?.sha256 === sha256
    ? { release: pinned.release, ...(pinned.erofs !== undefined && { erofs: pinned.erofs }) }
    : undefined;
}

function checkMounts(context: CheckContext, { release, erofs }: Known): void {
  if (release === undefined) return;
  for (const { at, message, hint } of mountProblems(context.recipe.data, { release, erofs })) {
    if (context.isSound(at.slice(0, -1))) context.tell(at, message, hint);
  }
}

function checkModules(context: CheckContext, { modules, release }: Known): void {
  const wanted = context.recipe.data.kernel.modules;
  if (modules === undefined || wanted === 'auto') return;
  const there = new Set(modules);
  for (const [index, name] of wanted.entries()) {
    if (there.has(canonicalModuleName(name))) continue;
    const at: RecipePath = ['kernel', 'modules', index];
    const near = closest(canonicalModuleName(name), modules);
    context.tell(
      at,
      `The kernel${release === undefined ? '' : ` ${release}`} has no module "${name}"`,
      near === undefined ? 'Name modules that this kernel has' : `Did you mean "${near}"?`,
    );
  }
}
