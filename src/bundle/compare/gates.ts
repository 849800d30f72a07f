/** Rules that a difference must keep: what a release pipeline fails on. */

import { UsageError } from '../../core/errors.ts';
import { causeNames, levels, type Comparison } from './finding.ts';

export interface Gates {
  /** Of all files together. */
  readonly maxGrowth?: { readonly bytes: number } | { readonly percent: number };
  readonly noNewPrivileges?: boolean;
  readonly noNewPackages?: boolean;
  /** Kinds of changes; see `kinds`. */
  readonly failOn?: readonly string[];
}

/** A rule that was broken, and how. */
export interface BrokenGate {
  readonly gate: string;
  readonly reason: string;
}

const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

/** Kinds that `failOn` may name, each with what of a comparison breaks it. */
const kinds: Readonly<Record<string, (comparison: Comparison) => string | undefined>> = {
  difference: ({ same }) => (same ? undefined : 'they differ'),
  unsigned: ({ sameUnsigned }) =>
    sameUnsigned ? undefined : 'they differ in more than keys and signatures',
  content: ({ counts }) =>
    counts.content === 0 ? undefined : plural(counts.content, 'finding') + ' on contents',
  key: ({ causes }) => {
    const found = causes.find(({ name }) => name === 'key');
    return found && 'another key or certificate';
  },
  package: ({ packages }) =>
    packages.length === 0
      ? undefined
      : packages.map(({ change, name }) => `${name} ${change}`).join(', '),
  privilege: ({ privileges }) =>
    privileges.length === 0
      ? undefined
      : privileges.map(({ change, path }) => `${path} ${change}`).join(', '),
  growth: (comparison) => {
    const { a, b } = totalOf(comparison);
    return b > a ? `${b - a} bytes more` : undefined;
  },
};

/** What `failOn` may name. */
export const failures: readonly string[] = [
  ...new Set([...Object.keys(kinds), ...levels.map((each) => `level-${each}`), ...causeNames]),
];

/** @throws {UsageError} `usage` when one of these is nothing that `failOn` may name. */
export function checkFailures(names: readonly string[]): void {
  const unknown = names.find((name) => !failures.includes(name));
  if (unknown === undefined) return;
  throw new UsageError('usage', `Cannot fail on "${unknown}": it is not known`, {
    hint: `Known are ${failures.join(', ')}`,
  });
}

/** Which rules a comparison breaks. */
export function gatesOf(comparison: Comparison, gates: Gates = {}): readonly BrokenGate[] {
  const broken: BrokenGate[] = [];
  const growth = growthOf(comparison, gates.maxGrowth);
  if (growth !== undefined) broken.push({ gate: 'max-growth', reason: growth });
  if (gates.noNewPrivileges === true) {
    for (const { change, path, a, b } of comparison.privileges) {
      if (change === 'removed') continue;
      const old = a === undefined ? '' : `, was ${a}`;
      broken.push({ gate: 'no-new-setuid', reason: `${path}: ${b ?? ''}${old}` });
    }
  }
  if (gates.noNewPackages === true) {
    for (const { change, kind, name, b = '' } of comparison.packages) {
      if (change === 'added') {
        broken.push({ gate: 'no-new-packages', reason: `${kind} ${name} ${b}`.trimEnd() });
      }
    }
  }
  for (const kind of gates.failOn ?? []) {
    const reason = reasonOf(comparison, kind);
    if (reason !== undefined) broken.push({ gate: `fail-on ${kind}`, reason });
  }
  return broken;
}

function reasonOf(comparison: Comparison, kind: string): string | undefined {
  const check = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (check !== undefined) return check(comparison);
  const level = levels.find((each) => kind === `level-${each}`);
  if (level !== undefined) {
    const count = comparison.counts[level];
    return count === 0 ? undefined : plural(count, 'finding');
  }
  if ((causeNames as readonly string[]).includes(kind)) {
    const found = comparison.causes.find(({ name }) => name === kind);
    return found && plural(found.findings, 'finding');
  }
  return undefined;
}

const totalOf = ({ sizes }: Comparison): { readonly a: number; readonly b: number } =>
  sizes.find(({ member }) => member === '') ?? { a: 0, b: 0 };

function growthOf(comparison: Comparison, limit: Gates['maxGrowth']): string | undefined {
  if (limit === undefined) return undefined;
  const { a, b } = totalOf(comparison);
  const allowed = 'bytes' in limit ? limit.bytes : (a * limit.percent) / 100;
  if (b - a <= allowed) return undefined;
  const grown = comparison.sizes
    .filter((each) => each.member !== '' && each.b > each.a)
    .toSorted((x, y) => y.b - y.a - (x.b - x.a))
    .slice(0, 3)
    .map((each) => `${each.member} +${each.b - each.a}`);
  const most = grown.length === 0 ? '' : `: ${grown.join(', ')}`;
  return `${a} to ${b} bytes, ${b - a} more, ${Math.floor(allowed)} are allowed${most}`;
}
