/** The payloads: what they start is there, and what goes into their APKs has names of its own. */

import { basename, join, relative } from 'node:path';
import {
  MAX_PAYLOAD_CONFIG_SIZE,
  parsePayloadConfig,
  PAYLOAD_CONFIG_ENTRY,
} from '../../bundle/payload-config.ts';
import { ARCHITECTURES } from '../../core/arch.ts';
import { FormatError } from '../../core/errors.ts';
import { nameProblem, nameSet } from '../../formats/zip/names.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { closest } from '../../recipe/closest.ts';
import { stagedPath } from '../staged-path.ts';
import type { CheckContext, CheckedPayload } from './context.ts';
import { readHead } from './read-head.ts';

export async function checkPayloads(context: CheckContext): Promise<void> {
  for (const payload of context.payloads) {
    checkEntry(context, payload);
    checkNames(context, payload);
    checkBuild(context, payload);
    checkInterfaces(context, payload);
    await checkConfig(context, payload);
  }
  checkPackages(context);
}

/** The file names of the libraries for the guest. */
const libraryNames = ({ data }: Recipe, payload: CheckedPayload['data']): readonly string[] =>
  (payload.libraries[ARCHITECTURES[data.arch].abi] ?? []).map((path) => basename(path));

function checkEntry(context: CheckContext, { at, data }: CheckedPayload): void {
  const { entry, config } = data;
  if (entry !== undefined) requireLibrary(context, at, [...at, 'entry'], data, entry);
  if (typeof config === 'object' && config.task.type === 'microdroid_launcher') {
    requireLibrary(context, at, [...at, 'config', 'task', 'command'], data, config.task.command);
  }
}

function requireLibrary(
  context: CheckContext,
  payloadAt: RecipePath,
  at: RecipePath,
  data: CheckedPayload['data'],
  library: string,
): void {
  const { recipe } = context;
  const libraries = [...payloadAt, 'libraries'];
  if (!context.isSound(libraries) || !context.isSound(['arch'])) return;
  const names = libraryNames(recipe, data);
  if (names.includes(library)) return;
  const near = closest(library, names);
  context.tell(
    at,
    `The entry library "${library}" is not among ${libraries.join('.')}`,
    names.length === 0
      ? `List it under ${libraries.join('.')}.${ARCHITECTURES[recipe.data.arch].abi}: the guest is ${recipe.data.arch}`
      : near === undefined
        ? `Name one of: ${names.join(', ')}`
        : `Did you mean "${near}"?`,
  );
}

/** Everything that has a place in the APK by what the recipe says, and not by what a folder holds. */
function checkNames(context: CheckContext, { at, data }: CheckedPayload): void {
  const names = nameSet();
  const add = (name: string, where: RecipePath): void => {
    const problem = nameProblem(name) ?? names.add(name);
    if (problem === undefined) return;
    const hint = 'Rename the file: every reader of the APK must find the same one';
    context.tell([...at, ...where], `${JSON.stringify(name)} in the APK ${problem}`, hint);
  };
  for (const [abi, paths] of Object.entries(data.libraries)) {
    for (const [index, path] of (paths ?? []).entries()) {
      add(`lib/${abi}/${basename(path)}`, ['libraries', abi, index]);
    }
  }
  for (const [index, { to }] of data.files.entries()) add(to, ['files', index, 'to']);
  if (data.config !== undefined) add(PAYLOAD_CONFIG_ENTRY, ['config']);
}

/** A build runs in a copy of the folder of the file that writes its command, and reaches nothing above it. */
function checkBuild(context: CheckContext, { at, data }: CheckedPayload): void {
  const { recipe } = context;
  for (const key of ['inputs', 'outputs'] as const) {
    for (const [index, path] of (data.build?.[key] ?? []).entries()) {
      if (!isAbove(stagedPath(recipe, at, path))) continue;
      const where = [...at, 'build', key, index];
      const ofOwn = relative(recipe.folderOf(where), join(recipe.directory, path));
      // That it is outside of the folder of the file that writes it is told of every input.
      if (key === 'inputs' && isAbove(ofOwn)) continue;
      const { file } = recipe.positionOf([...at, 'build', 'command']);
      context.tell(
        where,
        `"${path}" is not below the folder of ${file}, in a copy of which the build runs`,
        'Write all of build in one file, and what it reads and makes below the folder of that',
      );
    }
  }
}

const isAbove = (path: string): boolean => path === '..' || path.startsWith('../');

/** The files go into one folder of the bundle. */
function checkInterfaces(context: CheckContext, { at, data }: CheckedPayload): void {
  const seen = new Map<string, string>();
  for (const [index, path] of data.interfaces.entries()) {
    const where = [...at, 'interfaces', index];
    if (!path.endsWith('.aidl')) {
      context.tell(where, `"${path}" is no .aidl file`, 'Name the AIDL files of what it serves');
    }
    const known = seen.get(basename(path));
    seen.set(basename(path), path);
    if (known === undefined) continue;
    const message = `"${path}" has the name of "${known}"`;
    context.tell(where, message, 'Give one of them another name');
  }
}

async function checkConfig(context: CheckContext, { at, data }: CheckedPayload): Promise<void> {
  const where = [...at, 'config'];
  const real = context.realPath(where);
  const count = data.extraApks.length;
  const mismatch = (wanted: number): void => {
    if (wanted === count || !context.isSound([...at, 'extraApks'])) return;
    const message = `The configuration wants ${wanted} extra APKs, ${[...at, 'extraApks'].join('.')} has ${count}`;
    context.tell(where, message, 'List as many as there are');
  };
  if (typeof data.config === 'object') {
    const { extra_apks: extra } = data.config;
    if (extra !== undefined) mismatch(extra.length);
  }
  if (real === undefined) return;
  try {
    const { task, extraApkCount } = parsePayloadConfig(
      await readHead(real, MAX_PAYLOAD_CONFIG_SIZE + 1),
    );
    mismatch(extraApkCount);
    if (task.type === 'microdroid_launcher') {
      requireLibrary(context, at, where, data, task.command);
    }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    context.tell(where, error.message, error.hint);
  }
}

/** Who a payload is decides its secrets. */
function checkPackages(context: CheckContext): void {
  const seen = new Map<string, RecipePath>();
  for (const { at, data } of context.payloads) {
    const known = seen.get(data.package);
    seen.set(data.package, at);
    if (known === undefined) continue;
    context.warn(
      [...at, 'package'],
      `${known.join('.')} has the package name "${data.package}", too: both get the same secrets`,
    );
  }
}
