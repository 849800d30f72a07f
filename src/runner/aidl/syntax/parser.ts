/**
 * AIDL text to a document. What cannot be read is told and left out, and reading goes on behind it.
 *
 * @see https://android.googlesource.com/platform/system/tools/aidl aidl_language_y.yy
 */

import { parseExpression } from './expressions.ts';
import { type Token, tokenize } from './lexer.ts';
import { type Problems, type SourceFile, SyntaxFailure } from './source.ts';
import { showToken, TokenStream } from './token-stream.ts';
import type {
  Annotation,
  AnnotationParameter,
  ArgumentNode,
  ConstantNode,
  Declaration,
  Direction,
  Document,
  Enumerator,
  FieldNode,
  Import,
  MethodNode,
  TypeNode,
} from './tree.ts';

const MAX_NESTED_DECLARATIONS = 32;
const MAX_NESTED_TYPE_ARGUMENTS = 8;
const MAX_DIMENSIONS = 8;
const DECLARATIONS: ReadonlySet<string> = new Set(['interface', 'parcelable', 'enum', 'union']);

export function parseDocument(source: SourceFile, problems: Problems): Document {
  const tokens = new TokenStream(tokenize(source, problems), problems);
  return new Parser(source, tokens).document();
}

interface Members {
  readonly nested: Declaration[];
  readonly constants: ConstantNode[];
  readonly fields: FieldNode[];
  readonly methods: MethodNode[];
}

class Parser {
  readonly #source: SourceFile;
  readonly #tokens: TokenStream;

  constructor(source: SourceFile, tokens: TokenStream) {
    this.#source = source;
    this.#tokens = tokens;
  }

