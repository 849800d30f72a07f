/** The text of a recipe's file, and places in it. */

import { relative } from 'node:path';
import { sha256, toHex } from '../core/digest.ts';
import { RecipeError, type Diagnostic } from '../core/errors.ts';

/** A file of a recipe. */
export interface SourceText {
  /** Absolute path. */
  readonly file: string;
  readonly text: string;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
  /** Lines and columns count from 1, columns in UTF-16 units. */
  place(offset: number): { readonly line: number; readonly column: number };
}

/** A stretch of a file, in UTF-16 units from its start. */
export interface Origin {
  readonly source: SourceText;
  readonly start: number;
  readonly end: number;
}

/** A caret that underlines more helps nobody. */
const MAX_CARET = 200;

/** A recipe is a page or two; what is larger is not one. */
export const MAX_SOURCE_BYTES: number = 1 << 20;

/** @throws {RecipeError} when the bytes are too many, or not UTF-8. */
export function sourceText(bytes: Uint8Array, file: string): SourceText {
  if (bytes.length > MAX_SOURCE_BYTES) {
    const message = `The recipe has more than ${MAX_SOURCE_BYTES} bytes`;
    throw new RecipeError([{ file, line: 1, column: 1, message }]);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    const message = 'The recipe is not valid UTF-8';
    throw new RecipeError([{ file, line: 1, column: 1, message }], { cause });
  }
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    starts.push(at + 1);
  }
  return {
    file,
    text,
    sha256: toHex(sha256(bytes)),
    place(offset) {
      let low = 0;
      let high = starts.length;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if ((starts[middle] ?? 0) <= offset) low = middle;
        else high = middle;
      }
      return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
    },
  };
}

/** A problem with what stands somewhere. */
export function problemAt(origin: Origin, message: string, hint?: string): Diagnostic {
  const { source, start, end } = origin;
  const { line, column } = source.place(start);
  const lineStart = start - column + 1;
  const lineEnd = source.text.indexOf('\n', lineStart);
  const excerpt = source.text.slice(lineStart, lineEnd === -1 ? undefined : lineEnd);
  return {
    file: source.file,
    line,
    column,
    message,
    source: excerpt.replace(/\r$/, ''),
    length: Math.max(1, Math.min(end - start, MAX_CARET)),
    ...(hint === undefined ? {} : { hint }),
  };
}

/** A place for messages: the file as seen from a folder, and the line. */
export function describeOrigin({ source, start }: Origin, directory: string): string {
  return `${relative(directory, source.file)}:${source.place(start).line}`;
}
