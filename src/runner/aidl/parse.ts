/**
 * The part of AIDL that describes an interface: package, imports, constants and methods over scalar
 * types and arrays of them. What needs other files or generated code (parcelables, enums, interfaces
 * as arguments, out parameters) is refused where it stands.
 *
 * @see https://source.android.com/docs/core/architecture/aidl/aidl-language
 */

import { aidlError, type Token, tokenize } from './lexer.ts';
import {
  AIDL_SCALARS,
  type AidlArgument,
  type AidlMethod,
  type AidlScalar,
  type AidlType,
  type InterfaceDescription,
} from './types.ts';

/** The largest method id; the codes above are the interface's own (version, hash). */
const MAX_METHOD_ID = 0x00fffff0;

const SUPPORTED = `${AIDL_SCALARS.join(', ')} and arrays of them`;

/**
 * @param file Named in errors.
 * @throws {RecipeError} with line and column.
 */
export function parseAidl(source: string, file = 'interface.aidl'): InterfaceDescription {
  return new Parser(source, file).parseFile();
}

interface ParsedMethod extends Omit<AidlMethod, 'code'> {
  readonly id: number | undefined;
  readonly place: Token;
}

class Parser {
  readonly #source: string;
  readonly #file: string;
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(source: string, file: string) {
    this.#source = source;
    this.#file = file;
    this.#tokens = tokenize(file, source);
  }

