/**
 * YAML to located values.
 *
 * A recipe may come from a stranger: its depth is bounded before anything recurses into it, and there
 * are no aliases, which could stand for more values than anybody wrote.
 */

import {
  Composer,
  CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  Parser,
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
/** Anchors and aliases of which each is told; behind them nothing more is read. */
const MAX_REFERENCES = 50;

/** What YAML takes for text is `c-printable` of its specification, section 5.1. */
const UNPRINTABLE =
  // oxlint-disable-next-line no-control-regex -- that is what is refused
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]/;

/** @throws {RecipeError} with everything that is no YAML, or no YAML of a recipe. */
export function parseYaml(source: SourceText): LocatedMap {
  const at = (start: number, end = start + 1): Origin => ({ source, start, end });
  const unprintable = source.text.search(UNPRINTABLE);
  if (unprintable >= 0) {
    const code = source.text.charCodeAt(unprintable).toString(16).padStart(4, '0');
    throw new RecipeError([
      problemAt(at(unprintable), `The recipe holds the control character U+${code.toUpperCase()}`),
    ]);
  }
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
  const refuse = (message: string, hint?: string): never => {
    throw new RecipeError([problemAt(at(parser.offset), message, hint)]);
  };
  let references = 0;
  let isText = false;
  for (const lexeme of new Lexer().lex(source.text)) {
    if (!isText && (lexeme.startsWith('*') || lexeme.startsWith('&'))) references += 1;
    isText = lexeme === CST.SCALAR;
    if (references > MAX_REFERENCES) refuse('Aliases are not part of a recipe', 'Repeat it');
    yield* parser.next(lexeme);
    if (parser.stack.length > 2 * MAX_DEPTH) {
      refuse(`The recipe nests deeper than ${MAX_DEPTH} levels`);
    }
  }
  yield* parser.end();
}

/** Tags that say what is meant without them, too. */
const PLAIN_TAG = /^(?:!|tag:yaml\.org,2002:(?:str|int|float|bool|null|map|seq))$/;

function locate(
  node: ParsedNode,
  at: (start: number, end?: number) => Origin,
  problems: Diagnostic[],
  inList: boolean,
  depth = 1,
): Located | undefined {
  if (node.tag !== undefined && !PLAIN_TAG.test(node.tag)) {
    if (problems.length < MAX_PROBLEMS) {
      const [offset] = (node as Partial<ParsedNode>).range ?? [0];
      problems.push(problemAt(at(offset), 'Tags are not part of a recipe', 'Leave it out'));
    }
    return undefined;
  }
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
    if (typeof value !== 'number') return { kind: 'scalar', value, origin };
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
      return refuse('This number has more digits than can be kept', 'Put quotes around it');
    }
    return { kind: 'scalar', value, origin, text: node.source ?? String(value) };
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
    if (key.value === '__proto__') {
      tell('"__proto__" is no key of a recipe');
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
