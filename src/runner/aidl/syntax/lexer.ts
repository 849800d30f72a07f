/**
 * Tokens of AIDL with their places.
 *
 * @see https://android.googlesource.com/platform/system/tools/aidl aidl_language_l.ll
 */

import type { Place, Problems, SourceFile } from './source.ts';

export type TokenKind =
  | 'word'
  | 'keyword'
  | 'integer'
  | 'float'
  | 'char'
  | 'string'
  | 'annotation'
  | 'symbol'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** As written; an annotation without its `@`. */
  readonly text: string;
  readonly place: Place;
  /** The documentation comment in front of it. */
  readonly doc?: string;
}

/** What no name can be. */
const KEYWORDS: ReadonlySet<string> = new Set([
  'const',
  'enum',
  'false',
  'import',
  'in',
  'inout',
  'interface',
  'oneway',
  'out',
  'package',
  'parcelable',
  'true',
  'union',
]);

/** The first that matches is the longest: a float that looks like an integer is one. */
const PATTERNS: readonly (readonly [TokenKind, RegExp])[] = [
  ['annotation', /@[A-Za-z_]\w*/y],
  ['word', /[A-Za-z_]\w*/y],
  ['integer', /0[xX][0-9a-fA-F]+[lL]?(?:u8)?/y],
  ['float', /\d*\.\d+(?:[eE][-+]?\d+)?f?|\d+(?:[eE][-+]?\d+f?|f)/y],
  ['integer', /\d+[lL]?(?:u8)?/y],
  ['string', /"[^"\n]*"/y],
  ['char', /'[^\n]'/y],
  ['symbol', /<<|>>|<=|>=|==|!=|&&|\|\||[{}()[\]<>;:,.=+\-*/%&|^!~]/y],
];
const BLANK = /[ \t\r\n]+/y;
const LINE_COMMENT = /\/\/[^\n]*/y;

/** The largest text that is read: a hundred times the largest interface of Android. */
const MAX_TEXT = 1 << 22;

/** Tells of every character that AIDL does not know and reads on behind it. */
export function tokenize(source: SourceFile, problems: Problems): readonly Token[] {
  const { text } = source;
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let lineStart = 0;
  let doc: string | undefined;
  const place = (length: number): Place => ({ source, line, column: at - lineStart + 1, length });
  const advance = (length: number): void => {
    const end = at + length;
    for (let i = text.indexOf('\n', at); i >= 0 && i < end; i = text.indexOf('\n', i + 1)) {
      line++;
      lineStart = i + 1;
    }
    at = end;
  };
  if (text.length > MAX_TEXT) {
    problems.add(place(1), `Cannot read AIDL: the file is larger than ${MAX_TEXT} characters`);
    return [{ kind: 'end', text: '', place: place(1) }];
  }
  while (at < text.length && !problems.isFull) {
    const blank = match(BLANK, text, at) ?? match(LINE_COMMENT, text, at);
    if (blank !== undefined) {
      advance(blank.length);
      continue;
    }
    if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2);
      if (end < 0) {
        problems.add(place(2), 'Cannot read AIDL: the comment does not end', 'End it with */');
        advance(text.length - at);
        continue;
      }
      if (text.startsWith('/**', at) && end > at + 2) doc = cleanDoc(text.slice(at + 3, end));
      advance(end + 2 - at);
      continue;
    }
    const found = nextToken(text, at);
    if (found === undefined) {
      const bad = String.fromCodePoint(text.codePointAt(at) ?? 0);
      problems.add(place(bad.length), `Cannot read AIDL: unexpected ${JSON.stringify(bad)}`);
      advance(bad.length);
      continue;
    }
    const [kind, raw] = found;
    tokens.push({
      kind: kind === 'word' && KEYWORDS.has(raw) ? 'keyword' : kind,
      text: kind === 'annotation' ? raw.slice(1) : raw,
      place: place(raw.length),
      ...(doc === undefined ? {} : { doc }),
    });
    doc = undefined;
    advance(raw.length);
  }
  tokens.push({ kind: 'end', text: '', place: place(1) });
  return tokens;
}

function nextToken(text: string, at: number): readonly [TokenKind, string] | undefined {
  for (const [kind, pattern] of PATTERNS) {
    const raw = match(pattern, text, at);
    if (raw !== undefined) return [kind, raw];
  }
  return undefined;
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** The text of a documentation comment, without the stars in front of its lines. */
function cleanDoc(raw: string): string | undefined {
  const lines = raw.split('\n').map((each) => each.trim().replace(/^\*+ ?/, ''));
  const text = lines.join('\n').trim();
  return text === '' ? undefined : text;
}
