import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { defaultCacheDirectory, openCache, type Cache } from '../../../src/cache/store.ts';
import { plainFileReader, type FileReader } from '../../../src/io/file-signatures.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** A reader that counts what it hashes. */
function countingReader(): FileReader & { hashed: number } {
  const reader = {
    hashed: 0,
    signatures: (paths: readonly string[], options: { readonly follow: boolean }) =>
      plainFileReader.signatures(paths, options),
    digests(paths: readonly string[]) {
      reader.hashed += paths.length;
      return plainFileReader.digests(paths);
    },
  };
  return reader;
}

/** Stores a file by `adopt`, with a time before the present. */
async function stored(cache: Cache, content: string) {
  const folder = await cache.temporaryFolder();
  writeFileSync(join(folder, 'x'), content);
  return cache.adopt(join(folder, 'x'));
}

describe('openCache()', () => {
  test('finds what was put, by its digest', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    expect(readFileSync((await cache.find(digest)) ?? '', 'utf8')).toBe('blob');
    expect(await cache.readBlob(digest)).toEqual(Buffer.from('blob'));
    expect(await cache.find('0'.repeat(64))).toBeUndefined();
    expect(await cache.readBlob('0'.repeat(64))).toBeUndefined();
  });

  test('drops a damaged blob instead of returning it, and put() stores it anew', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    const path = (await cache.find(digest)) ?? '';
    writeFileSync(path, 'blub');
    expect(await cache.readBlob(digest)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    await cache.put(Buffer.from('blob'));
    await setTimeout(30);
    writeFileSync(path, 'blub');
    expect(await cache.find(digest)).toBeUndefined();
    await cache.put(Buffer.from('blob'));
    expect(await cache.find(digest)).toBe(path);
    writeFileSync(path, 'blub');
    await cache.put(Buffer.from('blob'));
    expect(readFileSync(path, 'utf8')).toBe('blob');
  });

  test('a truncated blob is written anew by put()', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    truncateSync((await cache.find(digest)) ?? '', 2);
    await cache.put(Buffer.from('blob'));
    expect(await cache.find(digest)).toBeDefined();
  });

  test('drops a blob of another size than is asked for, a link and a folder', async () => {
    const cache = await openCache(tmpDir());
    const digest = await cache.put(Buffer.from('blob'));
    expect(await cache.find(digest, 5)).toBeUndefined();
    expect(await cache.find(digest, 4)).toBeUndefined();
    const path = join(cache.directory, 'cas', digest.slice(0, 2), digest);
    writeFileSync(join(cache.directory, 'same'), 'blob');
    symlinkSync(join(cache.directory, 'same'), path);
    expect(await cache.find(digest)).toBeUndefined();
    mkdirSync(path);
    expect(await cache.find(digest)).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    expect(existsSync(join(cache.directory, 'same'))).toBe(true);
  });

  test('adopt() moves a file in and says its digest', async () => {
    const folder = tmpDir();
    const cache = await openCache(folder);
    const temporary = await cache.temporaryFolder();
    writeFileSync(join(temporary, 'x'), 'adopted');
    chmodSync(join(temporary, 'x'), 0o755);
    const { sha256, size, path } = await cache.adopt(join(temporary, 'x'));
    expect(size).toBe(7);
    expect(await cache.find(sha256)).toBe(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(temporary)).toEqual([]);
    // Again: the one that is there stays.
    const { ino } = statSync(path);
    writeFileSync(join(temporary, 'x'), 'adopted');
    expect(await cache.adopt(join(temporary, 'x'))).toEqual({ sha256, size, path });
    expect(statSync(path).ino).toBe(ino);
    expect(readdirSync(temporary)).toEqual([]);
  });

  test('adopt() puts a whole file in the place of a damaged one', async () => {
    const cache = await openCache(tmpDir());
    const { path } = await stored(cache, 'whole');
    writeFileSync(path, 'WHOLE');
    await stored(cache, 'whole');
    expect(readFileSync(path, 'utf8')).toBe('whole');
  });

  test('hashes a blob once, then no more in this process nor in the next', async () => {
    const directory = tmpDir();
    const { sha256 } = await stored(await openCache(directory), 'large');
    await setTimeout(30);
    const reader = countingReader();
    const first = await openCache(directory, { reader });
    for (let i = 0; i < 3; i += 1) expect(await first.find(sha256)).toBeDefined();
    expect(reader.hashed).toBe(1);
    await first.close();
    const second = await openCache(directory, { reader });
    expect(await second.find(sha256)).toBeDefined();
    expect(reader.hashed).toBe(1);
  });

  test('what this process stored is not hashed again, also not by the next', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    const { sha256 } = await stored(cache, 'large');
    await cache.close();
    const reader = countingReader();
    expect(await (await openCache(directory, { reader })).find(sha256)).toBeDefined();
    expect(reader.hashed).toBe(0);
  });

  test('notices a change to a blob that was hashed before, in every process', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    const { sha256, path } = await stored(cache, 'large');
    await cache.close();
    const { atimeMs, mtimeMs } = statSync(path);
    await setTimeout(30);
    writeFileSync(path, 'LARGE');
    utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
    expect(await cache.find(sha256)).toBeUndefined();
    expect(await (await openCache(directory)).find(sha256)).toBeUndefined();
  });

  test('being used does not make a blob unknown', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    const { sha256, path } = await stored(cache, 'large');
    utimesSync(path, 1000, 1000);
    const reader = countingReader();
    const next = await openCache(directory, { reader });
    await next.find(sha256);
    expect(reader.hashed).toBe(1);
    expect(statSync(path).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
    await next.find(sha256);
    await next.close();
    await (await openCache(directory, { reader })).find(sha256);
    expect(reader.hashed).toBe(1);
  });

  test('a process that only looks writes nothing', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    const { sha256 } = await stored(cache, 'large');
    await cache.close();
    const listing = (): unknown[] =>
      readdirSync(directory, { recursive: true, encoding: 'utf8' })
        .sort((a, b) => (a < b ? -1 : 1))
        .map((name) => [name, statSync(join(directory, name)).ctimeMs]);
    const before = listing();
    const next = await openCache(directory);
    expect(await next.find(sha256)).toBeDefined();
    await next.close();
    expect(listing()).toEqual(before);
  });
});

test('the cache is where the environment says', () => {
  const home = defaultCacheDirectory({});
  expect(home).toMatch(/\.cache\/microbuild$/);
  expect(defaultCacheDirectory({ HOME: '/h' })).toBe('/h/.cache/microbuild');
  expect(defaultCacheDirectory({ XDG_CACHE_HOME: '/x' })).toBe('/x/microbuild');
  // What is empty or relative must not become a cache in whatever folder this is.
  for (const nothing of ['', 'relative']) {
    expect(defaultCacheDirectory({ XDG_CACHE_HOME: nothing, HOME: '/h' })).toBe(
      '/h/.cache/microbuild',
    );
    expect(defaultCacheDirectory({ HOME: nothing })).toBe(home);
  }
  expect(defaultCacheDirectory({ MICROBUILD_CACHE: '', HOME: '/h' })).toBe('/h/.cache/microbuild');
  expect(defaultCacheDirectory({ MICROBUILD_CACHE: 'here' })).toBe(resolve('here'));
  expect(defaultCacheDirectory({ XDG_CACHE_HOME: '/x', MICROBUILD_CACHE: '/y' })).toBe('/y');
});
