import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { ImageRecord } from '../../../src/builder/image-record.ts';
import { openKnownImages, type KnownImages } from '../../../src/builder/known-images.ts';
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
    const found = { path: disk, start: 512, record, isSame: true };
    expect(await find(KEY, 'elsewhere')).toEqual(found);
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
