/** Which profiles of a recipe are in effect: those that are chosen, and those whose conditions hold. */

import { UsageError } from '../core/errors.ts';
import { closest } from './closest.ts';
import type { When } from './composition-schema.ts';
import type { VariableValue } from './vars.ts';

/** What conditions are about. */
export interface ProfileFacts {
  readonly arch: unknown;
  readonly runtime: unknown;
  readonly vars: Readonly<Record<string, VariableValue>>;
  /** By name, in the order in which they were chosen. */
  readonly chosen: readonly string[];
}

/** Whether all of a condition holds. */
export function conditionHolds(when: When, facts: ProfileFacts): boolean {
  const among = (wanted: unknown, actual: unknown): boolean =>
    Array.isArray(wanted) ? wanted.includes(actual) : wanted === actual;
  return (
    (when.arch === undefined || among(when.arch, facts.arch)) &&
    (when.runtime === undefined || among(when.runtime, facts.runtime)) &&
    (when.profile === undefined || facts.chosen.some((each) => among(when.profile, each))) &&
    Object.entries(when.var ?? {}).every(
      ([name, wanted]) => Object.hasOwn(facts.vars, name) && among(wanted, facts.vars[name]),
    )
  );
}

/** @throws {UsageError} `usage` when a profile is chosen that there is not. */
export function checkChosen(chosen: readonly string[], known: readonly string[]): void {
  for (const name of chosen) {
    if (known.includes(name)) continue;
    const near = closest(name, known);
    throw new UsageError('usage', `Cannot choose "${name}": the recipe has no such profile`, {
      hint:
        near !== undefined
          ? `Did you mean "${near}"?`
          : known.length > 0
            ? `It has ${known.slice(0, 20).join(', ')}`
            : 'Profiles are written below profiles',
    });
  }
}
