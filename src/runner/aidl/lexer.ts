/** Tokens of AIDL with their places. Lines and columns count from 1. */

import { type Diagnostic, RecipeError } from '../../core/errors.ts';

export interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

const SKIPPED = /(?:\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/)+/y;
const PATTERNS: readonly (readonly [Token['kind'], RegExp])[] = [
  ['word', /[A-Za-z_]\w*/y],
  ['number', /0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?[fFL]?/y],
  ['string', /"[^"\n]*"|'(?:\\.|[^'\n])'/y],
  ['symbol', /[@{}()[\]<>;,.=+*/|&~^-]/y],
];

/** The error of a place in an AIDL file, with the line it stands in. */
export function aidlError(
  file: string,
  source: string,
  place: { readonly line: number; readonly column: number; readonly text: string },
  message: string,
  hint?: string,
): RecipeError {
  const line = source.split('\n')[place.line - 1];
  const diagnostic: Diagnostic = {
    file,
    line: place.line,
    column: place.column,
    message,
    length: Math.max(1, place.text.length),
    ...(line === undefined ? {} : { source: line }),
    ...(hint === undefined ? {} : { hint }),
  };
  return new RecipeError([diagnostic]);
}

/** @throws {RecipeError} at a character that AIDL does not know. */
export function tokenize(file: string, source: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineStart = 0;
  const advance = (text: string): void => {
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) {
      line++;
      lineStart = at + i + 1;
    }
    at += text.length;
  };
  for (;;) {
    SKIPPED.lastIndex = at;
    advance(SKIPPED.exec(source)?.[0] ?? '');
    const place = { line, column: at - lineStart + 1 };
    if (at === source.length) return [...tokens, { kind: 'end', text: '', ...place }];
    const token = next(source, at);
    if (token === undefined) {
      const text = String.fromCodePoint(source.codePointAt(at) ?? 0);
      const what = source.startsWith('/*', at) ? 'a comment that does not end' : `"${text}"`;
      throw aidlError(file, source, { ...place, text }, `Cannot read AIDL: ${what}`);
    }
    tokens.push({ ...token, ...place });
    advance(token.text);
  }
}

function next(source: string, at: number): Pick<Token, 'kind' | 'text'> | undefined {
  if (source.startsWith('/*', at)) return undefined;
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = at;
    const text = pattern.exec(source)?.[0];
    if (text !== undefined) return { kind, text };
  }
  return undefined;
}
