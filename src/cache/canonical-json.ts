/** JSON in one form, for what is compared or hashed. */

import { byBytes } from './remote-execution.ts';

/** What JSON can say; what is undefined is left out. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined };

/** The names of objects in the order of their bytes, and no space. */
export function canonicalJson(value: Json): string {
  return JSON.stringify(value, (_name, each: unknown) =>
    each !== null && typeof each === 'object' && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => byBytes(a, b)))
      : each,
  );
}
