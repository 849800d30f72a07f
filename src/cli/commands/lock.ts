import { lockFile, readLock } from '../../builder/lock.ts';
import type { Asking, LockChange } from '../../builder/lock/changes.ts';
import { checkLock } from '../../builder/lock/check.ts';
import { presentTools, toolDifferences } from '../../builder/lock/tool-pins.ts';
import { updateLock } from '../../builder/lock/update.ts';
import { sizeBound } from '../../cache/prune.ts';
import { defaultCacheDirectory, openCache } from '../../cache/store.ts';
import { EnvironmentError, UsageError } from '../../core/errors.ts';
import { emptyLock, type Lock, type LockedTools } from '../../recipe/lockfile.ts';
import type { Recipe } from '../../recipe/parse.ts';
import type { CommandContext, CommandDefinition, CommandResult } from '../command.ts';
import { EXIT } from '../exit-code.ts';
import { runOneStep } from '../one-step.ts';
import { loadRecipe, recipeChoices } from '../load-recipe.ts';
import { packageRoot } from '../package-root.ts';
import { recipeOptions } from '../recipe-options.ts';
import { formatSize } from '../terminal.ts';

export const lockCommand: CommandDefinition = {
  name: 'lock',
  summary: 'Pin the inputs of a recipe in microbuild.lock',
  positionals: {
    recipe: { type: 'string', describe: 'Recipe file, or folder that holds microbuild.yaml' },
  },
  options: {
    ...recipeOptions,
    update: {
      type: 'array',
      string: true,
      describe:
        'Pin these anew: packages, addresses, paths, images, repositories, kernel or tools; everything when none is named',
    },
    check: {
      type: 'boolean',
      default: false,
      describe:
        'Only tell whether the lock fits the recipe; no network, exit code 1 when it does not',
    },
    'dry-run': {
      type: 'boolean',
      default: false,
      describe: 'Only tell what would change',
    },
    'pin-tools': {
      type: 'boolean',
      default: true,
      describe: 'In a new lock, pin microbuild and its guest, too; --no-pin-tools leaves them open',
    },
  },
  examples: [
    ['lock recipes/hello', 'pin what is not pinned yet'],
    ['lock recipes/hello --update', 'pin everything anew, and tell what changed and why'],
    ['lock recipes/hello --update musl', 'pin one package anew'],
    ['lock recipes/hello --check', 'in CI: does the lock fit the recipe?'],
  ],
  async run(args, context) {
    const recipe = await loadRecipe(args.text('recipe'), recipeChoices(args));
    const named = args.optionalList('update');
    if (args.flag('check')) {
      if (named !== undefined)
        throw new UsageError('usage', '--check and --update exclude each other');
      return check(recipe, context);
    }
    const { env } = context;
    const cache = await openCache(defaultCacheDirectory(env), { bound: sizeBound(env) });
    const update = named === undefined ? [] : named.length === 0 ? ('all' as const) : named;
    const dryRun = args.flag('dry-run');
    const tools = args.flag('pin-tools') ? await findTools(recipe, context) : undefined;
    const { file, lock, changes, written } = await runOneStep(
      context,
      'lock',
      'Pins',
      async (note) => {
        const result = await updateLock(recipe, update, { ...context, cache, tools, dryRun });
        note.detail = `${result.changes.length} changes`;
        return result;
      },
    ).finally(() => cache.close());
    const would = dryRun ? ' (not written: --dry-run)' : '';
    const head =
      changes.length === 0
        ? `${file}: ${countPins(lock)} pins, nothing to change`
        : `${file}: ${countPins(lock)} pins, ${changes.length} ${changes.length === 1 ? 'change' : 'changes'}${would}`;
    return {
      text: [head, ...changes.flatMap(describeChange)].join('\n'),
      json: { file, written, changes, lock },
    };
  },
};

/** What is used here; a machine without a guest pins no tools. */
async function findTools(
  recipe: Recipe,
  { env, reporter }: CommandContext,
): Promise<LockedTools | undefined> {
  try {
    return await presentTools(packageRoot, recipe, env);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    reporter.report({ kind: 'warning', message: `The tools are not pinned: ${error.message}` });
    return undefined;
  }
}

async function check(recipe: Recipe, context: CommandContext): Promise<CommandResult> {
  const lock = (await readLock(recipe)) ?? emptyLock;
  const problems = await checkLock(recipe, lock);
  const tools = lock.tools === undefined ? undefined : await findTools(recipe, context);
  const warnings = toolDifferences(lock, tools).map(({ message }) => message);
  for (const message of warnings) context.reporter.report({ kind: 'warning', message });
  const file = lockFile(recipe);
  const fits = problems.length === 0;
  const lines = problems.map(
    ({ message, askedBy }) => `  ${message}${askedBy === undefined ? '' : ` (${at(askedBy)})`}`,
  );
  const text = fits
    ? `${file}: ${countPins(lock)} pins, which fit the recipe`
    : [
        `${file}: does not fit the recipe`,
        ...lines,
        `hint: microbuild lock ${recipe.directory}`,
      ].join('\n');
  return { text, json: { file, fits, problems, warnings }, exitCode: fits ? EXIT.ok : EXIT.failed };
}

const countPins = (lock: Lock): number =>
  [lock.debs, lock.archives, lock.files, lock.oci, lock.git].reduce(
    (sum, section) => sum + Object.keys(section).length,
    0,
  );

const at = (asking: Asking): string =>
  'package' in asking
    ? `${asking.package} ${asking.relation}`
    : `${asking.file}:${asking.line} ${asking.at}`;

/** A change as one line, then one that tells who asks for it. */
function describeChange(change: LockChange): string[] {
  const { name, before, after, size, askedBy, moved } = change;
  const label = (text: string): string => (text.startsWith(`${name} `) ? text : `${name}: ${text}`);
  const sizes =
    size.after !== undefined
      ? ` (${formatSize(size.after)}${size.before === undefined || size.before === size.after ? '' : `, was ${formatSize(size.before)}`})`
      : '';
  const line =
    before === undefined
      ? `  + ${label(after ?? '')}${sizes}`
      : after === undefined
        ? `  - ${label(before)}`
        : moved
          ? `  = ${label(after)}: same bytes at another place of the mirror`
          : `  ~ ${label(before)} -> ${after}${sizes}`;
  const asked = askedBy.map(at).join(', asked for by ');
  const why = after === undefined && askedBy.length === 0 ? 'nothing asks for it any more' : asked;
  return why === '' ? [line] : [line, `      ${after === undefined ? why : `asked for by ${why}`}`];
}
