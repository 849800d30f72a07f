/**
 * YAML to located values.
 *
 * A recipe may come from a stranger: its depth is bounded before anything recurses into it, and there
 * are no aliases, which could stand for more values than anybody wrote.
 */

import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  Parser,
  type CST,
  type Document,
  type ParsedNode,
} from 'yaml';
import { RecipeError, type Diagnostic } from '../core/errors.ts';
import type { Entry, Located, LocatedMap } from './located.ts';
import { problemAt, type Origin, type SourceText } from './source-text.ts';

/** Deeper than any recipe, far below what a parser stack takes. */
const MAX_DEPTH = 64;
/** Naming more of them helps nobody. */
const MAX_PROBLEMS = 100;

/** @throws {RecipeError} with everything that is no YAML, or no YAML of a recipe. */
export function parseYaml(source: SourceText): LocatedMap {
  const at = (start: number, end = start + 1): Origin => ({ source, start, end });
  const document = compose(source, at);
  const problems: Diagnostic[] = [...document.errors, ...document.warnings]
    .slice(0, MAX_PROBLEMS)
    .map(({ pos, message }) => {
      const problem = problemAt(at(...pos), firstLine(message));
      const isVariable = /\$\{[^}]*$/.test(problem.source?.slice(0, problem.column) ?? '');
      return isVariable ? { ...problem, hint: QUOTE_HINT } : problem;
    });
  const root = document.contents;
  const value = root === null ? undefined : locate(root, at, problems, false);
  if (value !== undefined && value.kind !== 'map' && problems.length === 0) {
    problems.push(problemAt(value.origin, 'The recipe is no mapping', 'Write keys and values'));
  }
  if (value === undefined && problems.length === 0) {
    problems.push(problemAt(at(0), 'The recipe is empty'));
  }
  if (problems.length > 0) throw new RecipeError(problems);
  return value as LocatedMap;
}

function compose(source: SourceText, at: (start: number) => Origin): Document.Parsed {
  // The library's own check for equal keys is quadratic; ours is below.
  const composer = new Composer({ uniqueKeys: false, version: '1.2', stringKeys: false });
  const [document, second] = composer.compose(tokens(source, at), true, source.text.length);
  if (document === undefined) throw new RecipeError([problemAt(at(0), 'The recipe is empty')]);
  if (second !== undefined) {
    const start = second.range[0];
    throw new RecipeError([
      problemAt(at(start), 'The recipe holds a second YAML document', 'Write one'),
    ]);
  }
  return document;
}

/** The parser keeps a stack of its own; what comes after it recurses. */
function* tokens(source: SourceText, at: (start: number) => Origin): Generator<CST.Token> {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(source.text)) {
    yield* parser.next(lexeme);
    if (parser.stack.length > 2 * MAX_DEPTH) {
      throw new RecipeError([
        problemAt(at(parser.offset), `The recipe nests deeper than ${MAX_DEPTH} levels`),
      ]);
    }
  }
  yield* parser.end();
}

function locate(
  node: ParsedNode,
  at: (start: number, end?: number) => Origin,
  problems: Diagnostic[],
  inList: boolean,
  depth = 1,
): Located | undefined {
  const [start, end] = node.range;
  const origin = at(start, Math.max(start + 1, end));
  const refuse = (message: string, hint?: string): undefined => {
    if (problems.length < MAX_PROBLEMS) problems.push(problemAt(origin, message, hint));
    return undefined;
  };
  if (depth > MAX_DEPTH) return refuse(`The recipe nests deeper than ${MAX_DEPTH} levels`);
  if (isAlias(node)) return refuse('Aliases are not part of a recipe', 'Repeat it');
  if (isScalar(node)) {
    const { value } = node;
    const isPlain =
      value === null ||
      typeof value === 'string' ||
      typeof value === 'boolean' ||
      (typeof value === 'number' && Number.isFinite(value));
    if (!isPlain) return refuse('A value of a recipe is a text, a number, true, false or null');
    return { kind: 'scalar', value, origin };
  }
  if (isSeq(node)) {
    const items = node.items.flatMap((item) => locate(item, at, problems, true, depth + 1) ?? []);
    return { kind: 'list', items, origin };
  }
  if (!isMap(node)) return refuse('This is no part of a recipe');
  const entries = new Map<string, Entry>();
  for (const { key, value } of node.items as unknown as Pairs) {
    const [keyStart, keyEnd] = key?.range ?? [start, start];
    const keyOrigin = at(keyStart, Math.max(keyStart + 1, keyEnd));
    const tell = (message: string, hint?: string): void => {
      if (problems.length < MAX_PROBLEMS) problems.push(problemAt(keyOrigin, message, hint));
    };
    if (!isScalar(key) || typeof key.value !== 'string') {
      tell('A key of a recipe is a plain word');
      continue;
    }
    const located =
      value === null
        ? ({ kind: 'scalar', value: null, origin: keyOrigin } as const)
        : locate(value, at, problems, inList, depth + 1);
    if (located === undefined) continue;
    const name = !inList && /.\+$/s.test(key.value) ? key.value.slice(0, -1) : key.value;
    if (entries.has(name)) {
      tell(`The key "${name}" is written twice`, 'Keep one');
      continue;
    }
    if (name !== key.value) {
      if (located.kind === 'list')
        entries.set(name, { does: 'append', key: keyOrigin, value: located });
      else tell(`"${key.value}" appends to a list`, `Write "${key.value}: [VALUE]"`);
    } else if (!inList && located.kind === 'scalar' && located.value === null) {
      entries.set(name, { does: 'remove', key: keyOrigin, value: located, found: false });
    } else {
      entries.set(name, { does: 'set', key: keyOrigin, value: located });
    }
  }
  return { kind: 'map', entries, origin, replaces: false };
}

/** The braces of a variable are those of YAML there. */
const QUOTE_HINT = 'Put quotes around a text with ${NAME} that stands between { } or [ ]';

type Pairs = readonly { readonly key: ParsedNode | null; readonly value: ParsedNode | null }[];

const firstLine = (text: string): string => text.split('\n', 1)[0]?.replace(/:$/, '') ?? text;
