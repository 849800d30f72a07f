/** Every stable name has a page, and errors end with a name that has one. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT } from '../../../src/cli/exit-code.ts';
import { explainedNames, explainName, errorReference } from '../../../src/cli/explain.ts';
import { renderError } from '../../../src/cli/render/error.ts';
import {
  FormatError,
  RecipeError,
  UsageError,
  VerificationError,
} from '../../../src/core/errors.ts';
import { linkPages } from '../../../src/core/error-pages.ts';
import { DEATH_REASONS } from '../../../src/runner/life-cycle.ts';
import { issueMessages } from '../../../src/signing/apk/verifier/issue-messages.ts';

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join('src', name), 'utf8'));

/** What stands in the source where a pattern's group does. */
function literals(pattern: RegExp): Set<string> {
  const found = new Set<string>();
  for (const text of sources) for (const match of text.matchAll(pattern)) found.add(match[1] ?? '');
  return found;
}

describe('explainName()', () => {
  // Codes need no look at the source: the compiler takes none that has no page.
  test('every link of the chain of trust that the source names has a page', () => {
    const links = new Set([
      ...literals(/new VerificationError\(\s*'([^']+)'/g),
      ...literals(/\bprove\(\s*'([^']+)'/g),
      ...literals(/\bLINK = '([a-z-]+)';/g),
    ]);
    links.delete('link of the chain of trust');
    expect(links.size).toBeGreaterThan(10);
    expect([...links].filter((link) => !Object.hasOwn(linkPages, link))).toEqual([]);
  });

  test('every exit code, reason of death and finding has a page', () => {
    const names = [
      ...Object.values(EXIT).map(String),
      ...Object.keys(DEATH_REASONS),
      ...Object.keys(issueMessages),
      'MICROBUILD_OS_VERIFICATION_FAILED',
    ];
    expect(names.filter((name) => explainName(name).length === 0)).toEqual([]);
  });

  test('the reasons that the guest writes have a page each', () => {
    const files = ['guest/manager/src/failure.rs', 'guest/init/src/main.rs'];
    const said = files.flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/"((?:MICRODROID|MICROBUILD)_[A-Z_]+)"/g)].map(
        ([, name = '']) => name,
      ),
    );
    expect(said.length).toBeGreaterThan(4);
    expect(said.filter((name) => explainName(name).length === 0)).toEqual([]);
  });

  test('no page is empty, and no name comes twice in its group', () => {
    const all = explainedNames();
    for (const { meaning, remedy, example } of all) {
      expect([meaning, remedy, example].every((text) => text.trim().length >= 4)).toBe(true);
    }
    const names = all.map(({ group, name }) => `${group} ${name}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test('an unknown name has none; case does not matter', () => {
    expect(explainName('nothing-of-ours')).toEqual([]);
    expect(explainName('x/nothing-of-ours')).toEqual([]);
    expect(explainName('BAD-MAGIC').map(({ name }) => name)).toEqual(['bad-magic']);
    expect(explainName('kernel/PublicKeyRejected').map(({ name }) => name)).toEqual([
      'kernel',
      'PublicKeyRejected',
    ]);
  });
});

describe('renderError()', () => {
  const terminal = {
    interactive: false,
    out: () => undefined,
    err: () => undefined,
    style: (_style: unknown, text: string) => text,
  };
  test('shows a hint of several lines as such, and no other control characters', () => {
    const diagnostic = { file: '/r/a.yaml', line: 1, column: 2, message: 'It failed' };
    const hint = 'It printed:\n  | make: \u001b[31mno rule\n  | made nothing';
    const told = renderError(new RecipeError([{ ...diagnostic, hint }]), terminal, false);
    expect(told.split('\n').slice(1, 4)).toEqual([
      '  help: It printed:',
      String.raw`  | make: \x1b[31mno rule`,
      '  | made nothing',
    ]);
  });

  test('ends with a name that explain takes', () => {
    const errors = [
      new FormatError('erofs', 'bad-magic', 'Cannot read EROFS'),
      new VerificationError('kernel', 'PublicKeyRejected', 'Cannot verify kernel'),
      new UsageError('lock', 'Cannot read lock', { hint: 'Write it anew' }),
    ];
    for (const error of errors) {
      const last = renderError(error, terminal, false).split('\n').at(-1) ?? '';
      const name = /^ {2}microbuild explain (\S+)$/.exec(last)?.[1] ?? '';
      expect(explainName(name).length).toBeGreaterThan(0);
    }
  });
});

test('docs/errors.md is the one that the tables make', () => {
  expect(readFileSync('docs/errors.md', 'utf8')).toBe(errorReference());
});
