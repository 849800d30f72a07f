import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { openKnownFiles, type KnownFiles } from '../../../src/builder/known-files.ts';
import { openCache, type Cache } from '../../../src/cache/store.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const KEY = 'ab'.repeat(32);
const CONTENT = 'what is in the disk'.repeat(1000);
const TOLD = { sha256: 'cd'.repeat(32), size: CONTENT.length, value: { command: 'é', n: [1, 2] } };

let folder: string;
let cache: Cache;
let files: KnownFiles;
let bundle: string;
let disk: string;
let target: string;
const at = (name: string): string => join(folder, name);

beforeEach(async () => {
  folder = tmpDir();
  cache = await openCache(at('cache'));
  files = openKnownFiles(cache);
  bundle = at('out');
  disk = join(bundle, 'payload.img');
  target = at('new.img');
  mkdirSync(bundle);
  writeFileSync(disk, CONTENT);
  await remember();
});
const remember = () => {
  const place = { path: disk, offset: 0, size: CONTENT.length };
  return files.remember(bundle, [{ ...TOLD, key: KEY, place }]);
};
const isMade = async (key = KEY, output = bundle): Promise<boolean> => {
  const found = await files.take(key, output, target);
  if (found === undefined) expect(existsSync(target)).toBe(false);
  else expect(readFileSync(target, 'utf8')).toBe(CONTENT);
  return found === undefined;
};
const entries = (): string[] => {
  const kept = join(cache.directory, 'microbuild', 'files');
  return readdirSync(kept).map((name) => join(kept, name));
};

describe('a file of an earlier bundle', () => {
  test('becomes that of the bundle that takes its place, without a copy', async () => {
    expect(await files.take(KEY, bundle, target)).toEqual(TOLD);
    expect(statSync(target).ino).toBe(statSync(disk).ino);
    // The build failed: what it had begun goes, and the file can be remembered anew.
    rmSync(target);
    await remember();
    expect(await isMade()).toBe(false);
  });

  test('is found through a link to the folder that the bundle is in', async () => {
    symlinkSync(folder, at('link'));
    expect(await isMade(KEY, join(at('link'), 'out'))).toBe(false);
    expect(statSync(target).ino).toBe(statSync(disk).ino);
  });

  test('is copied for another bundle: what happens to one is nothing to the other', async () => {
    expect(await files.take(KEY, at('other'), target)).toEqual(TOLD);
    expect(statSync(target).ino).not.toBe(statSync(disk).ino);
    writeFileSync(disk, 'changed');
    expect(readFileSync(target, 'utf8')).toBe(CONTENT);
  });

  test('is copied out of an archive, holes and all', async () => {
    const content = Buffer.concat([Buffer.from('head'), Buffer.alloc(1 << 20), Buffer.from('end')]);
    const archive = at('out.mbundle');
    writeFileSync(archive, Buffer.concat([Buffer.alloc(512, 1), content, Buffer.alloc(512, 2)]));
    const place = { path: archive, offset: 512, size: content.length };
    const told = { ...TOLD, size: content.length };
    await files.remember(archive, [{ ...told, key: 'other', place }]);
    expect(await files.take('other', archive, target)).toEqual(told);
    expect(readFileSync(target).equals(content)).toBe(true);
  });

  test('is not found by another key', async () => {
    expect(await isMade('ef'.repeat(32))).toBe(true);
  });

  test('is found in its own bundle when a later one has the same, too', async () => {
    mkdirSync(at('other'));
    const copy = at('other/payload.img');
    writeFileSync(copy, CONTENT);
    const place = { path: copy, offset: 0, size: CONTENT.length };
    await files.remember(at('other'), [{ ...TOLD, key: KEY, place }]);
    expect(await isMade()).toBe(false);
    expect(statSync(target).ino).toBe(statSync(disk).ino);
  });

  const tampered = CONTENT.replaceAll('disk', 'DISK');
  test.each<[string, () => void]>([
    ['was added to', () => appendFileSync(disk, '!')],
    ['is gone', () => rmSync(disk)],
    [
      'was written to, its size and time put back',
      () => {
        const { atime, mtime } = statSync(disk);
        writeFileSync(disk, tampered);
        utimesSync(disk, atime, mtime);
        expect(statSync(disk)).toMatchObject({ size: CONTENT.length, mtime });
      },
    ],
    [
      'is another one, with its size and time',
      () => {
        const { atime, mtime } = statSync(disk);
        rmSync(disk);
        writeFileSync(disk, tampered);
        utimesSync(disk, atime, mtime);
      },
    ],
    [
      'is a link to another one',
      () => {
        writeFileSync(at('tampered'), tampered);
        rmSync(disk);
        symlinkSync(at('tampered'), disk);
      },
    ],
    ['has another name elsewhere by now', () => linkSync(disk, at('second'))],
  ])('is not taken when it %s', async (_, change) => {
    await setTimeout(5);
    change();
    expect(await isMade()).toBe(true);
    expect(await isMade(KEY, at('other'))).toBe(true);
  });

  test('is not remembered when another build has replaced its bundle meanwhile', async () => {
    const place = { path: disk, offset: 0, size: CONTENT.length };
    const replaced = (): Promise<boolean> => Promise.resolve(false);
    await files.remember(bundle, [{ ...TOLD, key: 'late', place }], replaced);
    expect(await isMade('late')).toBe(true);
  });

  test('is not taken without what was told of it', async () => {
    const [entry = ''] = entries();
    const { value } = JSON.parse(readFileSync(entry, 'utf8').split('\n')[1] ?? '') as {
      value: string;
    };
    rmSync(join(cache.directory, 'cas', value.slice(0, 2), value));
    expect(await isMade()).toBe(true);
  });

  test('is not taken by an entry that is damaged anywhere, or that of another key', async () => {
    const [first = '', second = ''] = entries();
    const whole = readFileSync(first);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.integer({ min: 1, max: 255 }),
        fc.boolean(),
        async (place, change, isCut) => {
          const damaged = Buffer.from(whole);
          damaged[place] = (damaged[place] ?? 0) ^ change;
          for (const entry of [first, second]) {
            writeFileSync(entry, isCut ? whole.subarray(0, place) : damaged);
          }
          expect(await isMade()).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
    rmSync(second);
    writeFileSync(first, whole);
    expect(await isMade()).toBe(false);
  });
});
