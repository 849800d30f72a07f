/**
 * Puts something valid in the place of what is not, so that the rest of a recipe can be checked. Nothing is
 * said about what stands in.
 */

import type { z } from 'zod';
import { isAboutKey, issuePath } from './issues.ts';
import type { Located, RecipePath } from './located.ts';
import { conflictPlaces, isOptional, placeholder, schemaAt, unwrapped } from './schema-tools.ts';

export interface StandIns {
  /** Where something else stands than what was written. */
  readonly places: readonly RecipePath[];
  /** Changes the value that an issue is about; again, and it changes more. */
  readonly replace: (issue: z.core.$ZodIssue) => void;
  /** Whether all at a path and below it is as it was written, and nothing above was replaced. */
  readonly isUntouched: (path: RecipePath) => boolean;
}

/**
 * @param plain Is changed.
 * @param root What was written.
 */
export function openStandIns(plain: unknown, root: Located, schema: z.core.$ZodType): StandIns {
  const places: RecipePath[] = [];
  const attempts = new Map<string, number>();
  const attemptsAt = (path: RecipePath): number => attempts.get(JSON.stringify(path)) ?? 0;

  /** A value, a key that is left out, and then what is around it: one of them is valid. */
  const replaceAt = (path: RecipePath, how: 'leave out' | 'as needed'): void => {
    let at = path;
    while (at.length > 1 && attemptsAt(at) > 1) at = at.slice(0, -1);
    const attempt = attemptsAt(at);
    attempts.set(JSON.stringify(at), attempt + 1);
    places.push(at);
    const [key, parent] = [String(at.at(-1)), containerAt(plain, at.slice(0, -1))];
    if (parent === undefined) return;
    const known = schemaAt(schema, root, at);
    const isThere = Object.hasOwn(parent, key);
    const mayGo = !Array.isArray(parent) && (known === undefined || isOptional(known));
    if (mayGo && isThere && (known === undefined || how === 'leave out' || attempt > 0)) {
      Reflect.deleteProperty(parent, key);
    } else if (known !== undefined) {
      parent[key] = placeholder(unwrapped(known));
    }
  };

  const remove = (path: RecipePath): void => {
    const parent = containerAt(plain, path.slice(0, -1));
    if (parent !== undefined) Reflect.deleteProperty(parent, String(path.at(-1)));
  };

  return {
    places,
    isUntouched: (path) => !places.some((each) => isPrefix(each, path) || isPrefix(path, each)),
    replace(issue) {
      const path = issuePath(issue);
      if (issue.code === 'unrecognized_keys') {
        // A key that nobody knows is not missed.
        for (const key of issue.keys) remove([...path, key]);
      } else if (issue.code === 'invalid_key' || isAboutKey(issue)) {
        places.push(path);
        remove(path);
      } else {
        // Of two that do not go together, the one that was not written goes.
        const conflict = conflictPlaces(issue);
        const own = conflict?.find(
          (place) => attemptsAt(place) === 1 && isThereAt(plain, place) && isIn(places, place),
        );
        replaceAt(own ?? path, conflict === undefined ? 'as needed' : 'leave out');
      }
    },
  };
}

export const isPrefix = (short: RecipePath, long: RecipePath): boolean =>
  short.length <= long.length && short.every((key, index) => key === long[index]);

const isIn = (places: readonly RecipePath[], path: RecipePath): boolean =>
  places.some((each) => each.length === path.length && isPrefix(each, path));

const isContainer = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

function containerAt(plain: unknown, path: RecipePath): Record<string, unknown> | undefined {
  let value = plain;
  for (const key of path) value = isContainer(value) ? value[String(key)] : undefined;
  return isContainer(value) ? value : undefined;
}

const isThereAt = (plain: unknown, path: RecipePath): boolean =>
  Object.hasOwn(containerAt(plain, path.slice(0, -1)) ?? {}, String(path.at(-1)));
