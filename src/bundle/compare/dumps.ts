/** Compares two formats by what `inspect` shows of them: field by field, part by part. */

import type { DumpField, DumpNode } from '../../core/dump.ts';
import type { Cause, Level, Nature } from './finding.ts';
import { createNamer } from './names.ts';
import type { Proof, Scope } from './recorder.ts';

/** What a field's difference means. */
export interface Meaning {
  readonly level?: Level;
  readonly nature?: Nature;
  readonly cause?: Cause;
  /** Of a consequence. */
  readonly proof?: Proof | undefined;
  /** The field says nothing of its own. */
  readonly skip?: boolean;
}

export type Judge = (part: string, field: string, a?: string, b?: string) => Meaning;

/** A dump may come from anybody's bytes. */
const MAX_DEPTH = 40;

/** Parts and fields are met by their names. */
function byName<T extends { readonly name: string }>(all: readonly T[]): Map<string, T> {
  const nameOf = createNamer();
  return new Map(all.map((each) => [nameOf(each.name), each]));
}

const text = (field: DumpField | undefined): string | undefined =>
  field === undefined ? undefined : String(field.value);

export function compareDumps(
  scope: Scope,
  a: DumpNode,
  b: DumpNode,
  judge: Judge = () => ({}),
  part = '',
  depth = 0,
): void {
  const [fieldsA, fieldsB] = [byName(a.fields), byName(b.fields)];
  for (const name of new Set([...fieldsA.keys(), ...fieldsB.keys()])) {
    const [x, y] = [text(fieldsA.get(name)), text(fieldsB.get(name))];
    if (x === y) continue;
    const { skip, ...meaning } = judge(part, name, x, y);
    if (skip === true) continue;
    scope.found({
      level: 'structure',
      ...meaning,
      change: x === undefined ? 'added' : y === undefined ? 'removed' : 'changed',
      field: name,
      ...(x !== undefined && { a: x }),
      ...(y !== undefined && { b: y }),
    });
  }
  if (depth >= MAX_DEPTH) return;
  const [partsA, partsB] = [byName(a.children), byName(b.children)];
  for (const name of new Set([...partsA.keys(), ...partsB.keys()])) {
    const [x, y] = [partsA.get(name), partsB.get(name)];
    const { skip, ...meaning } = judge(name, '');
    if (skip === true) continue;
    if (x !== undefined && y !== undefined) {
      compareDumps(scope.at(name), x, y, judge, name, depth + 1);
      continue;
    }
    scope.at(name).found({
      level: 'structure',
      ...meaning,
      change: x === undefined ? 'added' : 'removed',
      field: '',
    });
  }
}
