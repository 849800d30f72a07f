/** Constant expressions: literals, references, arrays, and C's operators with C's precedence. */

import type { Place } from './source.ts';
import type { TokenStream } from './token-stream.ts';
import { showToken } from './token-stream.ts';
import type { Expression } from './tree.ts';

/** From the weakest to the strongest. */
const PRECEDENCE: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '>', '<=', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];
const UNARY: ReadonlySet<string> = new Set(['+', '-', '!', '~']);
const LEVELS: ReadonlyMap<string, number> = new Map(
  PRECEDENCE.flatMap((operators, level) => operators.map((operator) => [operator, level] as const)),
);

/** Real expressions nest a handful of levels; whoever walks them does so by recursion. */
const MAX_DEPTH = 300;
/** How deep parentheses, signs and braces may nest: each costs the parser a few frames. */
const MAX_NESTING = 100;

export function parseExpression(tokens: TokenStream): Expression {
  return binary(tokens, 0, 0);
}

/** Precedence climbing: operators of at least `weakest`. */
function binary(tokens: TokenStream, weakest: number, nesting: number): Expression {
  let left = unary(tokens, nesting);
  for (;;) {
    const token = tokens.peek();
    const level = token.kind === 'symbol' ? LEVELS.get(token.text) : undefined;
    if (level === undefined || level < weakest) return left;
    tokens.take();
    const right = binary(tokens, level + 1, nesting);
    const depth = bounded(tokens, token.place, left, right);
    left = { kind: 'binary', operator: token.text, left, right, place: left.place, depth };
  }
}

function unary(tokens: TokenStream, nesting: number): Expression {
  const token = tokens.peek();
  if (nesting > MAX_NESTING) tokens.fail(token, 'Cannot use an expression nested so deep');
  if (token.kind === 'symbol' && UNARY.has(token.text)) {
    tokens.take();
    const operand = unary(tokens, nesting + 1);
    const depth = bounded(tokens, token.place, operand);
    return { kind: 'unary', operator: token.text, operand, place: token.place, depth };
  }
  return primary(tokens, nesting);
}

function primary(tokens: TokenStream, nesting: number): Expression {
  const token = tokens.peek();
  const { place } = token;
  switch (token.kind) {
    case 'integer':
    case 'float':
    case 'char':
    case 'string':
      tokens.take();
      return { kind: token.kind, text: token.text, place, depth: 1 };
    case 'word': {
      const name = tokens.qualifiedName('a constant');
      return { kind: 'reference', name: name.text, place: name.place, depth: 1 };
    }
    case 'keyword':
      if (token.text !== 'true' && token.text !== 'false') break;
      tokens.take();
      return { kind: 'boolean', value: token.text === 'true', place, depth: 1 };
    case 'symbol':
      if (token.text === '(') {
        tokens.take();
        const inner = binary(tokens, 0, nesting + 1);
        tokens.expect(')', 'behind the expression');
        return inner;
      }
      if (token.text === '{') return array(tokens, nesting + 1);
      break;
    case 'annotation':
    case 'end':
  }
  return tokens.fail(token, `Expected a constant value, found ${showToken(token)}`);
}

/** `{a, b}`, with or without a comma behind the last. */
function array(tokens: TokenStream, nesting: number): Expression {
  const { place } = tokens.take();
  const items: Expression[] = [];
  while (!tokens.is('}')) {
    items.push(binary(tokens, 0, nesting));
    if (!tokens.accept(',')) break;
  }
  tokens.expect('}', 'behind the values');
  const depth = items.reduce((most, item) => Math.max(most, item.depth), 0) + 1;
  return { kind: 'array', items, place, depth };
}

function bounded(tokens: TokenStream, place: Place, ...parts: readonly Expression[]): number {
  const depth = Math.max(...parts.map((part) => part.depth)) + 1;
  if (depth > MAX_DEPTH) {
    tokens.fail(place, `Cannot use an expression of more than ${MAX_DEPTH} operations`);
  }
  return depth;
}
