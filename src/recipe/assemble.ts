/** A recipe's layers to its values: profiles are laid over them, variables replaced, paths made its own. */

import type { Diagnostic } from '../core/errors.ts';
import { closest } from './closest.ts';
import {
  COMPOSITION_KEYS,
  compositionSchema,
  MAX_PROFILES,
  MAX_VARIABLES,
  type When,
} from './composition-schema.ts';
import { describeIssue, issuePath } from './issues.ts';
import {
  keyAt,
  nearestValue,
  plainValue,
  valueAt,
  type Located,
  type LocatedMap,
} from './located.ts';
import { mergeMaps, settle } from './merge.ts';
import { checkChosen, conditionHolds, type ProfileFacts } from './profiles.ts';
import { rebasePaths } from './rebase.ts';
import { recipeSchema } from './schema.ts';
import { problemAt } from './source-text.ts';
import { openVariables, type Variables } from './vars.ts';

/** What a command line adds to a recipe. */
export interface RecipeChoices {
  /** Profiles, in the order in which they are laid over the recipe. */
  readonly profiles?: readonly string[] | undefined;
  /** Profiles that are chosen, too, if the recipe has them. */
  readonly optionalProfiles?: readonly string[] | undefined;
  readonly vars?: Readonly<Record<string, string>> | undefined;
}

export interface Assembled {
  /** What is to be validated. */
  readonly root: Located;
  readonly profiles: readonly string[];
  readonly vars: Variables['values'];
  /** Names of all that can be chosen, and of those that apply by what is chosen or set. */
  readonly choosable: readonly string[];
  /** For each profile that is not in effect, what the recipe would be with it. */
  readonly others: readonly { readonly patch: LocatedMap; readonly root: Located }[];
}

interface Profile {
  readonly when: When | undefined;
  readonly patch: LocatedMap;
}

interface Told {
  readonly problems: Diagnostic[];
  readonly warnings: Diagnostic[];
}

/** @throws {UsageError} `usage` when profiles or variables are chosen that there are not. */
export function assemble(
  layers: LocatedMap,
  directory: string,
  choices: RecipeChoices,
  { problems, warnings }: Told,
): Assembled {
  const profiles = readProfiles(layers, problems);
  const chosen = chosenProfiles(choices, [...profiles.keys()]);
  const base = without(layers, ['profiles']);
  const over = (names: readonly string[], told: Diagnostic[]): LocatedMap =>
    names.reduce((below, name) => {
      const patch = profiles.get(name)?.patch;
      return patch === undefined ? below : mergeMaps(below, patch, { problems: told, directory });
    }, base);
  const varsOf = (root: LocatedMap, told: Diagnostic[]): Variables =>
    openVariables({ declared: mapAt(root, ['vars']), given: choices.vars ?? {} }, told);

  // Conditions see what is chosen, and not what other conditions make of it.
  const implied = (root: LocatedMap): string[] => {
    const facts = factsOf(root, varsOf(root, []), chosen);
    return [...profiles].flatMap(([name, { when }]) =>
      when !== undefined && !chosen.includes(name) && conditionHolds(when, facts) ? [name] : [],
    );
  };
  const conditional = implied(over(chosen, []));
  const effective = [...conditional, ...chosen];
  const merged = over(effective, problems);
  checkSettled(layers, conditional, implied(merged), problems);

  const vars = varsOf(merged, problems);
  const values = without(merged, COMPOSITION_KEYS);
  const finish = (root: LocatedMap, told: Diagnostic[]): Located =>
    rebasePaths(vars.expand(settle(root, told), told), recipeSchema, directory);
  const root = finish(values, problems);
  const others = [...profiles].flatMap(([name, { patch }]) => {
    if (effective.includes(name)) return [];
    const whole = over([...effective, name], []);
    vars.expand(without(patch, ['vars', 'when']), problems);
    return [{ patch, root: finish(without(whole, COMPOSITION_KEYS), []) }];
  });

  checkConditions(layers, profiles, vars, problems);
  for (const part of [base, ...[...profiles.values()].map(({ patch }) => patch)]) {
    vars.noteUses(part);
  }
  for (const { name, key } of vars.unused()) {
    // A base declares what some of those that stand on it use.
    if (key.source !== layers.origin.source) continue;
    warnings.push(problemAt(key, `Nothing uses the variable "${name}"`, 'Leave it out'));
  }
  // What looks at the machine applies when the machine is that one: choosing it makes none of it.
  const choosable = [...profiles].flatMap(([name, { when }]) =>
    when?.arch === undefined && when?.runtime === undefined ? [name] : [],
  );
  return { root, profiles: effective, vars: vars.values, choosable, others };
}

