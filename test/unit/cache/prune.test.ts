import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runAction } from '../../../src/cache/action.ts';
import { cacheInfo, clearCache, verifyCache } from '../../../src/cache/inventory.ts';
import { listEntries, prune, sizeBound } from '../../../src/cache/prune.ts';
import { openCache, type Cache } from '../../../src/cache/store.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const HOUR = 3600;

/** A step that makes a file of 1000 bytes. */
const step = (cache: Cache, name: string, content = name) =>
  runAction(
    cache,
    { mnemonic: 'make/1', parameters: name, inputs: {}, outputs: ['out'] },
    async (folder) => {
      writeFileSync(join(folder, 'out'), content.padEnd(1000, '.'));
      return { value: name };
    },
  );

/** Makes all that is there look as if it was used so many hours ago. */
async function age(cache: Cache, hours: number): Promise<void> {
  const when = Date.now() / 1000 - hours * HOUR;
  for (const { path } of await listEntries(cache.directory)) utimesSync(path, when, when);
}

const cachedNames = async (cache: Cache, names: readonly string[]): Promise<string[]> => {
  const found: string[] = [];
  for (const name of names) if ((await step(cache, name)).cached) found.push(name);
  return found;
};

describe('prune()', () => {
  test('removes what was not used longest, results with what they name', async () => {
    const cache = await openCache(tmpDir());
    for (const name of ['a', 'b', 'c', 'd']) await step(cache, name);
    await age(cache, 50);
    // What is used again is young again.
    expect(await cachedNames(cache, ['b', 'd'])).toEqual(['b', 'd']);
    const pruned = await prune(cache.directory, { bound: 3500 });
    expect(pruned?.removedEntries).toBeGreaterThan(0);
    const { damaged } = await verifyCache(cache.directory);
    expect(damaged).toEqual([]);
    expect(await cachedNames(cache, ['b', 'd'])).toEqual(['b', 'd']);
    expect(await cachedNames(cache, ['a', 'c'])).toEqual([]);
  });

  test('a blob is as young as the youngest result that names it', async () => {
    const cache = await openCache(tmpDir());
    const { outputs } = await step(cache, 'one', 'shared');
    await step(cache, 'two', 'shared');
    await age(cache, 50);
    // As a process would leave it that was killed between result and blob.
    expect(await cachedNames(cache, ['two'])).toEqual(['two']);
    utimesSync(outputs.out.path, 1000, 1000);
    await prune(cache.directory, { bound: 2000 });
    expect(existsSync(outputs.out.path)).toBe(true);
    expect((await verifyCache(cache.directory)).damaged).toEqual([]);
  });

  test('what was used in the last hour stays, however small the bound is', async () => {
    const cache = await openCache(tmpDir());
    await step(cache, 'a');
    const { removedEntries } = (await prune(cache.directory, { bound: 0 })) ?? {};
    expect(removedEntries).toBe(0);
    expect((await step(cache, 'a')).cached).toBe(true);
  });

  test('results without what they name go, and nothing else does', async () => {
    const cache = await openCache(tmpDir());
    const { outputs } = await step(cache, 'a');
    await step(cache, 'b');
    rmSync(outputs.out.path);
    const pruned = await prune(cache.directory, { bound: 1e9 });
    expect(pruned?.removedEntries).toBe(1);
    expect((await verifyCache(cache.directory)).damaged).toEqual([]);
  });

  test('a dry run says the same and removes nothing', async () => {
    const cache = await openCache(tmpDir());
    for (const name of ['a', 'b']) await step(cache, name);
    await age(cache, 50);
    const before = await listEntries(cache.directory);
    const dry = await prune(cache.directory, { bound: 1500, dryRun: true });
    expect(await listEntries(cache.directory)).toEqual(before);
    const wet = await prune(cache.directory, { bound: 1500 });
    expect(wet).toEqual(dry);
  });

  test('removes what killed processes left, not what living ones are at', async () => {
    const cache = await openCache(tmpDir());
    const own = await cache.temporaryFolder();
    const [mark = ''] = /^[^-]*/.exec(own.slice(own.lastIndexOf('/') + 1)) ?? [];
    const [place = ''] = mark.split('.');
    const at = (name: string): string => join(cache.directory, 'tmp', name);
    const dead = at(`${place}.4194304.1-${'0'.repeat(16)}`);
    const reused = at(`${place}.${process.pid}.1-${'0'.repeat(16)}`);
    const foreign = at(`${'f'.repeat(12)}.1.1-${'0'.repeat(16)}`);
    const uuid = at('0b0e3c4e-64c2-4a3e-9d0b-2f1f3c8f5a11');
    for (const path of [dead, reused, foreign]) mkdirSync(path);
    writeFileSync(uuid, 'half a blob of another tool');
    const pruned = await prune(cache.directory, { bound: 1e9 });
    expect(pruned?.removedTemporaries).toBe(2);
    const left = [own, dead, reused, foreign, uuid].map((path) => existsSync(path));
    expect(left).toEqual([true, false, false, true, true]);
    const old = Date.now() / 1000 - 30 * HOUR;
    for (const path of [foreign, uuid]) utimesSync(path, old, old);
    await prune(cache.directory, { bound: 1e9 });
    expect([own, foreign, uuid].map((path) => existsSync(path))).toEqual([true, false, false]);
  });
});

