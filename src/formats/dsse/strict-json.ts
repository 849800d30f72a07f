/**
 * JSON that can be read in one way only: valid UTF-8 without byte order mark, no name twice in an object, no
 * text that is not Unicode. `JSON.parse` takes the last of two equal names, others take the first.
 *
 * @see RFC 8259, section 4; RFC 7493 (I-JSON)
 */

import { FormatError } from '../../core/errors.ts';

type Code = 'bad-value' | 'duplicate';

/** The end of the string literal that starts at `at`, behind its closing quote. */
function endOfString(text: string, at: number): number {
  let end = text.indexOf('"', at + 1);
  for (;;) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return end + 1;
    end = text.indexOf('"', end + 1);
  }
}

/** What stands behind a name, at its `lastIndex`. */
const COLON = /[ \t\n\r]*:/y;

/** Finds what `JSON.parse` lets pass in a text that it has parsed. */
function checkNames(text: string, refuse: (code: Code, why: string) => never): void {
  /** The names of the objects around; undefined for an array. */
  const around: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{') around.push(new Set());
    else if (char === '[') around.push(undefined);
    else if (char === '}' || char === ']') around.pop();
    else if (char === '"') {
      const end = endOfString(text, at);
      const value = JSON.parse(text.slice(at, end)) as string;
      if (/\p{Cs}/u.test(value)) refuse('bad-value', 'a text holds half of a surrogate pair');
      at = end - 1;
      const names = around.at(-1);
      COLON.lastIndex = end;
      if (names === undefined || !COLON.test(text)) continue;
      if (names.has(value)) refuse('duplicate', `it has ${JSON.stringify(value)} twice`);
      names.add(value);
    }
  }
}

/**
 * Parses a document.
 *
 * @param format How errors call it.
 * @throws {FormatError} when it is not JSON, or could be read in two ways.
 */
export function parseStrictJson(bytes: Uint8Array, format: string): unknown {
  const refuse = (code: Code, why: string, cause?: unknown): never => {
    throw new FormatError(format, code, `Cannot read ${format}: ${why}`, { cause });
  };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return refuse('bad-value', 'it is not UTF-8', cause);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return refuse('bad-value', 'it is not JSON', cause);
  }
  checkNames(text, refuse);
  return value;
}
