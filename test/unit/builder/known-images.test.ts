import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ImageRecord } from '../../../src/builder/image-record.ts';
import { openKnownImages, type KnownImages } from '../../../src/builder/known-images.ts';
import { cacheInfo, clearCache, verifyCache } from '../../../src/cache/inventory.ts';
import { prune } from '../../../src/cache/prune.ts';
import { openCache, type Cache } from '../../../src/cache/store.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const record: ImageRecord = {
  parameters: 'ab'.repeat(32),
  offset: 4096,
  size: 8192,
  treeOffset: 8192,
  treeSize: 4096,
  files: new Map(),
};
const KEY = 'cd'.repeat(32);

let folder: string;
let cache: Cache;
let images: KnownImages;
let disk: string;
beforeEach(async () => {
  folder = tmpDir();
  cache = await openCache(join(folder, 'cache'));
  images = openKnownImages(cache);
  disk = join(folder, 'os.img');
  writeFileSync(disk, 'an image');
  const place = { path: disk, offset: 512, size: 8 };
  await images.remember(join(folder, 'out'), place, [{ name: 'system', key: KEY, record }]);
});
const find = (key: string | undefined, output: string) =>
  images.find(key, join(folder, output), 'system');

describe('images of earlier builds', () => {
  test('are found by their tree, from any bundle', async () => {
    const found = await find(KEY, 'elsewhere');
    expect(found).toMatchObject({ path: disk, start: 512, record, isSame: true });
    expect(await find(undefined, 'elsewhere')).toBeUndefined();
  });

  test('are found by the bundle that they are in, for another tree', async () => {
    expect(await find('ef'.repeat(32), 'out')).toMatchObject({ path: disk, isSame: false });
    expect(await find(undefined, 'out')).toMatchObject({ path: disk, isSame: false });
    expect(await images.find(KEY, join(folder, 'out'), 'vendor')).toMatchObject({ isSame: true });
    expect(await images.find(undefined, join(folder, 'out'), 'vendor')).toBeUndefined();
  });

  test.each<[string, () => void]>([
    ['has changed', () => appendFileSync(disk, '!')],
    ['is gone', () => rmSync(disk)],
    [
      'is another file of the same content',
      () => {
        rmSync(disk);
        writeFileSync(disk, 'an image');
      },
    ],
  ])('are not taken when the file %s', async (_, change) => {
    change();
    expect(await find(KEY, 'out')).toBeUndefined();
  });

  test.each([
    '',
    '{',
    'null',
    '[]',
    '{"version":1}',
    '{"version":1,"path":"/x","start":0,"signature":[],"record":"../x"}',
  ])('are not taken when what is kept of them is damaged: %j', async (text) => {
    const kept = join(cache.directory, 'microbuild', 'images');
    for (const name of readdirSync(kept)) writeFileSync(join(kept, name), text);
    expect(await find(KEY, 'out')).toBeUndefined();
  });

  test('tell whether they were replaced while they were used', async () => {
    const found = await find(KEY, 'out');
    expect(await found?.isUnchanged()).toBe(true);
    rmSync(disk);
    expect(await found?.isUnchanged()).toBe(false);
    writeFileSync(disk, 'an image');
    expect(await found?.isUnchanged()).toBe(false);
  });

  test('are not remembered when another build has replaced their bundle meanwhile', async () => {
    const place = { path: disk, offset: 512, size: 8 };
    const replaced = (): Promise<boolean> => Promise.resolve(false);
    const image = { name: 'vendor', key: 'late', record };
    await images.remember(join(folder, 'out'), place, [image], replaced);
    expect(await find('late', 'elsewhere')).toBeUndefined();
    expect(await images.find(undefined, join(folder, 'out'), 'vendor')).toBeUndefined();
  });

  test('are not taken without their record', async () => {
    const kept = join(cache.directory, 'microbuild', 'images');
    const [name = ''] = readdirSync(kept);
    const { record: digest } = JSON.parse(readFileSync(join(kept, name), 'utf8')) as {
      record: string;
    };
    rmSync(join(cache.directory, 'cas', digest.slice(0, 2), digest));
    expect(await find(KEY, 'out')).toBeUndefined();
  });
});

describe('the commands of the cache know images', () => {
  const kept = (): string[] => readdirSync(join(cache.directory, 'microbuild', 'images'));
  const recordPath = (): string => {
    const text = readFileSync(
      join(cache.directory, 'microbuild', 'images', kept()[0] ?? ''),
      'utf8',
    );
    const { record: digest } = JSON.parse(text) as { record: string };
    return join(cache.directory, 'cas', digest.slice(0, 2), digest);
  };

  test('which stay as long as they are what they were', async () => {
    expect(await cacheInfo(cache.directory)).toMatchObject({ images: 2 });
    expect(await prune(cache.directory, { bound: 2 ** 30 })).toMatchObject({ removedImages: 0 });
    expect((await verifyCache(cache.directory)).damaged).toEqual([]);
    expect(await find(KEY, 'out')).toBeDefined();
  });

  test('and go when the bundle is gone: that is no damage', async () => {
    rmSync(disk);
    const dry = await prune(cache.directory, { bound: 2 ** 30, dryRun: true });
    expect([dry?.removedImages, kept().length]).toEqual([2, 2]);
    expect((await verifyCache(cache.directory)).damaged).toEqual([]);
    expect(kept()).toEqual([]);
  });

  test('and go with their record', async () => {
    expect(await prune(cache.directory, { bound: 0, grace: -1000 })).toMatchObject({
      removedEntries: 1,
      removedImages: 2,
    });
    expect(kept()).toEqual([]);
  });

  test.each<[string, () => void, RegExp]>([
    ['is damaged', () => writeFileSync(recordPath(), 'x'), /names the blob [0-9a-f]{64}/],
    [
      'is no entry',
      () => {
        for (const name of kept()) {
          writeFileSync(join(cache.directory, 'microbuild', 'images', name), '{}');
        }
      },
      /no entry of an image/,
    ],
  ])('and are told of when what is kept %s', async (_, change, problem) => {
    change();
    const { damaged } = await verifyCache(cache.directory);
    const found = damaged.filter(({ kind }) => kind === 'image');
    expect(found).toHaveLength(2);
    expect(found[0]?.problem).toMatch(problem);
    expect((await verifyCache(cache.directory)).damaged).toEqual([]);
  });

  test('and what is beside the store is counted, and goes with it', async () => {
    mkdirSync(join(cache.directory, 'apt/amd64-plain/lists'), { recursive: true });
    writeFileSync(join(cache.directory, 'apt/amd64-plain/lists/Packages'), Buffer.alloc(5000));
    expect(await cacheInfo(cache.directory)).toMatchObject({ besides: 5000 });
    await clearCache(cache.directory);
    expect(await cacheInfo(cache.directory)).toMatchObject({ besides: 0, images: 0 });
  });
});
