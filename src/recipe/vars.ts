/**
 * Variables: `${NAME}` in a text stands for the value, `$${` for `${` itself. A text that is nothing but
 * one `${NAME}` becomes the value with its type, so that numbers can be variables, too.
 */

import { UsageError, type Diagnostic } from '../core/errors.ts';
import { closest } from './closest.ts';
import { mapScalars, type Located, type LocatedMap, type LocatedScalar } from './located.ts';
import { problemAt, type Origin } from './source-text.ts';

export type VariableValue = string | number | boolean;

/** The most that all texts may grow by: variables that repeat each other grow without end. */
const MAX_GROWTH = 1 << 20;

const REFERENCE = /\$\$\{|\$\{([^{}]*)(\}?)/g;

/** Writes a text so that it stands for itself. */
export const escapeReferences = (text: string): string => text.replaceAll('${', () => '$${');

export interface Variables {
  readonly values: Readonly<Record<string, VariableValue>>;
  /** The value with all variables in it replaced. What cannot be is told, and stays. */
  expand<T extends Located>(value: T, problems: Diagnostic[]): T;
  /** Notes what a value would use, without replacing. */
  noteUses(value: Located): void;
  noteUse(name: string): void;
  /** Where those stand that nothing uses. */
  unused(): readonly { readonly name: string; readonly key: Origin }[];
}

interface VariableContext {
  /** The mapping of `vars`, if there is one. */
  readonly declared: LocatedMap | undefined;
  /** From the command line. */
  readonly given: Readonly<Record<string, string>>;
}

/** @throws {UsageError} `usage` when the command line sets a variable that there is not, or to a wrong type. */
export function openVariables(
  { declared, given }: VariableContext,
  problems: Diagnostic[],
): Variables {
  const entries = declared?.entries ?? new Map<never, never>();
  const names = [...entries].flatMap(([name, { does }]) => (does === 'set' ? [name] : []));
  const overrides = new Map<string, VariableValue>();
  for (const [name, text] of Object.entries(given)) {
    const value = entries.get(name)?.value;
    if (value?.kind !== 'scalar' || value.value === null) throw unknownVariable(name, names);
    overrides.set(name, typedLike(value.value, text, name));
  }

  const used = new Set<string>();
  const values = new Map<string, VariableValue>();
  /** Of numbers, as they were written. */
  const texts = new Map<string, string>();
  const broken = new Set<string>();
  const open: string[] = [];
  let growth = 0;

  const valueOf = (name: string): VariableValue | undefined => {
    const known = values.get(name);
    if (known !== undefined) return known;
    const override = overrides.get(name);
    const scalar = entries.get(name)?.value;
    if (override === undefined && (scalar?.kind !== 'scalar' || scalar.value === null)) {
      return undefined;
    }
    open.push(name);
    const value = override ?? expandScalar(scalar as LocatedScalar, problems).value;
    open.pop();
    // What is not valid is told where it stands, and stands for nothing here.
    const plain = value ?? '';
    values.set(name, plain);
    const text = override === undefined ? (scalar as LocatedScalar).text : given[name];
    if (typeof plain === 'number' && text !== undefined) texts.set(name, text);
    return plain;
  };

  const expandScalar = (scalar: LocatedScalar, into: Diagnostic[]): LocatedScalar => {
    const { value: text } = scalar;
    if (typeof text !== 'string' || !text.includes('${')) return scalar;
    let failed = false;
    let occurrence = 0;
    const fail = (reference: string, message: string, hint?: string): string => {
      failed = true;
      into.push(problemAt(referenceOrigin(scalar, reference, occurrence), message, hint));
      return '';
    };
    const replace = (reference: string, name: string | undefined, close: string): VariableValue => {
      if (name === undefined) return '${';
      occurrence += 1;
      if (close === '') {
        return fail(
          reference,
          `"${reference.slice(0, 40)}" has no end`,
          'Write ${NAME}, or $${ for ${ itself',
        );
      }
      used.add(name);
      if (broken.has(name)) {
        failed = true;
        return '';
      }
      const cycle = open.indexOf(name);
      if (cycle >= 0) {
        const way = [...open.slice(cycle), name].join(' -> ');
        for (const each of open.slice(cycle)) broken.add(each);
        return fail(
          reference,
          `The variable "${name}" stands for itself: ${way}`,
          'Give it a value',
        );
      }
      const value = valueOf(name);
      if (value !== undefined) return value;
      const near = closest(name, names);
      return fail(
        reference,
        `There is no variable "${name.slice(0, 60)}"`,
        near !== undefined
          ? `Did you mean "${near}"?`
          : names.length > 0
            ? `Known: ${names.slice(0, 20).join(', ')}; write $\${ for \${ itself`
            : 'Write it below vars, or $${ for ${ itself',
      );
    };
    /** Counts what stands for a reference. @returns whether that is too much. */
    const grows = (reference: string, by: string): boolean => {
      growth += by.length;
      if (growth <= MAX_GROWTH) return false;
      if (growth - by.length <= MAX_GROWTH) {
        fail(reference, `Variables make the recipe grow by more than ${MAX_GROWTH} characters`);
      }
      return true;
    };
    const [whole] = text.matchAll(REFERENCE);
    if (whole?.[0] === text && whole[1] !== undefined) {
      const value = replace(text, whole[1], whole[2] ?? '');
      if (grows(text, String(value))) return { ...scalar, isBroken: true };
      return failed ? { ...scalar, isBroken: true } : { ...scalar, value };
    }
    const parts: string[] = [];
    let at = 0;
    for (const match of text.matchAll(REFERENCE)) {
      const replaced = replace(match[0], match[1], match[2] ?? '');
      const value = texts.get(match[1] ?? '') ?? String(replaced);
      if (grows(match[0], value)) return { ...scalar, isBroken: true };
      parts.push(text.slice(at, match.index), value);
      at = match.index + match[0].length;
    }
    parts.push(text.slice(at));
    return failed ? { ...scalar, isBroken: true } : { ...scalar, value: parts.join('') };
  };

  for (const name of names) valueOf(name);
  used.clear();
  const usesOf = (value: Located): void => {
    mapScalars(value, (scalar) => {
      if (typeof scalar.value === 'string') {
        for (const [, name] of scalar.value.matchAll(REFERENCE)) {
          if (name !== undefined) used.add(name);
        }
      }
      return scalar;
    });
  };
  if (declared !== undefined) usesOf(declared);
  return {
    values: Object.fromEntries(values),
    expand: (value, into) =>
      mapScalars(value, (scalar) => expandScalar(scalar, into)) as typeof value,
    noteUses: usesOf,
    noteUse: (name) => used.add(name),
    unused: () =>
      [...entries].flatMap(([name, { does, key }]) =>
        does === 'set' && !used.has(name) ? [{ name, key }] : [],
      ),
  };
}

function unknownVariable(name: string, known: readonly string[]): UsageError {
  const near = closest(name, known);
  return new UsageError('usage', `Cannot set "${name}": the recipe has no such variable`, {
    hint:
      near !== undefined
        ? `Did you mean "${near}"?`
        : known.length > 0
          ? `It has ${known.slice(0, 20).join(', ')}`
          : 'Variables are declared below vars',
  });
}

/** What the command line says, in the type that the recipe gave the variable. */
function typedLike(declared: VariableValue, text: string, name: string): VariableValue {
  if (typeof declared === 'string') return text;
  const value = typeof declared === 'number' ? Number(text) : text === 'true';
  const isFit =
    typeof declared === 'number'
      ? text.trim() !== '' && Number.isFinite(value)
      : text === 'true' || text === 'false';
  if (isFit) return value;
  throw new UsageError('usage', `Cannot set "${name}" to "${text}"`, {
    hint: typeof declared === 'number' ? 'Write a number' : 'Write true or false',
  });
}

/** Where a reference stands in a text, as far as its quoting lets one see. */
function referenceOrigin({ origin }: LocatedScalar, reference: string, occurrence: number): Origin {
  const { source, start, end } = origin;
  let at = start - 1;
  let seen = 0;
  for (const match of source.text.slice(start, end).matchAll(REFERENCE)) {
    if (match[1] === undefined) continue;
    seen += 1;
    if (seen === occurrence) at = start + match.index;
  }
  return at < start ? origin : { source, start: at, end: Math.min(end, at + reference.length) };
}
