/** What `microbuild lint` tells, as text and as values. */

import { checkDraft } from '../builder/checks/check.ts';
import { defaultCacheDirectory } from '../cache/store.ts';
import type { Diagnostic } from '../core/errors.ts';
import { readDraft } from '../recipe/parse.ts';
import type { CommandArguments } from './command.ts';
import { recipeChoices } from './load-recipe.ts';
import { renderDiagnostic } from './render/error.ts';
import type { Terminal } from './terminal.ts';

interface Lint {
  readonly problems: readonly Diagnostic[];
  readonly warnings: readonly Diagnostic[];
  readonly text: string;
}

export async function lintRecipe(
  args: CommandArguments,
  env: NodeJS.ProcessEnv,
  terminal: Terminal,
): Promise<Lint> {
  const path = args.text('recipe');
  const draft = await readDraft(path, recipeChoices(args));
  const { problems, warnings } = await checkDraft(draft, {
    isLockNeeded: args.flag('lock'),
    cacheDirectory: defaultCacheDirectory(env),
  });
  const labels = [terminal.style(['red', 'bold'], 'error:'), terminal.style('yellow', 'warning:')];
  const show = (found: readonly Diagnostic[], label = ''): string[] =>
    found.map((each) => renderDiagnostic(each, label, terminal));
  const count = (found: readonly Diagnostic[], what: string): string =>
    `${found.length} ${what}${found.length === 1 ? '' : 's'}`;
  const files = draft.recipe?.files.length ?? 1;
  const summary =
    problems.length + warnings.length === 0
      ? `${path}: good, ${files === 1 ? '1 file' : `${files} files`}`
      : `${path}: ${count(problems, 'error')}, ${count(warnings, 'warning')}`;
  const text = [...show(problems, labels[0]), ...show(warnings, labels[1]), summary].join('\n');
  return { problems, warnings, text };
}
