import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import { globMatcher } from '../../../src/io/glob.ts';

describe('globMatcher()', () => {
  it.each([
    ['*.pyc', '/usr/lib/a.pyc', true],
    ['*.pyc', '/usr/a.pyc/b', false],
    ['?', '/x/😀', true],
    ['doc', '/usr/doc', true],
    ['/doc', '/usr/doc', false],
    ['/usr/*/doc', '/usr/share/doc', true],
    ['usr/*/doc', '/usr/share/more/doc', false],
    ['usr/**/doc', '/usr/share/more/doc', true],
    ['usr/**/doc', '/usr/doc', true],
    ['/usr/doc/', '/usr/doc', true],
    ['**/cache/*', '/a/b/cache/c', true],
    ['usr/**', '/usr/a/b', true],
    ['[a-c]x', '/bx', true],
    ['[!a-c]x', '/bx', false],
    ['[!a-c]x', '/dx', true],
    ['[]]', '/]', true],
    ['a.b', '/aXb', false],
    ['(a|b)+', '/a', false],
    ['(a|b)+', '/(a|b)+', true],
  ])('%s and %s: %s', (pattern, path, expected) => {
    expect(globMatcher([pattern])(path)).toBe(expected);
  });

  it('takes a name without special characters for itself only', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[^*?[\]/\0]{1,20}$/u), fc.string(), (name, other) => {
        expect(globMatcher([name])(`/folder/${name}`)).toBe(true);
        if (!other.includes('/') && other !== name)
          expect(globMatcher([name])(`/${other}`)).toBe(false);
      }),
    );
  });

  it.each(['', '/', '[a', '[z-a]'])('refuses the pattern "%s"', (pattern) => {
    expect(() => globMatcher([pattern])).toThrow(UsageError);
  });
});
