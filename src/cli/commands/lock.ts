import { updateLock } from '../../builder/lock/update.ts';
import { defaultCacheDirectory, openCache } from '../../cache/store.ts';
import { readRecipe } from '../../recipe/parse.ts';
import type { CommandDefinition } from '../command.ts';

export const lockCommand: CommandDefinition = {
  name: 'lock',
  summary: 'Pin the packages of a recipe in microbuild.lock',
  positionals: {
    recipe: { type: 'string', describe: 'Recipe file, or folder that holds microbuild.yaml' },
  },
  options: {
    update: {
      type: 'array',
      string: true,
      describe: 'Pin these anew, all of them when none is named',
    },
  },
  examples: [
    ['lock recipes/hello', 'pin what is not pinned yet'],
    ['lock recipes/hello --update', 'pin everything anew'],
    ['lock recipes/hello --update musl', 'pin one package anew'],
  ],
  async run(args, context) {
    const recipe = await readRecipe(args.text('recipe'));
    const cache = await openCache(defaultCacheDirectory(context.env));
    const named = args.optionalList('update');
    const update = named === undefined ? [] : named.length === 0 ? 'all' : named;
    const { file, lock, changes } = await updateLock(recipe, update, { cache, ...context });
    const lines = changes.map(({ name, before, after }) =>
      before === undefined
        ? `  + ${name}: ${after}`
        : after === undefined
          ? `  - ${name}: ${before}`
          : `  ~ ${name}: ${before} -> ${after}`,
    );
    const pinned = Object.keys(lock.debs).length;
    const text =
      changes.length === 0
        ? `${file}: ${pinned} packages, nothing to change`
        : [`${file}: ${pinned} packages`, ...lines].join('\n');
    return { text, json: { file, changes, debs: lock.debs } };
  },
};
