/** Everything that a recipe names, in its order: for the build record, and to see whether any of it changed. */

import type { RecipePath } from '../recipe/issues.ts';
import { gitKey, ociKey, type Lock } from '../recipe/lockfile.ts';
import type { Recipe } from '../recipe/parse.ts';
import { isAddress } from '../recipe/schema-values.ts';
import { kernelSourceOf } from '../recipe/schema.ts';
import type { PartitionSource } from '../recipe/source-schema.ts';
import { inputPath } from './inputs.ts';
import { payloadsOf } from './payloads.ts';

export interface RecipeInput {
  readonly at: RecipePath;
  /** The key by which the recipe names it. */
  readonly kind: string;
  /** As the recipe writes it. */
  readonly name: string;
  /** Absolute path of a file or folder of this machine. */
  readonly path?: string | undefined;
  /** What the lock says of it. */
  readonly pinned?: { readonly version?: string; readonly digest: string } | undefined;
}

/** All inputs, but for those that build commands make. */
export function recipeInputs(recipe: Recipe, lock: Lock): RecipeInput[] {
  const inputs: RecipeInput[] = [];
  const add = (
    at: RecipePath,
    kind: string,
    name: string,
    path: string | undefined = name,
  ): void => {
    inputs.push({ at, kind, name, path: inputPath(recipe, path) });
  };
  const kernel = kernelSourceOf(recipe.data);
  if ('deb' in kernel) {
    const at = ['kernel', 'source'];
    inputs.push({ at, kind: 'kernel', name: kernel.deb, pinned: pinnedDeb(lock, kernel.deb) });
  } else {
    add(['kernel', 'source'], 'kernel', kernel.file);
    if (kernel.modules) add(['kernel', 'source', 'modules'], 'modules', kernel.modules);
  }
  for (const [name, { contents }] of Object.entries(recipe.data.partitions)) {
    for (const [index, source] of contents.entries()) {
      inputs.push(sourceInput(recipe, source, ['partitions', name, 'contents', index], lock));
    }
  }
  for (const { data, at } of payloadsOf(recipe)) {
    const made = new Set(data.build?.outputs);
    const addFile = (where: RecipePath, kind: string, path: string): void => {
      if (!made.has(path)) add([...at, ...where], kind, path);
    };
    for (const [index, path] of (data.build?.inputs ?? []).entries()) {
      add([...at, 'build', 'inputs', index], 'build', path);
    }
    for (const [abi, paths] of Object.entries(data.libraries)) {
      for (const [index, path] of (paths ?? []).entries()) {
        addFile(['libraries', abi, index], 'library', path);
      }
    }
    for (const [index, { file }] of data.files.entries()) addFile(['files', index], 'file', file);
    if (data.assets !== undefined) add([...at, 'assets'], 'assets', data.assets);
    if (typeof data.config === 'string') addFile(['config'], 'config', data.config);
    for (const [index, { apk, idsig }] of data.extraApks.entries()) {
      addFile(['extraApks', index], 'apk', apk);
      if (idsig !== undefined) addFile(['extraApks', index, 'idsig'], 'idsig', idsig);
    }
    for (const [index, path] of data.interfaces.entries()) {
      add([...at, 'interfaces', index], 'interface', path);
    }
  }
  return inputs;
}

function sourceInput(
  recipe: Recipe,
  source: PartitionSource,
  at: RecipePath,
  lock: Lock,
): RecipeInput {
  const [kind = '', value] = Object.entries(source)[0] ?? [];
  const name = String(value);
  const input = { at, kind, name };
  const here = (path: string): RecipeInput => ({ ...input, path: inputPath(recipe, path) });
  if ('dir' in source || 'file' in source || 'apk' in source) return here(name);
  if ('deb' in source) {
    return name.startsWith('.') ? here(name) : { ...input, pinned: pinnedDeb(lock, name) };
  }
  if ('tar' in source || 'zip' in source) {
    if (!isAddress(name)) return here(name);
    const digest = lock.archives[name]?.sha256;
    return { ...input, pinned: digest === undefined ? undefined : { digest: `sha256:${digest}` } };
  }
  if ('oci' in source) {
    if (name.startsWith('.')) return here(name);
    const digest = lock.oci[ociKey(source)]?.manifest.digest;
    return { ...input, pinned: digest === undefined ? undefined : { digest } };
  }
  if ('git' in source) {
    const commit = lock.git[gitKey(source)];
    const pinned = commit && { version: commit.commit, digest: `sha256:${commit.sha256}` };
    return { ...input, pinned };
  }
  return input;
}

function pinnedDeb(lock: Lock, name: string): RecipeInput['pinned'] {
  const deb = lock.debs[name];
  return deb && { version: `${deb.package} ${deb.version}`, digest: `sha256:${deb.sha256}` };
}
