import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { actionKey, openCache } from '../../../src/cache/store.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

describe('openCache()', () => {
  test('finds what was put, by its digest', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    expect(readFileSync((await cache.find(digest)) ?? '', 'utf8')).toBe('blob');
  });

  test('drops a damaged blob instead of returning it', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    writeFileSync((await cache.find(digest)) ?? '', 'blub');
    expect(await cache.find(digest)).toBeUndefined();
    await cache.put(Buffer.from('blob'));
    expect(await cache.find(digest)).toBeDefined();
  });

  test('a truncated blob is written anew by put()', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    truncateSync((await cache.find(digest)) ?? '', 2);
    await cache.put(Buffer.from('blob'));
    expect(await cache.find(digest)).toBeDefined();
  });

  test('adopt() moves a file in and says its digest', async () => {
    const folder = tmpDir();
    const cache = await openCache(folder);
    const temporary = await cache.temporaryFolder();
    writeFileSync(join(temporary, 'x'), 'adopted');
    const { sha256, size, path } = await cache.adopt(join(temporary, 'x'));
    expect(size).toBe(7);
    expect(await cache.find(sha256)).toBe(path);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('results come back by action key; a damaged one is absent', async () => {
    const cache = await openCache(tmpDir());
    const key = actionKey({ step: 'x', input: ['a'] });
    expect(await cache.getResult(key)).toBeUndefined();
    await cache.putResult(key, { blob: 'b' });
    expect(await cache.getResult(key)).toEqual({ blob: 'b' });
    writeFileSync(join(cache.directory, 'ac', key.slice(0, 2), key), '{');
    expect(await cache.getResult(key)).toBeUndefined();
  });
});

describe('actionKey()', () => {
  test('does not depend on the order of keys, but on every value', () => {
    expect(actionKey({ a: 1, b: { c: 2, d: 3 } })).toBe(actionKey({ b: { d: 3, c: 2 }, a: 1 }));
    expect(actionKey({ a: [1, 2] })).not.toBe(actionKey({ a: [2, 1] }));
  });
});
