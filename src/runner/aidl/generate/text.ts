/** Code as lines, with indentation; what two generators share. */

import type { AidlProgram } from '../compile.ts';
import type { AidlType, TypeDescription } from '../types.ts';

export class CodeText {
  readonly #lines: string[] = [];
  readonly #step: string;
  #depth = 0;

  /** @param step One level of indentation. */
  constructor(step: string) {
    this.#step = step;
  }

  line(...texts: readonly string[]): this {
    for (const text of texts) {
      this.#lines.push(text === '' ? '' : this.#step.repeat(this.#depth) + text);
    }
    return this;
  }

  /** An empty line, unless there is one or a block begins. */
  gap(): this {
    const last = this.#lines.at(-1);
    if (last !== undefined && last !== '' && !/[{([]$/.test(last)) this.#lines.push('');
    return this;
  }

  /** @param close Empty where the body says where it ends. */
  block(open: string, body: () => void, close = '}'): this {
    this.line(open);
    this.#depth++;
    body();
    this.#depth--;
    if (this.#lines.at(-1) === '') this.#lines.pop();
    return close === '' ? this : this.line(close);
  }

  toString(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

/** What would end a comment's line, or show it in another order than it is in. */
const UNPRINTABLE = /[\p{C}\u2028\u2029]/gu;

/** The lines of a comment as other languages can carry them. */
export const docLines = (doc: string | undefined): readonly string[] =>
  doc === undefined
    ? []
    : doc.split('\n').map((line) => line.replaceAll(UNPRINTABLE, ' ').trimEnd());

/** The given types and all that they lead to, without nested ones, by full name. */
export function neededTypes(program: AidlProgram): readonly TypeDescription[] {
  const needed = new Set<TypeDescription>(program.types);
  const meet = (type: AidlType | null): void => {
    if (type?.kind === 'array') meet(type.element);
    if (type !== null && 'declaration' in type) needed.add(outermost(type.declaration));
  };
  const visit = (description: TypeDescription): void => {
    for (const nested of description.nested) visit(nested);
    if (description.kind === 'interface') {
      for (const method of description.methods) {
        meet(method.returns);
        for (const { type } of method.args) meet(type);
      }
    } else if (description.kind !== 'enum') {
      for (const { type } of description.fields) meet(type);
    }
  };
  // The set grows while it is walked through.
  for (const description of needed) visit(description);
  return [...needed].sort((a, b) => (a.fullName < b.fullName ? -1 : 1));
}

export function outermost(description: TypeDescription): TypeDescription {
  return description.outer === undefined ? description : outermost(description.outer);
}

/** The type itself and those nested in it, outer ones first. */
export function withNested(description: TypeDescription): readonly TypeDescription[] {
  return [description, ...description.nested.flatMap((each) => withNested(each))];
}

export const upperFirst = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
