/**
 * JSON that can be read in one way only: valid UTF-8 without byte order mark, no name twice in an object, no
 * text that is not Unicode. `JSON.parse` takes the last of two equal names, others take the first.
 *
 * Depth and number of values are bounded before anything is built of them.
 *
 * @see RFC 8259, section 4; RFC 7493 (I-JSON)
 */

import { FormatError } from '../../core/errors.ts';

type Code = 'bad-value' | 'duplicate' | 'too-large';
type Refuse = (code: Code, why: string, cause?: unknown) => never;

const MAX_DEPTH = 32;
/** Objects and lists, and what commas separate in them. */
const MAX_VALUES = 100_000;

/** The end of the string literal that starts at `at`, behind its closing quote; undefined without one. */
function endOfString(text: string, at: number): number | undefined {
  for (let end = text.indexOf('"', at + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
  return undefined;
}

function decodeString(literal: string): string | undefined {
  try {
    return JSON.parse(literal) as string;
  } catch {
    return undefined;
  }
}

/** What stands behind a name, at its `lastIndex`. */
const COLON = /[ \t\n\r]*:/y;

/** Refuses what `JSON.parse` lets pass. What it refuses itself may pass here. */
function checkText(text: string, refuse: Refuse): void {
  /** The names of the objects around; undefined for a list. */
  const around: (Set<string> | undefined)[] = [];
  let values = 0;
  const count = (): void => {
    if (++values > MAX_VALUES) refuse('too-large', `it holds more than ${MAX_VALUES} values`);
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{' || char === '[') {
      count();
      around.push(char === '{' ? new Set() : undefined);
      if (around.length > MAX_DEPTH) refuse('too-large', `it is deeper than ${MAX_DEPTH} levels`);
    } else if (char === '}' || char === ']') {
      around.pop();
    } else if (char === ',') {
      count();
    } else if (char === '"') {
      const end = endOfString(text, at);
      const value = end === undefined ? undefined : decodeString(text.slice(at, end));
      if (end === undefined || value === undefined) return;
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
  const refuse: Refuse = (code, why, cause) => {
    throw new FormatError(format, code, `Cannot read ${format}: ${why}`, { cause });
  };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return refuse('bad-value', 'it is not UTF-8', cause);
  }
  checkText(text, refuse);
  try {
    return JSON.parse(text);
  } catch (cause) {
    return refuse('bad-value', 'it is not JSON', cause);
  }
}
