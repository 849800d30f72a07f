import { openBlobs } from '../../builder/fetch.ts';
import { requireLock } from '../../builder/lock.ts';
import { vendor } from '../../builder/vendor.ts';
import { sizeBound } from '../../cache/prune.ts';
import { defaultCacheDirectory, openCache } from '../../cache/store.ts';
import type { CommandDefinition } from '../command.ts';
import { loadRecipe, recipeChoices } from '../load-recipe.ts';
import { runOneStep } from '../one-step.ts';
import { recipeOptions } from '../recipe-options.ts';
import { formatSize } from '../terminal.ts';

export const vendorCommand: CommandDefinition = {
  name: 'vendor',
  summary: 'Copy all inputs that the lock pins beside the recipe, into vendor/',
  positionals: {
    recipe: { type: 'string', describe: 'Recipe file, or folder that holds microbuild.yaml' },
  },
  options: {
    ...recipeOptions,
    prune: {
      type: 'boolean',
      default: false,
      describe: 'Remove what the lock does not need any more',
    },
    offline: {
      type: 'boolean',
      default: false,
      describe: 'Take from the cache only',
    },
  },
  examples: [
    ['vendor recipes/hello', 'then it builds without a network, on any machine'],
    ['vendor recipes/hello --prune', 'and without what older locks pinned'],
  ],
  async run(args, context) {
    const { env, reporter, signal } = context;
    const recipe = await loadRecipe(args.text('recipe'), recipeChoices(args));
    const lock = await requireLock(recipe);
    const cache = await openCache(defaultCacheDirectory(env), { bound: sizeBound(env) });
    const offline = args.flag('offline');
    const blobs = openBlobs({ cache, recipe, env, signal, reporter, offline });
    const prune = args.flag('prune');
    const result = await runOneStep(context, 'fetch', 'Inputs', async (note) => {
      const made = await vendor(recipe, lock, { blobs, prune, signal });
      note.detail = `${made.added.length} of ${made.blobs.length} copied`;
      return made;
    }).finally(() => cache.close());
    const size = result.blobs.reduce((sum, blob) => sum + blob.size, 0);
    const lines = [
      `${result.folder}: ${result.blobs.length} blobs, ${formatSize(size)}, ${result.added.length} new`,
    ];
    if (result.unneeded.length > 0) {
      lines.push(
        prune
          ? `  removed ${result.unneeded.length} that the lock does not need`
          : `  ${result.unneeded.length} more are there that the lock does not need: --prune removes them`,
      );
    }
    return { text: lines.join('\n'), json: { ...result, pruned: prune } };
  },
};
