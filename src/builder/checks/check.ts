/**
 * Everything that can be told about a recipe without doing any work: all problems at once, each with its
 * place and what to do about it.
 */

import { RecipeError, type Diagnostic } from '../../core/errors.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import {
  readDraft,
  type Recipe,
  type RecipeChoices,
  type RecipeDraft,
} from '../../recipe/parse.ts';
import { checkArchives } from './archives.ts';
import type { Check, CheckContext, CheckedPayload, NamedElsewhere, Told } from './context.ts';
import { checkDuplicates } from './duplicates.ts';
import { inputProblem, namedInputs } from './files.ts';
import { checkKernel } from './kernel.ts';
import { checkKeys } from './keys.ts';
import { checkLibraries } from './libraries.ts';
import { checkLock } from './lock.ts';
import { checkMounts } from './mounts.ts';
import { checkPayloads } from './payloads.ts';
import { checkRules } from './rules.ts';

export interface RecipeCheckOptions {
  readonly elsewhere?: NamedElsewhere | undefined;
  /** Whether everything that does not come with the recipe must be pinned. */
  readonly isLockNeeded?: boolean | undefined;
  readonly cacheDirectory?: string | undefined;
}

export interface CheckedRecipe {
  readonly recipe: Recipe;
  readonly warnings: readonly Diagnostic[];
}

const CHECKS: readonly Check[] = [
  checkPayloads,
  checkLibraries,
  checkArchives,
  checkDuplicates,
  checkRules,
  checkMounts,
  checkKernel,
  checkKeys,
  checkLock,
];

/** How many files are looked at at a time. */
const MOST_AT_ONCE = 32;

/**
 * Reads a recipe and checks it.
 *
 * @throws {RecipeError} with every problem of its text, its values and the files that it names.
 * @throws {UsageError} as `readDraft` does.
 */
export async function checkedRecipe(
  path: string,
  choices: RecipeChoices = {},
  options: RecipeCheckOptions = {},
): Promise<CheckedRecipe> {
  const draft = await readDraft(path, choices);
  const { problems, warnings } = await checkDraft(draft, options);
  if (draft.recipe === undefined || problems.length > 0) throw new RecipeError(problems);
  return { recipe: draft.recipe, warnings };
}

/** The problems and warnings of a recipe, in the order in which they stand in its files. */
export async function checkDraft(
  draft: RecipeDraft,
  options: RecipeCheckOptions = {},
): Promise<Told> {
  const { recipe } = draft;
  const told: Told = { problems: [...draft.problems], warnings: [...draft.warnings] };
  if (recipe !== undefined) {
    const found = await checkRecipe(recipe, { ...options, isSound: (path) => draft.isSound(path) });
    told.problems.push(...found.problems);
    told.warnings.push(...found.warnings);
  }
  const first = recipe?.file;
  return { problems: inOrder(told.problems, first), warnings: inOrder(told.warnings, first) };
}

/** Checks the files that a recipe names, and what does not go together. */
export async function checkRecipe(
  recipe: Recipe,
  options: RecipeCheckOptions & { readonly isSound?: (path: RecipePath) => boolean } = {},
): Promise<Told> {
  const { elsewhere = { image: false, payload: false }, isSound = () => true } = options;
  const told: Told = { problems: [], warnings: [] };
  const payloads = payloadsOf(recipe);
  const files = await checkFiles(recipe, namedInputs(recipe, payloads, elsewhere), isSound, told);
  const context: CheckContext = {
    recipe,
    elsewhere,
    payloads,
    cacheDirectory: options.cacheDirectory,
    isLockNeeded: options.isLockNeeded ?? false,
    isSound,
    tell(path, message, hint) {
      if (isSound(path)) told.problems.push(recipe.diagnosticAt(path, message, hint));
    },
    tellAtKey(path, message, hint) {
      if (isSound(path)) told.problems.push(recipe.diagnosticAtKey(path, message, hint));
    },
    warn(path, message, hint) {
      if (isSound(path)) told.warnings.push(recipe.diagnosticAt(path, message, hint));
    },
    realPath: (path) => files.get(JSON.stringify(path)),
  };
  await Promise.all(CHECKS.map(async (check) => check(context)));
  return {
    problems: inOrder(told.problems, recipe.file),
    warnings: inOrder(told.warnings, recipe.file),
  };
}

function payloadsOf({ data }: Recipe): CheckedPayload[] {
  const one = (at: RecipePath, payload: CheckedPayload['data']): CheckedPayload => ({
    at,
    data: payload,
    made: new Set(payload.build?.outputs),
  });
  return [
    one(['payload'], data.payload),
    ...Object.entries(data.payloads).map(([name, payload]) => one(['payloads', name], payload)),
  ];
}

/** @returns the real paths of what can be used, by their places. */
async function checkFiles(
  recipe: Recipe,
  inputs: ReturnType<typeof namedInputs>,
  isSound: (path: RecipePath) => boolean,
  { problems }: Told,
): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (let from = 0; from < inputs.length; from += MOST_AT_ONCE) {
    const some = inputs.slice(from, from + MOST_AT_ONCE).filter(({ at }) => isSound(at));
    const found = await Promise.all(some.map((input) => inputProblem(recipe, input)));
    for (const [index, input] of some.entries()) {
      const result = found[index];
      if (result === undefined) continue;
      if ('real' in result) files.set(JSON.stringify(input.at), result.real);
      else problems.push(recipe.diagnosticAt(input.at, result.message, result.hint));
    }
  }
  return files;
}

/** By file, that of the recipe first, then by place; each only once. */
function inOrder(found: readonly Diagnostic[], first: string | undefined): Diagnostic[] {
  const rank = ({ file }: Diagnostic): number => (file === first ? 0 : 1);
  const sorted = found.toSorted(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) ||
      a.line - b.line ||
      a.column - b.column,
  );
  const seen = new Set<string>();
  return sorted.filter(({ file, line, column, message }) => {
    const key = JSON.stringify([file, line, column, message]);
    return !seen.has(key) && seen.add(key);
  });
}
