/** Patterns for paths: `*` and `?` within a name, `**` across names, `[a-z]` and `[!a-z]`. */

import { UsageError } from '../core/errors.ts';

/**
 * Whether a path that begins with `/` matches one of the patterns. A pattern without a slash is for the
 * last name, one with a slash for the whole path.
 *
 * @throws {UsageError} `usage` when a pattern is empty or has an open bracket.
 */
export function globMatcher(patterns: readonly string[]): (path: string) => boolean {
  const tests = patterns.map((pattern) => {
    const isPath = pattern.replace(/\/+$/, '').includes('/');
    const expression = globExpression(pattern.replace(/^\/+|\/+$/g, ''));
    return (path: string) =>
      expression.test(isPath ? path.slice(1) : path.slice(path.lastIndexOf('/') + 1));
  });
  return (path) => tests.some((test) => test(path));
}

const TOKEN = /\*\*\/|\*\*|\*|\?|\[!?\]?[^\]]*\]|[\s\S]/gu;

function globExpression(pattern: string): RegExp {
  if (pattern === '') throw new UsageError('usage', 'Cannot use an empty pattern');
  const source = (pattern.match(TOKEN) ?? []).map((token) => {
    if (token === '**/') return '(?:[^/]+/)*';
    if (token === '**') return '.*';
    if (token === '*') return '[^/]*';
    if (token === '?') return '[^/]';
    if (token === '[') {
      throw new UsageError('usage', `Cannot use the pattern ${pattern}: its bracket is not closed`);
    }
    if (!token.startsWith('[')) return escaped(token);
    const isNot = token.startsWith('[!');
    const members = token.slice(isNot ? 2 : 1, -1).replace(/[\\\]^[]/g, '\\$&');
    return isNot ? `[^/${members}]` : `[${members}]`;
  });
  try {
    return new RegExp(`^${source.join('')}$`, 'su');
  } catch (cause) {
    throw new UsageError('usage', `Cannot use the pattern ${pattern}: no such range`, { cause });
  }
}

const escaped = (character: string): string => character.replace(/[$()*+./?[\\\]^{|}]/, '\\$&');

/**
 * Whether a path, or a folder above it, matches: what a list of paths to take or to leave out means. A path that
 * is written as it is matches, too, whatever characters it has.
 *
 * @throws {UsageError} `usage` when a pattern is empty or has an open bracket.
 */
export function prefixMatcher(patterns: readonly string[]): (path: string) => boolean {
  const matches = pathMatcher(patterns);
  // Many paths have the folder above them in common.
  const folders = new Map<string, boolean>();
  const isBelow = (path: string): boolean => {
    const slash = path.lastIndexOf('/');
    if (slash <= 0) return false;
    const folder = path.slice(0, slash);
    let known = folders.get(folder);
    if (known === undefined) {
      known = matches(folder) || isBelow(folder);
      folders.set(folder, known);
    }
    return known;
  };
  return (path) => matches(path) || isBelow(path);
}

/** As `globMatcher`, and a path that is written as it is matches, whatever characters it has; `/` is the root. */
export function pathMatcher(patterns: readonly string[]): (path: string) => boolean {
  const exact = new Set(
    patterns.map((pattern) => (pattern === '/' ? pattern : pattern.replace(/\/+$/, ''))),
  );
  const globs = globMatcher(patterns.filter((pattern) => pattern !== '/'));
  return (path) => exact.has(path) || globs(path);
}
