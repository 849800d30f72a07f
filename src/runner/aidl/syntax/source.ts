/** AIDL files, places in them, and the problems that are found: all of them are told at once. */

import { type Diagnostic, RecipeError } from '../../../core/errors.ts';

export interface SourceFile {
  /** Named in errors. */
  readonly path: string;
  readonly text: string;
}

/** A stretch of one line. Lines and columns count from 1. */
export interface Place {
  readonly source: SourceFile;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/** More than these help nobody, and a hostile file has no more to say. */
const MAX_PROBLEMS = 100;
/** Longer lines are not shown. */
const MAX_EXCERPT = 400;

/** Collects problems; `throwIfAny` tells them in the order of the files. */
export class Problems {
  readonly #found: Diagnostic[] = [];
  readonly #known = new Set<string>();
  readonly #files: string[] = [];

  get count(): number {
    return this.#found.length;
  }

  /** Whether so many were found that looking for more is of no use. */
  get isFull(): boolean {
    return this.#found.length >= MAX_PROBLEMS;
  }

  add(place: Place, message: string, hint?: string): void {
    const { source, line, column, length } = place;
    const key = `${source.path}\0${line}\0${column}\0${message}`;
    if (this.isFull || this.#known.has(key)) return;
    this.#known.add(key);
    if (!this.#files.includes(source.path)) this.#files.push(source.path);
    this.#found.push(describeProblem(source, { line, column, length }, message, hint));
  }

  /** @throws {RecipeError} with every problem, by file, line and column. */
  throwIfAny(): void {
    if (this.#found.length === 0) return;
    throw new RecipeError(
      [...this.#found].sort(
        (a, b) =>
          this.#files.indexOf(a.file) - this.#files.indexOf(b.file) ||
          a.line - b.line ||
          a.column - b.column,
      ),
    );
  }
}

/** One problem with the line that it stands in. */
export function describeProblem(
  source: SourceFile,
  { line, column, length }: { line: number; column: number; length: number },
  message: string,
  hint?: string,
): Diagnostic {
  const excerpt = source.text.split('\n', line)[line - 1];
  return {
    file: source.path,
    line,
    column,
    message,
    length: Math.max(1, length),
    ...(excerpt === undefined || excerpt.length > MAX_EXCERPT ? {} : { source: excerpt }),
    ...(hint === undefined ? {} : { hint }),
  };
}

/** Thrown behind a problem that was told, to leave what cannot be read on. */
export class SyntaxFailure extends Error {}
