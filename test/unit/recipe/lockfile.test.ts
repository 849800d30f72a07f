import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../src/core/errors.ts';
import { emptyLock, formatLock, parseLock, type Lock } from '../../../src/recipe/lockfile.ts';

const deb = {
  package: 'musl',
  version: '1.2.3-1',
  architecture: 'amd64',
  path: 'pool/main/m/musl/musl_1.2.3-1_amd64.deb',
  size: 406200,
  sha256: '4f'.repeat(32),
};

describe('lock file', () => {
  test('formatLock() and parseLock() are inverse', () => {
    const lock: Lock = { ...emptyLock, debs: { musl: deb } };
    expect(parseLock(formatLock(lock), 'microbuild.lock')).toEqual(lock);
  });

  test('formatLock() sorts: the order of locking does not show', () => {
    const a = formatLock({ ...emptyLock, debs: { aa: deb, bb: deb } });
    const b = formatLock({ ...emptyLock, debs: { bb: deb, aa: deb } });
    expect(a).toBe(b);
  });

  test.each([
    ['a path that climbs', { ...deb, path: 'pool/../../etc/x.deb' }],
    ['an absolute address', { ...deb, path: 'https://example.org/x.deb' }],
    ['a short digest', { ...deb, sha256: 'abc' }],
    ['a size of no package', { ...deb, size: 0 }],
    ['an unknown key', { ...deb, url: 'x' }],
  ])('parseLock() refuses %s', (_, bad) => {
    const text = JSON.stringify({ version: 2, debs: { musl: bad } });
    expect(() => parseLock(text, 'microbuild.lock')).toThrow(UsageError);
  });
});
