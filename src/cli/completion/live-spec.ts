/** What completion knows, out of the definitions themselves. */

import { globalOptions } from '../command.ts';
import { loadCommands } from '../commands.ts';
import { explainedNames } from '../explain.ts';
import { completionSpec, type CompletionSpec } from './spec.ts';

export async function liveSpec(): Promise<CompletionSpec> {
  const codes = [...new Set(explainedNames().map(({ name }) => name))];
  return completionSpec(await loadCommands(), globalOptions, codes);
}
