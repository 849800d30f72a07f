import type { CommandDefinition } from '../command.ts';

export const schemaCommand: CommandDefinition = {
  name: 'schema',
  summary: 'Print the JSON Schema of recipes, for editors, or of events, for programs',
  positionals: {
    of: {
      type: 'string',
      choices: ['recipe', 'events'],
      required: false,
      default: 'recipe',
      describe: 'Recipes, or the lines that --json prints on stderr',
    },
  },
  options: {},
  examples: [
    ['schema > recipe.schema.json', 'give it to an editor'],
    ['schema events > events.schema.json', 'give it to what reads events'],
  ],
  async run(args) {
    const schema =
      args.text('of') === 'events'
        ? (await import('../../core/events-schema.ts')).eventsJsonSchema()
        : (await import('../../recipe/json-schema.ts')).recipeJsonSchema();
    return { text: JSON.stringify(schema, undefined, 2), json: schema };
  },
};
