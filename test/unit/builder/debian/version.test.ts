import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareVersions, versionSatisfies } from '../../../../src/builder/debian/version.ts';

describe('compareVersions()', () => {
  test.each([
    ['1.0', '1.0', 0],
    ['1.0~rc1', '1.0', -1],
    ['1.0~~', '1.0~', -1],
    ['1.0~~', '1.0~~a', -1],
    ['1.0a', '1.0+', -1],
    ['1.0', '1.0a', -1],
    ['1.10', '1.9', 1],
    ['1:0.1', '2.0', 1],
    ['0:1.0', '1.0', 0],
    ['1.0-1', '1.0', 1],
    ['1.0-0', '1.0', 0],
    ['1.2-3-4', '1.2-3-5', -1],
    ['1.001', '1.1', 0],
    ['1.0.99999999999999999999998', '1.0.99999999999999999999999', -1],
    ['2.36-9+deb12u13', '2.36-9+deb12u4', 1],
    ['1.0+b1', '1.0', 1],
  ])('%s and %s: %i', (a, b, order) => {
    expect(compareVersions(a, b)).toBe(order);
    expect(compareVersions(b, a)).toBe(order === 0 ? 0 : -order);
  });

  test('is an order: antisymmetric and transitive', () => {
    const version = fc.stringMatching(/^[0-9a~+.]{1,6}(-[0-9a~+.]{1,3})?$/);
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(compareVersions(a, b) + compareVersions(b, a)).toBe(0);
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) {
          expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('relations compare by it', () => {
    const fitting = (['<<', '<=', '=', '>=', '>>'] as const).filter((operator) =>
      versionSatisfies('1.0', operator, '1.0-0'),
    );
    expect(fitting).toEqual(['<=', '=', '>=']);
  });
});