function chosenProfiles(choices: RecipeChoices, known: readonly string[]): string[] {
  const named = choices.profiles ?? [];
  checkChosen(named, known);
  const optional = (choices.optionalProfiles ?? []).filter((name) => known.includes(name));
  return [...new Set([...optional, ...named])];
}

/** The profiles by name; none where they are not valid, which is told. */
function readProfiles(layers: LocatedMap, problems: Diagnostic[]): ReadonlyMap<string, Profile> {
  const plain = plainValue(layers) as Record<string, unknown>;
  let parsed = compositionSchema.safeParse(plain);
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      problems.push(...describeIssue(issue, { root: layers, schema: compositionSchema }));
      const [key = '', name] = issuePath(issue);
      // What is not valid is left out, so that the conditions of the others are known.
      if (key !== 'profiles' || name === undefined) delete plain[key];
      else delete (plain['profiles'] as Record<string, unknown> | undefined)?.[name];
    }
    parsed = compositionSchema.safeParse(plain);
  }
  const profiles = new Map<string, Profile>();
  for (const [key, most] of [
    ['profiles', MAX_PROFILES],
    ['vars', MAX_VARIABLES],
  ] as const) {
    const at = mapAt(layers, [key]);
    if (at === undefined || at.entries.size <= most) continue;
    problems.push(problemAt(at.origin, `There are more than ${most} ${key}`));
    return profiles;
  }
  const whens = parsed.data?.profiles ?? {};
  for (const name of mapAt(layers, ['profiles'])?.entries.keys() ?? []) {
    const patch = mapAt(layers, ['profiles', name]);
    if (patch === undefined) continue;
    const { when } = whens[name] ?? {};
    profiles.set(name, { when, patch: without(patch, ['when']) });
    for (const inner of ['extends', 'include', 'profiles']) {
      const at = keyAt(patch, [inner]);
      if (at === undefined) continue;
      problems.push(problemAt(at, `A profile cannot have "${inner}"`, 'Write it in the recipe'));
    }
  }
  return profiles;
}

function factsOf(root: LocatedMap, vars: Variables, chosen: readonly string[]): ProfileFacts {
  const value = (key: string, usual: string): unknown => {
    const at = valueAt(root, [key]);
    return at?.kind === 'scalar' ? plainValue(vars.expand(at, [])) : usual;
  };
  return {
    arch: value('arch', 'x86_64'),
    runtime: value('runtime', 'musl'),
    vars: vars.values,
    chosen,
  };
}

/** A profile whose condition changes by what profiles with conditions do has no order to be applied in. */
function checkSettled(
  layers: LocatedMap,
  before: readonly string[],
  after: readonly string[],
  problems: Diagnostic[],
): void {
  const wavering = [...before, ...after].find(
    (name) => before.includes(name) !== after.includes(name),
  );
  if (wavering === undefined) return;
  const at = nearestValue(layers, ['profiles', wavering, 'when']);
  problems.push(
    problemAt(
      at.origin,
      'Whether this holds depends on what profiles with conditions change',
      'Ask for what they leave as it is',
    ),
  );
}

/** Conditions name what there is. */
function checkConditions(
  layers: LocatedMap,
  profiles: ReadonlyMap<string, Profile>,
  vars: Variables,
  problems: Diagnostic[],
): void {
  for (const [name, { when }] of profiles) {
    for (const variable of Object.keys(when?.var ?? {})) {
      vars.noteUse(variable);
      if (Object.hasOwn(vars.values, variable)) continue;
      const at = keyAt(layers, ['profiles', name, 'when', 'var', variable]);
      const near = closest(variable, Object.keys(vars.values));
      const hint = near === undefined ? 'Declare it below vars' : `Did you mean "${near}"?`;
      if (at !== undefined) {
        problems.push(problemAt(at, `There is no variable "${variable}"`, hint));
      }
    }
    const wanted = when?.profile;
    for (const [index, each] of (typeof wanted === 'string'
      ? [wanted]
      : (wanted ?? [])
    ).entries()) {
      if (profiles.has(each)) continue;
      const at = nearestValue(layers, ['profiles', name, 'when', 'profile', index]);
      const near = closest(each, [...profiles.keys()]);
      const hint = near === undefined ? 'Write it below profiles' : `Did you mean "${near}"?`;
      problems.push(problemAt(at.origin, `There is no profile "${each}"`, hint));
    }
  }
}

function mapAt(root: LocatedMap, path: readonly string[]): LocatedMap | undefined {
  const value = valueAt(root, path);
  return value?.kind === 'map' ? value : undefined;
}

function without(map: LocatedMap, keys: readonly string[]): LocatedMap {
  const entries = new Map(map.entries);
  for (const key of keys) entries.delete(key);
  return { ...map, entries };
}
