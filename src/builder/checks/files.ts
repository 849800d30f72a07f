/**
 * The files a recipe names: they exist, can be read, are of the right kind, and stay below the folder of
 * the file that names them, also through symbolic links.
 */

import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { isAddress } from '../../recipe/schema-values.ts';
import { kernelSourceOf } from '../../recipe/schema.ts';
import type { CheckedPayload, NamedElsewhere } from './context.ts';

type Kind = 'file' | 'folder' | 'any';

export interface NamedInput {
  readonly at: RecipePath;
  /** Relative to the recipe's folder. */
  readonly path: string;
  readonly kind: Kind;
}

export interface InputProblem {
  readonly message: string;
  readonly hint?: string;
}

/** The file of a key that is below the recipe's folder; other kinds of reference lead where they lead. */
const keyFile = (key: string | undefined): string | undefined =>
  key === undefined || /^[a-z][a-z0-9]+:/.test(key) ? undefined : key;

/** All files and folders of a recipe that must be there before it is built. */
export function namedInputs(
  { data }: Recipe,
  payloads: readonly CheckedPayload[],
  elsewhere: NamedElsewhere,
): NamedInput[] {
  const inputs: NamedInput[] = [];
  const add = (at: RecipePath, path: string | undefined, kind: Kind): void => {
    if (path !== undefined) inputs.push({ at, path, kind });
  };
  const kernel = kernelSourceOf(data);
  if ('file' in kernel) {
    add(['kernel', 'source', 'file'], kernel.file, 'file');
    add(['kernel', 'source', 'modules'], kernel.modules, 'folder');
  }
  for (const [name, { contents }] of Object.entries(data.partitions)) {
    for (const [index, source] of contents.entries()) {
      const at = ['partitions', name, 'contents', index];
      if ('dir' in source) add([...at, 'dir'], source.dir, 'folder');
      if ('file' in source) add([...at, 'file'], source.file, 'file');
      if ('apk' in source) add([...at, 'apk'], source.apk, 'file');
      if ('deb' in source && source.deb.startsWith('.')) add([...at, 'deb'], source.deb, 'file');
      if ('oci' in source && source.oci.startsWith('.')) add([...at, 'oci'], source.oci, 'any');
      if ('tar' in source && !isAddress(source.tar)) add([...at, 'tar'], source.tar, 'file');
      if ('zip' in source && !isAddress(source.zip)) add([...at, 'zip'], source.zip, 'file');
      if ('git' in source && !isGitAddress(source.git)) add([...at, 'git'], source.git, 'folder');
    }
  }
  for (const payload of payloads) addPayload(payload, add);
  const { signing } = data;
  if (!elsewhere.image) add(['signing', 'image', 'key'], keyFile(signing.image.key), 'file');
  if (!elsewhere.payload) {
    add(['signing', 'payload', 'key'], keyFile(signing.payload.key), 'file');
    add(['signing', 'payload', 'certificate'], signing.payload.certificate, 'file');
  }
  return inputs;
}

/** Addresses, and `host:path` as ssh has it. */
const isGitAddress = (text: string): boolean => isAddress(text) || /^[^/]+:/.test(text);

function addPayload(
  { at, data, made }: CheckedPayload,
  add: (at: RecipePath, path: string | undefined, kind: Kind) => void,
): void {
  const addUnlessMade = (where: RecipePath, path: string | undefined): void => {
    if (path !== undefined && !made.has(path)) add([...at, ...where], path, 'file');
  };
  for (const [index, path] of (data.build?.inputs ?? []).entries()) {
    add([...at, 'build', 'inputs', index], path, 'any');
  }
  for (const [abi, paths] of Object.entries(data.libraries)) {
    for (const [index, path] of (paths ?? []).entries()) {
      addUnlessMade(['libraries', abi, index], path);
    }
  }
  for (const [index, { file }] of data.files.entries())
    addUnlessMade(['files', index, 'file'], file);
  if (typeof data.config === 'string') addUnlessMade(['config'], data.config);
  for (const [index, { apk, idsig }] of data.extraApks.entries()) {
    addUnlessMade(['extraApks', index, 'apk'], apk);
    addUnlessMade(['extraApks', index, 'idsig'], idsig);
  }
  for (const [index, path] of data.interfaces.entries()) {
    add([...at, 'interfaces', index], path, 'file');
  }
  add([...at, 'assets'], data.assets, 'folder');
}

/** Whether a real path is outside of a real folder. */
const isOutside = (folder: string, path: string): boolean =>
  relative(folder, path).split(sep)[0] === '..';

/** @returns the real path, or what is wrong. */
export async function inputProblem(
  recipe: Recipe,
  { at, path, kind }: NamedInput,
): Promise<{ readonly real: string } | InputProblem> {
  const absolute = join(recipe.directory, path);
  // A base or a fragment is complete in its own folder, as the recipe is in its.
  const folder = recipe.folderOf(at);
  const isOwn = folder === recipe.directory;
  const whose = isOwn ? 'the recipe' : relative(recipe.directory, folder);
  if (isOutside(folder, absolute)) {
    return {
      message: `"${path}" is outside the folder of ${whose}`,
      hint: 'Copy or move it below the recipe: a recipe is complete in its folder',
    };
  }
  let real: string;
  let root: string;
  try {
    [root, real] = await Promise.all([realpath(folder), realpath(absolute)]);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES') return { message: `"${path}" cannot be read: permission denied` };
    if (code === 'ELOOP') return { message: `"${path}" is a symbolic link that leads to itself` };
    return { message: `"${path}" does not exist`, hint: `Looked for ${absolute}` };
  }
  if (isOutside(root, real)) {
    return { message: `"${path}" leads outside the folder of ${whose}, to ${real}` };
  }
  const stats = await stat(real);
  if (kind === 'file' && !stats.isFile()) return { message: `"${path}" is not a regular file` };
  if (kind === 'folder' && !stats.isDirectory()) return { message: `"${path}" is not a folder` };
  if (kind === 'any' && !stats.isFile() && !stats.isDirectory()) {
    return { message: `"${path}" is neither a regular file nor a folder` };
  }
  try {
    await access(real, stats.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
  } catch {
    return { message: `"${path}" cannot be read: permission denied`, hint: `chmod +r ${absolute}` };
  }
  return { real };
}