describe('a cache with a bound', () => {
  test('keeps to it from build to build, and does not look at all of it each time', async () => {
    const directory = tmpDir();
    const bound = 20_000;
    let counted = 0;
    const growth = join(directory, 'microbuild/growth');
    for (let build = 0; build < 40; build += 1) {
      const cache = await openCache(directory, { bound });
      await step(cache, `build ${build}`);
      await cache.close();
      if (readFileSync(growth).length === 8) counted += 1;
      await age(cache, 2);
      const entries = await listEntries(directory);
      const bytes = entries.reduce((sum, { size }) => sum + size, 0);
      expect(bytes).toBeLessThan(bound + 3000);
    }
    expect(counted).toBeGreaterThan(1);
    expect(counted).toBeLessThan(20);
    expect((await verifyCache(directory)).damaged).toEqual([]);
  });

  test('a build that adds nothing counts nothing', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    await step(cache, 'a');
    await cache.close();
    const growth = readFileSync(join(directory, 'microbuild/growth'));
    const again = await openCache(directory);
    expect((await step(again, 'a')).cached).toBe(true);
    await again.close();
    expect(readFileSync(join(directory, 'microbuild/growth'))).toEqual(growth);
  });
});

describe('verifyCache()', () => {
  test('hashes all, also what is remembered, and removes what is damaged', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    const made = [await step(cache, 'a'), await step(cache, 'b'), await step(cache, 'c')];
    await cache.close();
    expect(await verifyCache(directory)).toMatchObject({ results: { entries: 3 }, damaged: [] });
    const [a = '', b = ''] = made.map(({ outputs }) => outputs.out.path);
    writeFileSync(a, 'x'.repeat(1000));
    truncateSync(b, 10);
    const keys = (await listEntries(directory)).filter(({ kind }) => kind === 'ac');
    const { damaged } = await verifyCache(directory);
    expect(damaged.map(({ kind }) => kind).sort()).toEqual(['ac', 'ac', 'cas', 'cas']);
    expect(damaged.filter(({ kind }) => kind === 'ac')).toMatchObject([
      { problem: expect.stringContaining('which is not there') as string },
      { problem: expect.stringContaining('which is not there') as string },
    ]);
    expect(keys).toHaveLength(3);
    expect((await verifyCache(directory)).damaged).toEqual([]);
    expect(await cachedNames(await openCache(directory), ['a', 'b', 'c'])).toEqual(['c']);
  });

  test('a result that is none, a link, a folder in the place of a blob', async () => {
    const directory = tmpDir();
    const cache = await openCache(directory);
    await step(cache, 'a');
    const at = (kind: string, key: string): string => join(directory, kind, 'ff', key);
    const key = 'f'.repeat(64);
    for (const kind of ['ac', 'cas']) mkdirSync(join(directory, kind, 'ff'), { recursive: true });
    writeFileSync(at('ac', key), 'no message');
    symlinkSync('/etc/hostname', at('cas', key));
    mkdirSync(at('cas', `${key.slice(0, 63)}e`));
    writeFileSync(at('cas', 'not a digest'), '');
    const { damaged } = await verifyCache(directory);
    expect(damaged).toHaveLength(3);
    expect(readdirSync(join(directory, 'cas/ff'))).toEqual(['not a digest']);
    expect((await step(cache, 'a')).cached).toBe(true);
  });
});

