import { recipeJsonSchema } from '../../recipe/json-schema.ts';
import type { CommandDefinition } from '../command.ts';

export const schemaCommand: CommandDefinition = {
  name: 'schema',
  summary: 'Print the JSON Schema of recipes, for editors',
  positionals: {},
  options: {},
  examples: [['schema > recipe.schema.json', 'give it to an editor']],
  run() {
    const schema = recipeJsonSchema();
    return Promise.resolve({ text: JSON.stringify(schema, undefined, 2), json: schema });
  },
};
