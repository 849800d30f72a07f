/**
 * Under which licences a Debian package stands, as far as its copyright file tells programs: as an SPDX expression.
 *
 * @see https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
 */

/** Copyright files of large projects have half a megabyte. In bytes. */
export const MAX_COPYRIGHT_SIZE: number = 4 << 20;
/** What is longer helps nobody. In characters. */
const MAX_EXPRESSION = 4096;

const FORMAT =
  /^format:\s*https?:\/\/(?:www\.)?debian\.org\/doc\/packaging-manuals\/copyright-format\/1\.0\/?\s*$/i;

/** Debian's short names in lower case, where SPDX has another one. */
const RENAMED: Readonly<Record<string, string>> = {
  'apache-1.0': 'Apache-1.0',
  'apache-1.1': 'Apache-1.1',
  'apache-2': 'Apache-2.0',
  'apache-2.0': 'Apache-2.0',
  artistic: 'Artistic-1.0',
  'artistic-2.0': 'Artistic-2.0',
  'bsd-2-clause': 'BSD-2-Clause',
  'bsd-3-clause': 'BSD-3-Clause',
  'bsd-4-clause': 'BSD-4-Clause',
  'bsl-1.0': 'BSL-1.0',
  cc0: 'CC0-1.0',
  'cc0-1.0': 'CC0-1.0',
  expat: 'MIT',
  isc: 'ISC',
  mit: 'MIT',
  'mpl-1.1': 'MPL-1.1',
  'mpl-2.0': 'MPL-2.0',
  'psf-2': 'PSF-2.0',
  'unicode-dfs-2016': 'Unicode-DFS-2016',
  w3c: 'W3C',
  zlib: 'Zlib',
};

/** The versions that SPDX has of licences whose names tell whether later ones are taken. */
const VERSIONED: Readonly<Record<string, readonly string[]>> = {
  GPL: ['1.0', '2.0', '3.0'],
  LGPL: ['2.0', '2.1', '3.0'],
  AGPL: ['3.0'],
  GFDL: ['1.1', '1.2', '1.3'],
};

function spdxName(name: string): string {
  const renamed = RENAMED[name.toLowerCase()];
  if (renamed !== undefined) return renamed;
  const [, family = '', isWithout, number = '', later] =
    /^(GPL|LGPL|AGPL|GFDL)(-NIV)?-(\d(?:\.\d)?)(\+|-or-later)?$/i.exec(name) ?? [];
  const version = number.includes('.') ? number : `${number}.0`;
  const known = VERSIONED[family.toUpperCase()];
  if (known?.includes(version) === true) {
    const without = isWithout === undefined ? '' : '-no-invariants';
    return `${family.toUpperCase()}-${version}${without}-${later === undefined ? 'only' : 'or-later'}`;
  }
  // A name of SPDX that says which licence it is, to people and to those who know it.
  return `LicenseRef-${name.replaceAll(/[^A-Za-z0-9.-]+/g, '-').replaceAll(/^-+|-+$/g, '')}`;
}

/** One licence, or an exception to one, as SPDX names it; undefined where no name is left. */
function spdxTerm(text: string): string | undefined {
  const name = text.trim().replaceAll(/\s+/g, ' ');
  return /[A-Za-z0-9]/.test(name) ? spdxName(name) : undefined;
}

/**
 * Reads `A or B, and C`: commas bind less than words, and `and` more than `or`.
 *
 * @returns undefined when it is no such expression.
 */
function spdxExpression(synopsis: string): string | undefined {
  const join = (parts: readonly (string | undefined)[], by: string): string | undefined => {
    if (parts.some((part) => part === undefined)) return undefined;
    const [only] = parts;
    const isMixed = (part = ''): boolean => / (?:AND|OR) /.test(part) && !part.startsWith('(');
    return parts.length === 1
      ? only
      : parts.map((part) => (isMixed(part) ? `(${part})` : part)).join(` ${by} `);
  };
  const split = (
    text: string,
    separators: readonly (readonly [RegExp, string])[],
  ): string | undefined => {
    const [first, ...rest] = separators;
    if (first === undefined) return spdxTerm(text);
    const [separator, by] = first;
    return join(
      text.split(separator).map((part) => split(part, rest)),
      by,
    );
  };
  return split(synopsis.trim().replace(/,$/, ''), [
    [/,\s+or\s+/i, 'OR'],
    [/,\s+and\s+|,\s+/i, 'AND'],
    [/\s+or\s+/i, 'OR'],
    [/\s+and\s+/i, 'AND'],
  ]);
}

/**
 * @returns all licences of the package's files as one expression, or undefined when the file is not of the format for programs,
 *   or says nothing that can be understood.
 */
export function licenseOfCopyright(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_COPYRIGHT_SIZE) return undefined;
  const text = new TextDecoder('utf-8').decode(bytes).replaceAll('\r\n', '\n');
  const [header = '', ...paragraphs] = text.trimStart().split(/\n[ \t]*\n/);
  if (!header.split('\n').some((line) => FORMAT.test(line))) return undefined;
  const found = new Set<string>();
  for (const paragraph of paragraphs) {
    const lines = paragraph.split('\n');
    if (!lines.some((line) => /^files:/i.test(line))) continue;
    const license = lines.find((line) => /^license:/i.test(line));
    const expression = license && spdxExpression(license.slice('license:'.length));
    if (expression === undefined || expression === '') return undefined;
    found.add(expression);
  }
  const all = [...found];
  const joined =
    all.length === 1
      ? all[0]
      : all.map((each) => (each.includes(' OR ') ? `(${each})` : each)).join(' AND ');
  return joined === undefined || joined === '' || joined.length > MAX_EXPRESSION
    ? undefined
    : joined;
}
