/**
 * Values to a recipe's data. What is not valid is told, and something valid put in its place: so that the
 * rest can still be checked, and all problems are told at once.
 */

import type { z } from 'zod';
import type { Diagnostic } from '../core/errors.ts';
import { innermost, issuePath, locateIssue, type LocatedIssue } from './issues.ts';
import { plainValue, type Located, type RecipePath } from './located.ts';
import { recipeSchema, type RecipeData } from './schema.ts';
import { conflictPlaces } from './schema-tools.ts';
import { problemAt, type Origin } from './source-text.ts';
import { isPrefix, openStandIns, type StandIns } from './stand-ins.ts';

export interface Validated {
  /** Undefined when nothing could be made of it. */
  readonly data: RecipeData | undefined;
  /** Whether all at a path and below it is as it was written. */
  readonly isSound: (path: RecipePath) => boolean;
}

/** What replaces a value may bring forth other problems, of what it does not fit with. */
const MAX_ROUNDS = 8;
/** More issues than anybody mends in one go. */
const MAX_ISSUES = 200;

/** Problems are added to `problems`. */
export function validate(root: Located, problems: Diagnostic[]): Validated {
  const context = { root, schema: recipeSchema };
  const plain = plainValue(root);
  const standIns = openStandIns(plain, root, recipeSchema);
  const told = new Set<string>();
  let parsed = recipeSchema.safeParse(plain);
  for (let round = 0; round < MAX_ROUNDS && !parsed.success; round += 1) {
    const issues = parsed.error.issues
      .slice(0, MAX_ISSUES)
      .flatMap((issue) => innermost(issue, context));
    const news = issues.filter((issue) => {
      const identity = JSON.stringify([issuePath(issue), issue.code, issue.message]);
      return (
        !told.has(identity) && told.add(identity) && (round === 0 || isWritten(issue, standIns))
      );
    });
    problems.push(...unique(news.flatMap((issue) => locateIssue(issue, context))));
    for (const issue of issues) standIns.replace(issue);
    parsed = recipeSchema.safeParse(plain);
  }
  return { data: parsed.data, isSound: (path) => standIns.isUntouched(path) };
}

/**
 * Whether an issue that is seen once all else is valid is about what was written, and not about what stands
 * in for it: it must be one of things that do not go together, none of which was replaced.
 */
function isWritten(issue: z.core.$ZodIssue, { places, isUntouched }: StandIns): boolean {
  const path = issuePath(issue);
  return (
    conflictPlaces(issue)?.every((place) => isUntouched(place)) === true &&
    !places.some((each) => isPrefix(each, path))
  );
}

/** The problems that a profile brings which is not in effect. */
export function validateOther(
  { patch, root }: { readonly patch: Located; readonly root: Located },
  problems: Diagnostic[],
): void {
  const parsed = recipeSchema.safeParse(plainValue(root));
  if (parsed.success) return;
  const own = originsOf(patch);
  const found = parsed.error.issues
    .slice(0, MAX_ISSUES)
    .flatMap((issue) => locateIssue(issue, { root, schema: recipeSchema }))
    .filter(({ origin }) => own.has(origin));
  problems.push(...unique(found));
}

function unique(found: readonly LocatedIssue[]): Diagnostic[] {
  const seen = new Set<string>();
  return found.flatMap(({ origin, message, hint }) => {
    const key = `${origin.source.file}\0${origin.start}\0${message}\0${hint}`;
    if (seen.has(key)) return [];
    seen.add(key);
    return [problemAt(origin, message, hint)];
  });
}

function originsOf(value: Located, into = new Set<Origin>()): ReadonlySet<Origin> {
  into.add(value.origin);
  if (value.kind === 'list') for (const item of value.items) originsOf(item, into);
  if (value.kind === 'map') {
    for (const { key, value: each } of value.entries.values()) {
      into.add(key);
      originsOf(each, into);
    }
  }
  return into;
}
