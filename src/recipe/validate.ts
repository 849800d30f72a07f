/**
 * Values to a recipe's data. What is not valid is told, and something valid put in its place: so that the
 * rest can still be checked, and all problems are told at once.
 */

import type { Diagnostic } from '../core/errors.ts';
import { issuePath, locateIssue, type LocatedIssue } from './issues.ts';
import { plainValue, type Located, type RecipePath } from './located.ts';
import { recipeSchema, type RecipeData } from './schema.ts';
import { isOptional, placeholder, schemaAt } from './schema-tools.ts';
import { problemAt, type Origin } from './source-text.ts';

export interface Validated {
  /** Undefined when nothing could be made of it. */
  readonly data: RecipeData | undefined;
  /** Where something else stands than what was written. */
  readonly replaced: readonly RecipePath[];
}

/** What replaces a value may bring forth other problems, of what it does not fit with. */
const MAX_ROUNDS = 4;
/** More issues than anybody mends in one go. */
const MAX_ISSUES = 200;

/** Problems are added to `problems`. */
export function validate(root: Located, problems: Diagnostic[]): Validated {
  const plain = plainValue(root);
  let parsed = recipeSchema.safeParse(plain);
  if (parsed.success) return { data: parsed.data, replaced: [] };
  const issues = parsed.error.issues.slice(0, MAX_ISSUES);
  problems.push(
    ...unique(issues.flatMap((issue) => locateIssue(issue, { root, schema: recipeSchema }))),
  );
  const replaced: RecipePath[] = [];
  for (let round = 0; round < MAX_ROUNDS && !parsed.success; round += 1) {
    for (const issue of parsed.error.issues.slice(0, MAX_ISSUES)) {
      const keys = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
      for (const key of keys) {
        const path = [...issuePath(issue), ...(key === undefined ? [] : [key])];
        if (!replaceAt(plain, path, root)) return { data: undefined, replaced };
        // A key that nobody knows is not missed.
        if (key === undefined) replaced.push(path);
      }
    }
    parsed = recipeSchema.safeParse(plain);
  }
  return { data: parsed.data, replaced };
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

/** Leaves out what may be left out, and puts an example in the place of the rest. */
function replaceAt(plain: unknown, path: RecipePath, root: Located): boolean {
  const last = path.at(-1);
  if (last === undefined) return false;
  let parent: unknown = plain;
  for (const key of path.slice(0, -1)) {
    parent = isContainer(parent) ? parent[String(key)] : undefined;
  }
  if (!isContainer(parent)) return false;
  const schema = schemaAt(recipeSchema, root, path);
  if (schema === undefined || isOptional(schema)) {
    if (!Array.isArray(parent)) return Reflect.deleteProperty(parent, String(last));
    if (schema === undefined) return false;
  }
  parent[String(last)] = placeholder(schema);
  return true;
}

const isContainer = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;
