/** `microbuild init`: a recipe to start from, with a payload that builds and boots. Asks nothing, overwrites nothing. */

import { lstat, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { makeFolderForNow, type MadeFolders } from '../../io/make-folder.ts';
import type { CommandDefinition } from '../command.ts';
import { namesOf, placeholders } from '../init/names.ts';
import { instantiate, templateNames, templates, type TemplateName } from '../init/templates.ts';
import { packageRoot } from '../package-root.ts';
import { reasonOf } from '../../io/system-error.ts';

export const initCommand: CommandDefinition = {
  name: 'init',
  summary: 'Write a recipe to start from, with a payload that builds and boots',
  positionals: {
    directory: {
      type: 'string',
      required: false,
      describe: 'Folder for it, made where it is missing; default: this one',
    },
  },
  options: {
    template: {
      type: 'string',
      choices: templateNames,
      default: 'minimal',
      describe: `What to start from: ${templateNames
        .map((name) => `${name}, ${templates[name].summary}`)
        .join('; ')}`,
    },
    name: {
      type: 'string',
      requiresArg: true,
      describe: 'Name of the recipe, and with it of interface and package; default: the folder’s',
    },
    package: {
      type: 'string',
      requiresArg: true,
      describe: 'Package of the payload; default: dev.example. and the name',
    },
  },
  examples: [
    ['init hello', 'the smallest recipe, in the folder hello'],
    ['init signer --template keystore --package com.example.signer', 'a service in Rust'],
  ],
  async run(args, { signal }) {
    const directory = args.optionalText('directory') ?? '.';
    const template = args.text('template') as TemplateName;
    const target = resolve(directory);
    const names = namesOf(
      { name: args.optionalText('name'), package: args.optionalText('package') },
      basename(target),
    );
    const root = wayToRoot(target);
    const { run } = templates[template];
    const values = placeholders(names, { directory, root: root ?? packageRoot, run });
    const files = await instantiate(template, values, {
      packageRoot,
      hasSchema: root !== undefined,
    });
    await refuseToOverwrite(
      target,
      files.map(({ path }) => path),
    );
    await writeAll(target, files, signal);
    const next = [
      `microbuild lock ${quote(directory)}`,
      `microbuild image ${quote(directory)}`,
      `microbuild run out/${names.name} ${values.get('__run__')}`.trimEnd(),
    ];
    const paths = files.map(({ path }) => join(directory, path));
    return {
      text: [...paths, '', 'Next:', ...next.map((line) => `  ${line}`)].join('\n'),
      json: { template, name: names.name, package: names.package, directory, files: paths, next },
    };
  },
};

/** The way from a recipe to microbuild that stays right when both are moved or copied together. */
function wayToRoot(from: string): string | undefined {
  const way = relative(from, packageRoot);
  const isInside = way.split(sep).every((part) => part === '..');
  const isInstalled = /^(?:\.\.[\\/])*node_modules[\\/]/.test(way);
  return isInside || isInstalled ? way.split(sep).join('/') : undefined;
}

/** @throws {UsageError} naming what is in the way. */
async function refuseToOverwrite(folder: string, paths: readonly string[]): Promise<void> {
  const present: string[] = [];
  for (const path of paths) {
    const stats = await lstat(join(folder, path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      // A file where a folder has to be, and the like.
      throw new UsageError('output', `Cannot write ${join(folder, path)}: ${reasonOf(error)}`, {
        cause: error,
      });
    });
    if (stats !== undefined) present.push(path);
  }
  if (present.length === 0) return;
  throw new UsageError('output', `Cannot write to ${folder}: it has ${present.join(', ')}`, {
    hint: 'Name another folder: nothing is overwritten',
  });
}

/** Writes all files, or takes away again what it wrote. */
async function writeAll(
  folder: string,
  files: readonly { readonly path: string; readonly text: string }[],
  signal: AbortSignal,
): Promise<void> {
  const made: string[] = [];
  const folders: MadeFolders[] = [];
  try {
    for (const { path, text } of files) {
      signal.throwIfAborted();
      const file = join(folder, path);
      folders.push(await makeFolderForNow(dirname(file)));
      made.push(file);
      await writeFile(file, text, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
        // What was there is not ours.
        if (error.code === 'EEXIST') made.pop();
        throw error;
      });
    }
    for (const each of folders) each.keep();
  } catch (cause) {
    for (const path of made) await rm(path, { force: true });
    for (const each of folders.toReversed()) await each.discard();
    if (!(cause instanceof Error && 'code' in cause) || signal.aborted) throw cause;
    throw new UsageError('output', `Cannot write to ${folder}: ${reasonOf(cause)}`, { cause });
  }
}

/** For a shell. */
const quote = (text: string): string =>
  /^[A-Za-z0-9_./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
