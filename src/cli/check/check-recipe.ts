/** What `microbuild check` does with a recipe, once its command line is understood. */

import { resolve } from 'node:path';
import { checkReproducible } from '../../builder/check/check.ts';
import type { CheckReport } from '../../builder/check/report.ts';
import type { VariationName } from '../../builder/check/variation.ts';
import { findKeyFolder } from '../../builder/workspace.ts';
import { defaultCacheDirectory } from '../../cache/store.ts';
import { UsageError } from '../../core/errors.ts';
import type { Recipe } from '../../recipe/parse.ts';
import { resolveKeyReference } from '../../signing/keys/reference.ts';
import type { CommandArguments, CommandContext } from '../command.ts';
import { recipeOf } from '../load-recipe.ts';
import { packageRoot } from '../package-root.ts';

export async function checkRecipe(
  args: CommandArguments,
  context: CommandContext,
  { vary, times }: { readonly vary: readonly VariationName[]; readonly times: number },
): Promise<CheckReport> {
  const { env, reporter, signal } = context;
  const recipe = await recipeOf(args, context, {
    elsewhere: {
      image: args.optionalText('image-key') !== undefined,
      payload: args.optionalText('payload-key') !== undefined,
    },
    isLockNeeded: true,
  });
  return checkReproducible({
    recipe,
    packageRoot,
    cacheDirectory: defaultCacheDirectory(env),
    env,
    reporter,
    signal,
    offline: args.flag('offline'),
    args: [...choicesOf(args), ...(await keysOf(args, recipe, env))],
    vary,
    times,
    bisect: args.optionalFlag('bisect'),
    keep: args.optionalText('keep'),
  });
}

/** Profiles and variables, as `image` takes them. */
const choicesOf = (args: CommandArguments): string[] =>
  (['profile', 'var'] as const).flatMap((name) =>
    (args.optionalList(name) ?? []).flatMap((value) => [`--${name}`, value]),
  );

/** Keys by absolute paths: builds run in other folders, and the recipe is a copy that has none. */
async function keysOf(
  args: CommandArguments,
  recipe: Recipe,
  env: NodeJS.ProcessEnv,
): Promise<string[]> {
  const { signing } = recipe.data;
  const inRecipe = (name: 'image' | 'payload'): string | undefined => {
    const { key } = signing[name];
    return key && resolveKeyReference(key, recipe.folderOf(['signing', name, 'key']));
  };
  const given = (name: string): string | undefined => {
    const value = args.optionalText(name);
    return value === undefined ? undefined : resolveKeyReference(value, process.cwd());
  };
  const certificate = (name: string): string | undefined => {
    const value = args.optionalText(name);
    return value === undefined ? undefined : resolve(value);
  };
  const own =
    args.optionalText('payload-key') === undefined ? signing.payload.certificate : undefined;
  const folder =
    args.optionalText('keys') ?? (await findKeyFolder(process.cwd(), [recipe.directory], env));
  const options: Readonly<Record<string, string | undefined>> = {
    keys: resolve(folder),
    'image-key': given('image-key') ?? inRecipe('image'),
    'payload-key': given('payload-key') ?? inRecipe('payload'),
    'image-cert': certificate('image-cert'),
    'payload-cert': certificate('payload-cert') ?? (own && resolve(recipe.directory, own)),
    'key-pass': passphrase(args.optionalText('key-pass')),
  };
  return Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
}

function passphrase(given: string | undefined): string | undefined {
  if (given === undefined || given.startsWith('env:')) return given;
  if (given.startsWith('file:')) return `file:${resolve(given.slice('file:'.length))}`;
  throw new UsageError(
    'usage',
    `Cannot take the pass phrase from ${given}: it is needed for each build`,
    {
      hint: 'Write env:NAME or file:PATH',
    },
  );
}
