// Writes what is generated from the program's own definitions: the JSON Schema and the reference pages.
// `node scripts/generate.js --check` changes nothing and fails when a file is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { eventsJsonSchema } from '../dist/core/events-schema.js';
import { loadCommands } from '../dist/cli/commands.js';
import { errorReference } from '../dist/cli/explain.js';
import { recipeReference } from '../dist/cli/recipe-reference.js';
import { cliReference } from '../dist/cli/reference.js';
import { recipeJsonSchema } from '../dist/recipe/json-schema.js';

const schema = recipeJsonSchema();
const events = eventsJsonSchema();
const files = {
  'schema/recipe.schema.json': `${JSON.stringify(schema, undefined, 2)}\n`,
  'schema/events.schema.json': `${JSON.stringify(events, undefined, 2)}\n`,
  'docs/recipe.md': recipeReference(),
  'docs/cli.md': cliReference(await loadCommands()),
  'docs/errors.md': errorReference(),
};
const check = process.argv.includes('--check');
for (const [path, text] of Object.entries(files)) {
  let old = '';
  try {
    old = readFileSync(path, 'utf8');
  } catch {
    // not there yet
  }
  if (old === text) continue;
  if (check) {
    process.stderr.write(`${path} is stale: node scripts/generate.js\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(path, text);
    process.stdout.write(`wrote ${path}\n`);
  }
}