  parseFile(): InterfaceDescription {
    let packageName = '';
    if (this.#accept('package')) {
      packageName = this.#qualifiedName();
      this.#expect(';');
    }
    while (this.#accept('import')) {
      this.#qualifiedName();
      this.#expect(';');
    }
    this.#annotations();
    const oneway = this.#accept('oneway');
    const start = this.#peek();
    if (start.text !== 'interface') {
      throw this.#error(
        start,
        `Cannot use ${describe(start)}: only an interface can be called`,
        'Name the .aidl file of the interface',
      );
    }
    this.#expect('interface');
    const name = this.#word('the name of the interface').text;
    this.#expect('{');
    const parsed: ParsedMethod[] = [];
    while (!this.#accept('}')) {
      const annotations = this.#annotations();
      if (this.#peek().text === 'const') this.#constant();
      else parsed.push(this.#method(oneway, annotations));
    }
    const end = this.#peek();
    if (end.kind !== 'end')
      throw this.#error(end, `Expected the end of the file, found ${describe(end)}`);
    const descriptor = packageName === '' ? name : `${packageName}.${name}`;
    return { descriptor, name, methods: this.#assignCodes(parsed) };
  }

  #method(interfaceOneway: boolean, annotations: ReadonlySet<string>): ParsedMethod {
    const oneway = this.#accept('oneway') || interfaceOneway;
    const place = this.#peek();
    const voidReturn = this.#accept('void');
    const returns = voidReturn
      ? null
      : this.#type(new Set([...annotations, ...this.#annotations()]));
    if (oneway && returns !== null) {
      throw this.#error(place, 'Cannot return a value: the method is oneway', 'Return void');
    }
    const nameToken = this.#word('the name of the method');
    this.#expect('(');
    const args: AidlArgument[] = [];
    while (!this.#accept(')')) {
      if (args.length > 0) this.#expect(',');
      args.push(this.#argument());
    }
    const id = this.#accept('=') ? this.#methodId() : undefined;
    this.#expect(';');
    return { name: nameToken.text, oneway, args, returns, id, place: nameToken };
  }

  #argument(): AidlArgument {
    const annotations = new Set(this.#annotations());
    const direction = this.#peek();
    if (direction.text === 'out' || direction.text === 'inout') {
      throw this.#error(
        direction,
        `Cannot use "${direction.text}" arguments`,
        'Return the value instead',
      );
    }
    this.#accept('in');
    const type = this.#type(new Set([...annotations, ...this.#annotations()]));
    return { name: this.#word('the name of the argument').text, type };
  }

  #type(annotations: ReadonlySet<string>): AidlType {
    const token = this.#word('a type');
    const name = AIDL_SCALARS.find((scalar): scalar is AidlScalar => scalar === token.text);
    const generic = this.#peek().text === '<' || this.#peek().text === '.';
    if (name === undefined || generic) {
      throw this.#error(token, `Cannot use type "${token.text}"`, `Supported are ${SUPPORTED}`);
    }
    const array = this.#accept('[');
    if (array) {
      const size = this.#peek();
      if (size.kind === 'number') throw this.#error(size, 'Cannot use an array of fixed size');
      this.#expect(']');
      if (this.#peek().text === '[')
        throw this.#error(this.#peek(), 'Cannot use an array of arrays');
    }
    const nullable = annotations.has('nullable');
    if (nullable && !array && name !== 'String') {
      throw this.#error(token, `Cannot be @nullable: ${name} has no null`);
    }
    return { name, array, nullable };
  }

  /** `@name` or `@name(...)`, any number; their names. */
  #annotations(): ReadonlySet<string> {
    const names = new Set<string>();
    while (this.#accept('@')) {
      names.add(this.#word('the name of the annotation').text);
      if (this.#accept('(')) {
        for (let depth = 1; depth > 0;) {
          const token = this.#take();
          if (token.kind === 'end') throw this.#error(token, 'Expected ")"');
          if (token.text === '(') depth++;
          if (token.text === ')') depth--;
        }
      }
    }
    return names;
  }

  /** `const TYPE NAME = VALUE;`, which callers do not need. */
  #constant(): void {
    while (!this.#accept(';')) {
      const token = this.#take();
      if (token.kind === 'end') throw this.#error(token, 'Expected ";" after the constant');
    }
  }

  #methodId(): number {
    const token = this.#take();
    const id = token.kind === 'number' ? Number(token.text) : NaN;
    if (!Number.isInteger(id) || id > MAX_METHOD_ID) {
      throw this.#error(
        token,
        `Expected a method id of 0 to ${MAX_METHOD_ID}, found ${describe(token)}`,
      );
    }
    return id;
  }

  /** Ids are given for all methods or for none. */
  #assignCodes(parsed: readonly ParsedMethod[]): readonly AidlMethod[] {
    const given = parsed.some((method) => method.id !== undefined);
    const codes = new Set<number>();
    const names = new Set<string>();
    return parsed.map(({ id, place, ...method }, index) => {
      if (given && id === undefined) {
        throw this.#error(place, `Expected an id for "${method.name}": other methods have one`);
      }
      const code = (id ?? index) + 1;
      if (codes.has(code)) throw this.#error(place, `Cannot use id ${code - 1} twice`);
      if (names.has(method.name)) throw this.#error(place, `Cannot declare "${method.name}" twice`);
      codes.add(code);
      names.add(method.name);
      return { ...method, code };
    });
  }

  #qualifiedName(): string {
    let name = this.#word('a name').text;
    while (this.#accept('.')) name += `.${this.#word('a name').text}`;
    return name;
  }

  #word(what: string): Token {
    const token = this.#take();
    if (token.kind !== 'word')
      throw this.#error(token, `Expected ${what}, found ${describe(token)}`);
    return token;
  }

  #expect(text: string): void {
    const token = this.#take();
    if (token.text !== text || token.kind === 'string') {
      throw this.#error(token, `Expected "${text}", found ${describe(token)}`);
    }
  }

  #accept(text: string): boolean {
    if (this.#peek().text !== text) return false;
    this.#at++;
    return true;
  }

  #peek(): Token {
    const token = this.#tokens[Math.min(this.#at, this.#tokens.length - 1)];
    if (token === undefined) throw new TypeError('unreachable: the last token is the end');
    return token;
  }

  #take(): Token {
    const token = this.#peek();
    this.#at++;
    return token;
  }

  #error(place: Token, message: string, hint?: string): Error {
    return aidlError(this.#file, this.#source, place, message, hint);
  }
}

const describe = (token: Token): string =>
  token.kind === 'end' ? 'the end of the file' : `"${token.text}"`;
