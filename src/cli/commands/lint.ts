import type { CommandDefinition } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { recipeOptions } from '../recipe-options.ts';

export const lintCommand: CommandDefinition = {
  name: 'lint',
  summary: 'Tell everything that is wrong with a recipe, without building it',
  positionals: {
    recipe: { type: 'string', describe: 'Recipe file, or folder that holds microbuild.yaml' },
  },
  options: {
    ...recipeOptions,
    lock: {
      type: 'boolean',
      default: true,
      describe: 'Also tell what is not pinned; --no-lock does without',
    },
  },
  examples: [
    ['lint recipes/hello', 'in a tenth of a second'],
    ['lint . --profile release --json', 'for an editor: file, line, column, message and hint'],
  ],
  title: (args) => `Check ${args.text('recipe')}`,
  async run(args, { env, terminal }) {
    const { lintRecipe } = await import('../lint-recipe.ts');
    const { problems, warnings, text } = await lintRecipe(args, env, terminal);
    const isGood = problems.length === 0;
    return {
      text,
      json: { ok: isGood, problems, warnings },
      exitCode: isGood ? EXIT.ok : EXIT.usage,
    };
  },
};