  document(): Document {
    const tokens = this.#tokens;
    let packageName = '';
    const imports: Import[] = [];
    const declarations: Declaration[] = [];
    this.#recovering(() => {
      if (!tokens.accept('package')) return;
      packageName = tokens.qualifiedName('the name of the package').text;
      tokens.expect(';', 'behind the package');
    });
    while (tokens.is('import')) {
      this.#recovering(() => {
        tokens.take();
        const { text, place } = tokens.qualifiedName('the name of a type');
        tokens.expect(';', 'behind the import');
        imports.push({ name: text, place });
      });
    }
    while (tokens.peek().kind !== 'end' && !tokens.problems.isFull) {
      if (tokens.is('}')) {
        tokens.problems.add(tokens.take().place, 'Expected a declaration, found "}"');
        continue;
      }
      this.#recovering(() => {
        const found = this.#declaration(this.#annotations(), 0);
        declarations.push(found);
      });
    }
    if (declarations.length === 0 && tokens.problems.count === 0) {
      tokens.problems.add(
        tokens.peek().place,
        'Expected an interface, parcelable, enum or union, found the end of the file',
      );
    }
    return { source: this.#source, packageName, imports, declarations };
  }

  /** Runs `read`; where it fails, goes on behind the member. */
  #recovering(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof SyntaxFailure)) throw error;
      this.#tokens.skipMember();
    }
  }

  #startsDeclaration(): boolean {
    const tokens = this.#tokens;
    const token = tokens.peek();
    if (token.kind !== 'keyword') return false;
    return (
      DECLARATIONS.has(token.text) ||
      (token.text === 'oneway' && tokens.peek(1).text === 'interface')
    );
  }

  #declaration(annotations: readonly Annotation[], depth: number): Declaration {
    const tokens = this.#tokens;
    const first = tokens.peek();
    if (depth > MAX_NESTED_DECLARATIONS) tokens.fail(first, 'Cannot nest types so deep');
    const oneway = tokens.is('oneway') ? tokens.take() : undefined;
    const keyword = tokens.peek();
    if (keyword.kind !== 'keyword' || !DECLARATIONS.has(keyword.text)) {
      const hint = first.text === 'import' ? 'Imports stand in front of all types' : undefined;
      const expected = 'Expected "interface", "parcelable", "enum" or "union"';
      return tokens.fail(keyword, `${expected}, found ${showToken(keyword)}`, hint);
    }
    if (oneway !== undefined && keyword.text !== 'interface') {
      return tokens.fail(oneway, 'Cannot be oneway: only interfaces and methods are');
    }
    tokens.take();
    const { text: name, place } = tokens.qualifiedName(`the name of the ${keyword.text}`);
    const doc = annotations.length > 0 ? this.#docOf(annotations, first) : first.doc;
    const shared = { name, place, doc, source: this.#source, annotations };
    if (keyword.text === 'parcelable' && this.#isUnstructured()) {
      this.#unstructuredTail();
      return { ...shared, kind: 'unstructured', nested: [], constants: [] };
    }
    if (name.includes('.')) {
      const simple = name.slice(name.lastIndexOf('.') + 1);
      tokens.problems.add(place, `Cannot name a type "${name}"`, `Use a package, and "${simple}"`);
    }
    if (keyword.text === 'interface') {
      const members = tokens.accept(';') ? emptyMembers() : this.#members('interface', depth);
      const { nested, constants, methods } = members;
      return {
        ...shared,
        kind: 'interface',
        oneway: oneway !== undefined,
        methods,
        nested,
        constants,
      };
    }
    if (keyword.text === 'enum') {
      const enumerators = this.#enumerators();
      return { ...shared, kind: 'enum', enumerators, nested: [], constants: [] };
    }
    const kind = keyword.text === 'union' ? 'union' : 'parcelable';
    const typeParameters = this.#typeParameters();
    const { nested, constants, fields } = this.#members(kind, depth);
    return { ...shared, kind, typeParameters, fields, nested, constants };
  }

  #docOf(annotations: readonly Annotation[], keyword: Token): string | undefined {
    return (annotations[0] as { doc?: string } | undefined)?.doc ?? keyword.doc;
  }

  #isUnstructured(): boolean {
    const tokens = this.#tokens;
    if (tokens.is(';')) return true;
    if (tokens.peek().kind === 'word') return true;
    if (!tokens.is('<')) return false;
    for (let ahead = 1; ; ahead++) {
      const { kind, text } = tokens.peek(ahead);
      if (kind === 'end') return false;
      if (text === '>') return tokens.peek(ahead + 1).text === ';';
      if (kind !== 'word' && text !== ',') return false;
    }
  }

  /** `;`, or where the type's definition in other languages stands. */
  #unstructuredTail(): void {
    const tokens = this.#tokens;
    this.#typeParameters();
    while (!tokens.is(';')) {
      const word = tokens.expectKind('word', '";"');
      if (!/^(?:cpp_header|ndk_header|rust_type)$/.test(word.text)) {
        tokens.fail(word, `Expected "{", ";" or "cpp_header", found ${showToken(word)}`);
      }
      tokens.expectKind('string', `a text behind "${word.text}"`);
    }
    tokens.take();
  }

  #typeParameters(): readonly string[] {
    const tokens = this.#tokens;
    if (!tokens.accept('<')) return [];
    const names: string[] = [];
    do {
      const { text, place } = tokens.expectKind('word', 'the name of a type parameter');
      if (names.includes(text)) {
        tokens.problems.add(place, `Cannot use the type parameter "${text}" twice`);
      }
      names.push(text);
    } while (tokens.accept(','));
    tokens.expect('>', 'behind the type parameters');
    return names;
  }

  #members(kind: 'interface' | 'parcelable' | 'union', depth: number): Members {
    const tokens = this.#tokens;
    const members = emptyMembers();
    tokens.expect('{', `behind the name of the ${kind}`);
    while (!tokens.is('}') && tokens.peek().kind !== 'end' && !tokens.problems.isFull) {
      this.#recovering(() => this.#member(kind, members, depth));
    }
    tokens.expect('}', `at the end of the ${kind}`);
    return members;
  }

  #member(kind: 'interface' | 'parcelable' | 'union', members: Members, depth: number): void {
    const tokens = this.#tokens;
    const { doc } = tokens.peek();
    const annotations = this.#annotations();
    if (this.#startsDeclaration()) {
      members.nested.push(this.#declaration(annotations, depth + 1));
      return;
    }
    if (tokens.accept('const')) {
      const type = this.#type(annotations);
      const { text: name, place } = tokens.expectKind('word', 'the name of the constant');
      tokens.expect('=', 'behind the name of the constant');
      const value = parseExpression(tokens);
      tokens.expect(';', 'behind the constant');
      members.constants.push({ kind: 'constant', name, place, doc, type, value });
      return;
    }
    if (kind === 'interface') members.methods.push(this.#method(annotations, doc));
    else members.fields.push(this.#field(annotations, doc));
  }

  #field(annotations: readonly Annotation[], doc: string | undefined): FieldNode {
    const tokens = this.#tokens;
    const type = this.#type(annotations);
    const { text: name, place } = tokens.expectKind('word', 'the name of the field');
    if (tokens.is('('))
      tokens.fail(tokens.peek(), 'Cannot declare a method here', 'Only interfaces have methods');
    const value = tokens.accept('=') ? parseExpression(tokens) : undefined;
    tokens.expect(';', 'behind the field');
    return { kind: 'field', name, place, doc, type, value };
  }

  #method(annotations: readonly Annotation[], doc: string | undefined): MethodNode {
    const tokens = this.#tokens;
    const oneway = tokens.accept('oneway') !== undefined;
    const returns = this.#type(annotations);
    const { text: name, place } = tokens.expectKind('word', 'the name of the method');
    tokens.expect('(', 'behind the name of the method');
    const args: ArgumentNode[] = [];
    if (!tokens.is(')')) {
      do args.push(this.#argument());
      while (tokens.accept(','));
    }
    tokens.expect(')', 'behind the arguments');
    const id = tokens.accept('=')
      ? tokens.expectKind('integer', 'the id of the method')
      : undefined;
    tokens.expect(';', 'behind the method');
    return { kind: 'method', name, place, doc, oneway, returns, args, id };
  }

  #argument(): ArgumentNode {
    const tokens = this.#tokens;
    const word =
      tokens.is('in') || tokens.is('out') || tokens.is('inout') ? tokens.take() : undefined;
    const type = this.#type([]);
    const { text: name, place } = tokens.expectKind('word', 'the name of the argument');
    return { name, place, doc: undefined, type, direction: word?.text as Direction | undefined };
  }

  #enumerators(): Enumerator[] {
    const tokens = this.#tokens;
    tokens.expect('{', 'behind the name of the enum');
    const enumerators: Enumerator[] = [];
    do {
      if (enumerators.length > 0 && tokens.is('}')) break;
      const { text: name, place, doc } = tokens.expectKind('word', 'the name of an enumerator');
      const value = tokens.accept('=') ? parseExpression(tokens) : undefined;
      enumerators.push({ name, place, doc, value });
    } while (tokens.accept(','));
    tokens.expect('}', 'at the end of the enum');
    return enumerators;
  }

  /** @param before Annotations that were read already. */
  #type(before: readonly Annotation[], nesting = 0): TypeNode {
    const tokens = this.#tokens;
    if (nesting > MAX_NESTED_TYPE_ARGUMENTS)
      tokens.fail(tokens.peek(), 'Cannot nest types so deep');
    const annotations = [...before, ...this.#annotations()];
    const { text: name, place } = tokens.qualifiedName('a type');
    const args: TypeNode[] = [];
    if (tokens.accept('<')) {
      do {
        const argument = this.#type([], nesting + 1);
        const [annotation] = argument.annotations;
        if (annotation !== undefined && args.length === 0) {
          tokens.problems.add(annotation.place, 'Cannot annotate a type argument');
        }
        args.push(argument);
      } while (tokens.accept(','));
      tokens.expectCloseAngle();
    }
    return { name, place, annotations, args, array: this.#dimensions() };
  }

  #dimensions(): TypeNode['array'] {
    const tokens = this.#tokens;
    let array: TypeNode['array'];
    for (let count = 1; ; count++) {
      if (tokens.peek().kind === 'annotation') {
        tokens.fail(tokens.peek(), 'Cannot annotate an array', 'Annotate the type in front of it');
      }
      const open = tokens.accept('[');
      if (open === undefined) return array;
      if (count > MAX_DIMENSIONS)
        tokens.fail(open, `Cannot use more than ${MAX_DIMENSIONS} dimensions`);
      if (tokens.accept(']')) {
        if (array !== undefined) {
          tokens.problems.add(
            open.place,
            'Cannot use an array of arrays',
            'Only arrays of fixed sizes nest, as in int[2][3]',
          );
        }
        array = 'dynamic';
        continue;
      }
      const size = parseExpression(tokens);
      tokens.expect(']', 'behind the size of the array');
      if (array === 'dynamic') {
        tokens.problems.add(
          open.place,
          'Cannot use an array of arrays',
          'Only arrays of fixed sizes nest, as in int[2][3]',
        );
      } else array = [...(array ?? []), size];
    }
  }

  #annotations(): Annotation[] {
    const tokens = this.#tokens;
    const annotations: (Annotation & { doc?: string })[] = [];
    while (tokens.peek().kind === 'annotation') {
      const { text: name, place, doc } = tokens.take();
      const parameters = tokens.accept('(') ? this.#annotationParameters() : [];
      annotations.push({ name, place, parameters, ...(doc === undefined ? {} : { doc }) });
    }
    return annotations;
  }

  /** `name = value, ...` or the one value of a parameter that is called `value`. */
  #annotationParameters(): AnnotationParameter[] {
    const tokens = this.#tokens;
    const parameters: AnnotationParameter[] = [];
    const named = tokens.peek().kind === 'word' && tokens.peek(1).text === '=';
    if (!named && !tokens.is(')')) {
      const value = parseExpression(tokens);
      parameters.push({ name: 'value', place: value.place, value });
    } else if (named) {
      do {
        const { text: name, place } = tokens.expectKind('word', 'the name of a parameter');
        tokens.expect('=', 'behind the name of the parameter');
        if (parameters.some((each) => each.name === name)) {
          tokens.problems.add(place, `Cannot give the parameter "${name}" twice`);
        }
        parameters.push({ name, place, value: parseExpression(tokens) });
      } while (tokens.accept(','));
    }
    tokens.expect(')', 'behind the parameters of the annotation');
    return parameters;
  }
}

const emptyMembers = (): Members => ({ nested: [], constants: [], fields: [], methods: [] });
