/**
 * `Packages` indexes of repositories. An index of Debian has sixty thousand paragraphs, of which a closure
 * needs some: only where each is, and what it provides, is read at first.
 *
 * @see deb822(5), the Debian wiki's "RepositoryFormat"
 */

import { FormatError } from '../../core/errors.ts';

/** Where the paragraph of a package is in the text of an index. */
export interface ParagraphPlace {
  readonly start: number;
  readonly end: number;
}

export interface PackagesFile {
  readonly text: string;
  /** By name; one name may come several times, in several versions. */
  readonly places: ReadonlyMap<string, readonly ParagraphPlace[]>;
  /** The paragraphs that provide something, by what they provide. */
  readonly providers: ReadonlyMap<string, readonly ParagraphPlace[]>;
}

/** Finds the paragraphs of an index. */
export function indexPackagesFile(text: string): PackagesFile {
  const places = new Map<string, ParagraphPlace[]>();
  const providers = new Map<string, ParagraphPlace[]>();
  const add = (map: Map<string, ParagraphPlace[]>, name: string, place: ParagraphPlace): void => {
    const known = map.get(name);
    if (known === undefined) map.set(name, [place]);
    else known.push(place);
  };
  for (let start = 0; start < text.length;) {
    const blank = text.indexOf('\n\n', start);
    const end = blank < 0 ? text.length : blank;
    const place = { start, end };
    const name = simpleField(text, place, 'Package');
    if (name !== undefined) {
      add(places, name, place);
      const provided = text.indexOf('\nProvides:', start);
      if (provided >= 0 && provided < end) {
        for (const each of providedNames(fieldAt(text, provided + 1, end)))
          add(providers, each, place);
      }
    }
    start = end + 2;
    while (text[start] === '\n') start++;
  }
  return { text, places, providers };
}

/** Fields whose packages apt gets to know in the order in which they come. */
const NAMING_FIELDS: ReadonlySet<string> = new Set([
  'package',
  'provides',
  'depends',
  'pre-depends',
  'recommends',
  'suggests',
  'conflicts',
  'breaks',
  'replaces',
  'obsoletes',
  'enhances',
]);

const NAME_CHARACTER = /[A-Za-z0-9+.-]/;

/** Where an index names a package first, be it as what another one asks for; Infinity where it does not. */
export function firstMention({ text }: PackagesFile, name: string): number {
  for (let at = text.indexOf(name); at >= 0; at = text.indexOf(name, at + 1)) {
    const after = text[at + name.length] ?? '';
    if (NAME_CHARACTER.test(text[at - 1] ?? '') || NAME_CHARACTER.test(after)) continue;
    let line = text.lastIndexOf('\n', at) + 1;
    // A line that goes on the one before it.
    while (line > 1 && /[ \t]/.test(text[line] ?? '')) line = text.lastIndexOf('\n', line - 2) + 1;
    const field = text.slice(line, text.indexOf(':', line)).toLowerCase();
    if (NAMING_FIELDS.has(field)) return at;
  }
  return Infinity;
}

const providedNames = (value: string): Set<string> =>
  new Set(value.split(',').flatMap((each) => /^[^\s:(]+/.exec(each.trim())?.[0] ?? []));

/** A field that stands on one line, without parsing the paragraph. */
function simpleField(
  text: string,
  { start, end }: ParagraphPlace,
  name: string,
): string | undefined {
  const label = `${name}: `;
  let at = start;
  if (!text.startsWith(label, start)) {
    const found = text.indexOf(`\n${label}`, start);
    if (found < 0 || found >= end) return undefined;
    at = found + 1;
  }
  const line = text.indexOf('\n', at);
  return text.slice(at + label.length, line < 0 || line > end ? end : line).trim();
}

/** The value of the field that begins at `at`, with its continuation lines. */
function fieldAt(text: string, at: number, end: number): string {
  let stop = at;
  do {
    const line = text.indexOf('\n', stop);
    stop = line < 0 || line >= end ? end : line + 1;
  } while (stop < end && (text[stop] === ' ' || text[stop] === '\t'));
  return text.slice(text.indexOf(':', at) + 1, stop);
}

/**
 * All fields of a paragraph by their names in lower case; continuation lines are joined.
 *
 * @throws {FormatError} `deb822` when a line is neither a field nor a continuation, or a field comes twice.
 */
export function parseParagraph(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let current: string | undefined;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (current === undefined) throw bad(`it begins with a continuation: ${quote(line)}`);
      fields.set(current, `${fields.get(current) ?? ''}\n${line.trim()}`);
      continue;
    }
    const [, name, value] = /^([^\s:]+):[ \t]*(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw bad(`no field: ${quote(line)}`);
    current = name.toLowerCase();
    if (fields.has(current)) throw bad(`the field ${quote(name)} comes twice`, 'duplicate');
    fields.set(current, value.trim());
  }
  return fields;
}

const quote = (text: string): string => JSON.stringify(text.slice(0, 100));
const bad = (why: string, code: 'bad-value' | 'duplicate' = 'bad-value'): FormatError =>
  new FormatError('deb822', code, `Cannot read the paragraph of a package: ${why}`);
