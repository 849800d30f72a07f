/** Patterns of sources and rules are patterns, and rules of a single file are about that file. */

import { UsageError } from '../../core/errors.ts';
import { pathMatcher } from '../../io/glob.ts';
import type { RecipePath } from '../../recipe/issues.ts';
import type { PartitionSource, TreeRule } from '../../recipe/source-schema.ts';
import type { CheckContext } from './context.ts';

export function checkRules(context: CheckContext): void {
  for (const [name, { contents, rules }] of Object.entries(context.recipe.data.partitions)) {
    const at = ['partitions', name];
    for (const [index, source] of contents.entries()) {
      const here = [...at, 'contents', index];
      for (const key of ['include', 'exclude'] as const) {
        const patterns =
          key in source ? (source as { [K in typeof key]?: readonly string[] })[key] : [];
        for (const [place, pattern] of (patterns ?? []).entries()) {
          checkPattern(context, [...here, key, place], pattern);
        }
      }
      checkEach(context, [...here, 'rules'], source.rules, onlyPath(source));
    }
    checkEach(context, [...at, 'rules'], rules, undefined);
  }
}

/** The one path that a source brings, but for the folders above it. */
function onlyPath(source: PartitionSource): string | undefined {
  if ('file' in source || 'inline' in source || 'symlink' in source) return source.to;
  return 'folder' in source ? source.folder : undefined;
}

function checkEach(
  context: CheckContext,
  at: RecipePath,
  rules: readonly TreeRule[],
  path: string | undefined,
): void {
  for (const [index, { match }] of rules.entries()) {
    const tests = match.map((pattern, place) =>
      checkPattern(context, [...at, index, 'match', place], pattern),
    );
    if (path === undefined || tests.some((test) => test === undefined)) continue;
    const above = path.split('/').map((_, count, parts) => parts.slice(0, count + 1).join('/'));
    if (above.some((each) => tests.some((test) => test?.(each || '/') === true))) continue;
    context.tell(
      [...at, index, 'match'],
      `This matches nothing: the source is ${path} only`,
      `Write ${path}`,
    );
  }
}

function checkPattern(
  context: CheckContext,
  at: RecipePath,
  pattern: string,
): ((path: string) => boolean) | undefined {
  try {
    return pathMatcher([pattern]);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    context.tell(
      at,
      error.message,
      'Write * and ? within a name, ** across names, [a-z] for one of several',
    );
    return undefined;
  }
}
