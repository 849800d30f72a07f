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

  test('a lock of version 1 is read, and written as version 2', () => {
    const text = JSON.stringify({ version: 1, debs: { musl: deb } });
    const lock = parseLock(text, 'microbuild.lock');
    expect(lock).toEqual({ ...emptyLock, debs: { musl: deb } });
    expect(formatLock(lock)).toContain('\nversion: 2\n');
  });

  test('a lock of a later version says who can read it', () => {
    expect(() => parseLock('version: 3', 'microbuild.lock')).toThrow('of version 3, not 1 or 2');
  });

  test('all sections are kept, in one order', () => {
    const blob = { digest: `sha256:${'ab'.repeat(32)}`, size: 3, mediaType: 'a/b' };
    const file = { sha256: 'cd'.repeat(32), size: 7 };
    const lock: Lock = {
      version: 2,
      debs: {
        musl: {
          ...deb,
          dependencies: ['a2', 'b2'],
          askedBy: { package: 'x1', relation: 'Depends: musl' },
        },
      },
      archives: { 'https://example.org/x.tar': file },
      files: { 'y.tar': file },
      oci: {
        'a.example/b:1': { manifest: blob, config: blob, layers: [blob], platform: 'linux/amd64' },
      },
      git: { './r#main': { commit: 'ef'.repeat(20), ...file } },
      kernel: { release: '6.1', erofs: ['CONFIG_EROFS_FS'], sha256: 'ab'.repeat(32) },
      tools: { microbuild: '1.0.0', guest: 'ab'.repeat(32) },
    };
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
