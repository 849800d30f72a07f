/**
 * The files a recipe names, checked before any work: they exist, can be read, are of the right kind,
 * and stay below the recipe's folder, also through symbolic links. All problems are told at once.
 */

import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { ARCHITECTURES } from '../core/arch.ts';
import { RecipeError, type Diagnostic } from '../core/errors.ts';
import type { Recipe } from '../recipe/parse.ts';
import type { RecipePath } from '../recipe/issues.ts';
import { kernelSourceOf } from '../recipe/schema.ts';

type Kind = 'file' | 'folder' | 'any';

interface NamedInput {
  readonly at: RecipePath;
  readonly path: string;
  readonly kind: Kind;
}

/** Whether a `deb:` names a file of the recipe rather than a package of the lock. */
export const isLocalDeb = (deb: string): boolean => deb.startsWith('.');

/** The absolute path of a path in the recipe. */
export const inputPath = (recipe: Recipe, path: string): string => join(recipe.directory, path);

/** Keys that are named for a build instead of those of the recipe, whose files need not be there. */
export interface NamedElsewhere {
  readonly image: boolean;
  readonly payload: boolean;
}

/** The file of a key that is below the recipe's folder; other kinds of reference lead where they lead. */
const keyFile = (key: string | undefined): string | undefined =>
  key === undefined || /^[a-z][a-z0-9]+:/.test(key) ? undefined : key;

function namedInputs({ data }: Recipe, elsewhere: NamedElsewhere): NamedInput[] {
  const inputs: NamedInput[] = [];
  const add = (at: RecipePath, path: string | undefined, kind: Kind): void => {
    if (path !== undefined) inputs.push({ at, path, kind });
  };
  const kernel = kernelSourceOf(data);
  if ('file' in kernel) {
    add(['kernel', 'source', 'file'], kernel.file, 'file');
    add(['kernel', 'source', 'modules'], kernel.modules, 'folder');
  }
  for (const [index, source] of data.partitions.system.contents.entries()) {
    const at = ['partitions', 'system', 'contents', index];
    if ('dir' in source) add([...at, 'dir'], source.dir, 'folder');
    if ('file' in source) add([...at, 'file'], source.file, 'file');
    if ('deb' in source && isLocalDeb(source.deb)) add([...at, 'deb'], source.deb, 'file');
  }
  const { payload, signing } = data;
  const made = new Set(payload.build?.outputs);
  for (const [index, path] of (payload.build?.inputs ?? []).entries()) {
    add(['payload', 'build', 'inputs', index], path, 'any');
  }
  for (const [abi, paths] of Object.entries(payload.libraries)) {
    for (const [index, path] of (paths ?? []).entries()) {
      if (!made.has(path)) add(['payload', 'libraries', abi, index], path, 'file');
    }
  }
  for (const [index, { file }] of payload.files.entries()) {
    if (!made.has(file)) add(['payload', 'files', index, 'file'], file, 'file');
  }
  if (typeof payload.config === 'string' && !made.has(payload.config)) {
    add(['payload', 'config'], payload.config, 'file');
  }
  for (const [index, { apk, idsig }] of payload.extraApks.entries()) {
    const at = ['payload', 'extraApks', index];
    if (!made.has(apk)) add([...at, 'apk'], apk, 'file');
    if (idsig === undefined || !made.has(idsig)) add([...at, 'idsig'], idsig, 'file');
  }
  for (const [index, path] of payload.interfaces.entries()) {
    add(['payload', 'interfaces', index], path, 'file');
  }
  add(['payload', 'assets'], payload.assets, 'folder');
  if (!elsewhere.image) add(['signing', 'image', 'key'], keyFile(signing.image.key), 'file');
  if (!elsewhere.payload) {
    add(['signing', 'payload', 'key'], keyFile(signing.payload.key), 'file');
    add(['signing', 'payload', 'certificate'], signing.payload.certificate, 'file');
  }
  return inputs;
}

/** The file names of the libraries for the guest. */
export const libraryNames = ({ data }: Recipe): readonly string[] =>
  (data.payload.libraries[ARCHITECTURES[data.arch].abi] ?? []).map((path) =>
    path.replace(/^.*\//, ''),
  );

/** What to say where a library is to be run that is not there. */
export function missingLibrary(recipe: Recipe, at: RecipePath, library: string): Diagnostic {
  const names = libraryNames(recipe);
  return recipe.diagnosticAt(
    at,
    `The entry library "${library}" is not among payload.libraries`,
    names.length === 0
      ? `List it under payload.libraries.${ARCHITECTURES[recipe.data.arch].abi}: the guest is ${recipe.data.arch}`
      : `Name one of: ${names.join(', ')}`,
  );
}

/** @throws {RecipeError} with every input that cannot be used. */
export async function checkInputs(
  recipe: Recipe,
  elsewhere: NamedElsewhere = { image: false, payload: false },
): Promise<void> {
  const root = await realpath(recipe.directory);
  const problems: Diagnostic[] = [];
  for (const input of namedInputs(recipe, elsewhere)) {
    const problem = await inputProblem(join(recipe.directory, input.path), input, root);
    if (problem !== undefined) {
      problems.push(recipe.diagnosticAt(input.at, problem.message, problem.hint));
    }
  }
  const { payload } = recipe.data;
  if (payload.entry !== undefined && !libraryNames(recipe).includes(payload.entry)) {
    problems.push(missingLibrary(recipe, ['payload', 'entry'], payload.entry));
  }
  if (problems.length > 0) throw new RecipeError(problems);
}

async function inputProblem(
  absolute: string,
  { path, kind }: NamedInput,
  root: string,
): Promise<{ message: string; hint?: string } | undefined> {
  const outside = (real: string): boolean =>
    real !== root && relative(root, real).split(sep)[0] === '..';
  if (outside(join(root, path))) {
    return {
      message: `"${path}" is outside the folder of the recipe`,
      hint: 'Copy or move it below the recipe: a recipe is complete in its folder',
    };
  }
  let real: string;
  try {
    real = await realpath(absolute);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EACCES') return { message: `"${path}" cannot be read: permission denied` };
    return { message: `"${path}" does not exist`, hint: `Looked for ${absolute}` };
  }
  if (outside(real)) {
    return { message: `"${path}" leads outside the folder of the recipe, to ${real}` };
  }
  const stats = await stat(real);
  if (kind === 'file' && !stats.isFile()) return { message: `"${path}" is not a regular file` };
  if (kind === 'folder' && !stats.isDirectory()) return { message: `"${path}" is not a folder` };
  try {
    await access(real, stats.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
  } catch {
    return { message: `"${path}" cannot be read: permission denied`, hint: `chmod +r ${absolute}` };
  }
  return undefined;
}