describe('cacheInfo() and clearCache()', () => {
  test('tell what there is, and that it is gone', async () => {
    const directory = tmpDir();
    expect(await cacheInfo(directory)).toMatchObject({
      blobs: { entries: 0 },
      oldestUse: undefined,
    });
    const cache = await openCache(directory);
    for (const name of ['a', 'b']) await step(cache, name);
    await cache.close();
    expect(await cacheInfo(directory)).toMatchObject({
      results: { entries: 2 },
      steps: { 'make/1': 2 },
    });
    const { entries } = await clearCache(directory);
    expect(entries).toBeGreaterThan(6);
    expect(await listEntries(directory)).toEqual([]);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    expect(await cachedNames(await openCache(directory), ['a'])).toEqual([]);
  });
});

describe('sizeBound()', () => {
  test('the environment may say another bound than 10 GiB', () => {
    expect(sizeBound({})).toBe(10 * 2 ** 30);
    expect(sizeBound({ MICROBUILD_CACHE_SIZE: '' })).toBe(10 * 2 ** 30);
    expect(sizeBound({ MICROBUILD_CACHE_SIZE: '1GiB' })).toBe(2 ** 30);
    expect(() => sizeBound({ MICROBUILD_CACHE_SIZE: 'big' })).toThrow('MICROBUILD_CACHE_SIZE');
  });
});

test('a store that cannot be looked at is not whole, nor empty', async () => {
  const directory = tmpDir();
  symlinkSync('cas', join(directory, 'cas'));
  await expect(verifyCache(directory)).rejects.toMatchObject({ code: 'ELOOP' });
  await expect(cacheInfo(directory)).rejects.toMatchObject({ code: 'ELOOP' });
});

describe('what is no file where the store has files', () => {
  test.each<[string, (path: string) => void]>([
    ['a folder', (path) => mkdirSync(join(path, 'x'), { recursive: true })],
    ['a link', (path) => symlinkSync('/etc/hostname', path)],
    ['a link to nothing', (path) => symlinkSync('/nowhere', path)],
    ['a pipe', (path) => void execFileSync('mkfifo', [path])],
  ])('%s is dropped, and what it stood for is made again', async (_, put) => {
    const cache = await openCache(tmpDir());
    await step(cache, 'a');
    const replaceAll = async (): Promise<number> => {
      const entries = await listEntries(cache.directory);
      for (const { path } of entries) {
        rmSync(path, { recursive: true });
        put(path);
      }
      return entries.length;
    };
    const count = await replaceAll();
    expect((await cacheInfo(cache.directory)).results.entries).toBe(1);
    expect((await verifyCache(cache.directory)).damaged).toHaveLength(count);
    expect(await listEntries(cache.directory)).toEqual([]);
    await step(cache, 'a');
    await replaceAll();
    const again = await openCache(cache.directory);
    expect((await step(again, 'a')).cached).toBe(false);
    expect((await step(again, 'a')).cached).toBe(true);
    expect((await verifyCache(cache.directory)).damaged).toEqual([]);
  });
});
