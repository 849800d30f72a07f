/** Walks through the tokens of one file. */

import type { Token, TokenKind } from './lexer.ts';
import { type Place, type Problems, SyntaxFailure } from './source.ts';

export class TokenStream {
  readonly problems: Problems;
  readonly #tokens: readonly Token[];
  #at = 0;
  /** A `>>` of which one `>` was taken. */
  #half: Token | undefined;

  constructor(tokens: readonly Token[], problems: Problems) {
    this.#tokens = tokens;
    this.problems = problems;
  }

  /** @param ahead 0 for the token that `take` gives. */
  peek(ahead = 0): Token {
    if (ahead === 0 && this.#half !== undefined) return this.#half;
    const token = this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)];
    if (token === undefined) throw new TypeError('unreachable: the last token is the end');
    return token;
  }

  take(): Token {
    const token = this.peek();
    if (token.kind !== 'end') this.#at++;
    this.#half = undefined;
    return token;
  }

  is(text: string): boolean {
    const { kind, text: found } = this.peek();
    return found === text && (kind === 'symbol' || kind === 'keyword' || kind === 'word');
  }

  accept(text: string): Token | undefined {
    return this.is(text) ? this.take() : undefined;
  }

  expect(text: string, after: string): Token {
    if (this.is(text)) return this.take();
    return this.fail(this.peek(), `Expected "${text}" ${after}, found ${showToken(this.peek())}`);
  }

  expectKind(kind: TokenKind, what: string): Token {
    const token = this.peek();
    if (token.kind === kind) return this.take();
    const hint =
      kind === 'word' && token.kind === 'keyword' ? 'This word is a keyword of AIDL' : undefined;
    return this.fail(token, `Expected ${what}, found ${showToken(token)}`, hint);
  }

  /** The `>` that ends type arguments, which may be the first half of a `>>`. */
  expectCloseAngle(): void {
    const token = this.peek();
    if (token.text !== '>>' || token.kind !== 'symbol') {
      this.expect('>', 'behind the type arguments');
      return;
    }
    const { place } = token;
    this.#half = { ...token, text: '>', place: { ...place, column: place.column + 1, length: 1 } };
  }

  /** `a.b.c`. */
  qualifiedName(what: string): { readonly text: string; readonly place: Place } {
    const first = this.expectKind('word', what);
    let text = first.text;
    let end = first.place;
    while (this.is('.')) {
      this.take();
      const part = this.expectKind('word', 'a name behind "."');
      text += `.${part.text}`;
      end = part.place;
    }
    const oneLine = end.line === first.place.line;
    const length = oneLine ? end.column + end.length - first.place.column : first.place.length;
    return { text, place: { ...first.place, length } };
  }

  /** Tells of a problem and leaves what is being read. */
  fail(where: Token | Place, message: string, hint?: string): never {
    this.problems.add('place' in where ? where.place : where, message, hint);
    throw new SyntaxFailure(message);
  }

  /** Skips to behind the `;` or `{...}` that ends a broken member; stops in front of the outer `}`. */
  skipMember(): void {
    let depth = 0;
    for (;;) {
      const token = this.peek();
      if (token.kind === 'end' || (depth === 0 && this.is('}'))) return;
      this.take();
      if (token.kind !== 'symbol') continue;
      if (token.text === '{') depth++;
      if (token.text === '}' && --depth === 0) return;
      if (token.text === ';' && depth === 0) return;
    }
  }
}

export function showToken(token: Token): string {
  if (token.kind === 'end') return 'the end of the file';
  return token.kind === 'annotation' ? `"@${token.text}"` : `"${token.text.slice(0, 60)}"`;
}
