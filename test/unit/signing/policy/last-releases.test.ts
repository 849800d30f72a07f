import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../../src/core/errors.ts';
import {
  formatLastReleases,
  parseLastReleases,
  withReleases,
} from '../../../../src/signing/policy/last-releases.ts';

const names = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'hello/kernel', '12'),
  fc.stringMatching(/^[a-z/#0-9]{1,20}$/),
);
const indexes = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const releases = fc
  .array(fc.tuple(names, indexes))
  .map((entries): ReadonlyMap<string, bigint> => new Map(entries));

describe('what was released last', () => {
  test('is read as it was written', () => {
    fc.assert(
      fc.property(releases, (last) => {
        expect(parseLastReleases(formatLastReleases(last), 'file')).toEqual(last);
      }),
    );
  });

  test('is the same text in whichever order it came', () => {
    fc.assert(
      fc.property(releases, (last) => {
        const reversed = new Map([...last].reverse());
        expect(formatLastReleases(reversed)).toBe(formatLastReleases(last));
      }),
    );
  });

  test('never goes down', () => {
    fc.assert(
      fc.property(releases, releases, (last, now) => {
        const after = withReleases(last, now);
        for (const [name, index] of last) expect(after.get(name)).toBeGreaterThanOrEqual(index);
        for (const [name, index] of now) expect(after.get(name)).toBeGreaterThanOrEqual(index);
        expect(new Set(after.keys())).toEqual(new Set([...last.keys(), ...now.keys()]));
      }),
    );
  });

  test.each([
    ['not JSON', '{'],
    ['no object', '[]'],
    ['of another version', '{"schemaVersion":2,"rollbackIndexes":{}}'],
    ['without indexes', '{"schemaVersion":1}'],
    ['with an unknown field', '{"schemaVersion":1,"rollbackIndexes":{},"more":1}'],
    ['with a number, which loses digits', '{"schemaVersion":1,"rollbackIndexes":{"a":1}}'],
    ['with a leading zero', '{"schemaVersion":1,"rollbackIndexes":{"a":"01"}}'],
    ['beyond 64 bits', '{"schemaVersion":1,"rollbackIndexes":{"a":"18446744073709551616"}}'],
    ['with a control character', '{"schemaVersion":1,"rollbackIndexes":{"a\\n":"1"}}'],
  ])('is refused when it is %s', (_what, text) => {
    expect(() => parseLastReleases(text, 'file')).toThrow(FormatError);
  });

  test('is read or refused, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseLastReleases(text, 'file');
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});
