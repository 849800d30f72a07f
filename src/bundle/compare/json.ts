/** Compares two JSON texts value by value. */

import { FormatError } from '../../core/errors.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { namedCause, textCause } from './causes.ts';
import { diffLines } from './text.ts';
import type { Meaning } from './dumps.ts';
import type { Scope } from './recorder.ts';

/** A build record holds the recipe and its lock; what is larger is not one of ours. */
const MAX_SIZE = 64 << 20;
const MAX_DEPTH = 64;

export async function readJson(source: ByteSource): Promise<unknown> {
  if (source.size > MAX_SIZE) {
    throw new FormatError('json', 'too-large', `Cannot read ${source.name}: ${source.size} bytes`);
  }
  try {
    const bytes = await source.read(0, source.size);
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    throw new FormatError('json', 'bad-value', `Cannot read ${source.name}: it is not JSON`, {
      cause,
    });
  }
}

export type JudgeValue = (path: string) => Meaning;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** Tells every place where two values differ. */
export function compareValues(
  scope: Scope,
  a: unknown,
  b: unknown,
  judge: JudgeValue = () => ({}),
  path = '',
  depth = 0,
): void {
  const { skip, ...meaning } = judge(path);
  if (skip === true || a === b) return;
  const isList = Array.isArray(a);
  if (isObject(a) && isObject(b) && isList === Array.isArray(b) && depth < MAX_DEPTH) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
    for (const key of keys) {
      const name = isList ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
      const of = (value: Readonly<Record<string, unknown>>): unknown =>
        Object.hasOwn(value, key) ? value[key] : undefined;
      compareValues(scope, of(a), of(b), judge, name, depth + 1);
    }
    const shared = (x: object, y: object): string =>
      Object.keys(x)
        .filter((key) => Object.hasOwn(y, key))
        .join();
    if (!isList && shared(a, b) !== shared(b, a)) {
      scope.found({
        level: 'structure',
        field: path === '' ? 'keys' : `keys of ${path}`,
        cause: namedCause('order', 'the same keys in another order'),
      });
    }
    return;
  }
  const [x, y] = [show(a), show(b)];
  const isText = typeof a === 'string' && typeof b === 'string' && `${a}${b}`.includes('\n');
  const cause = typeof a === 'string' && typeof b === 'string' ? textCause(a, b) : undefined;
  scope.found({
    level: 'content',
    ...(cause && { cause }),
    ...meaning,
    change: a === undefined ? 'added' : b === undefined ? 'removed' : 'changed',
    field: path,
    ...(isText
      ? { excerpt: diffLines(a, b) }
      : { ...(x !== undefined && { a: x }), ...(y !== undefined && { b: y }) }),
  });
}

const MAX_SHOWN = 300;

function show(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}

export async function compareJson(
  scope: Scope,
  a: ByteSource,
  b: ByteSource,
  judge?: JudgeValue,
): Promise<void> {
  compareValues(scope, await readJson(a), await readJson(b), judge);
}
