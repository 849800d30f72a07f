import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openStatDigests } from '../../../src/cache/stat-digests.ts';
import { plainFileReader, SIGNATURE_WORDS, isSettled } from '../../../src/io/file-signatures.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

const sha256 = (bytes: string | Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** Some files, old enough to be remembered. */
async function files(count: number) {
  const root = tmpDir();
  const paths = Array.from({ length: count }, (_, index) => join(root, `file-${index}`));
  for (const path of paths) writeFileSync(path, path);
  await setTimeout(30);
  return { root, paths, table: join(root, 'table') };
}

describe('openStatDigests()', () => {
  test('reads a file once, in this process and the next', async () => {
    const { paths, table } = await files(40);
    const first = await openStatDigests(table);
    const { digests, sizes, read } = await first.digestsOf(paths);
    expect(read).toBe(40);
    for (const [index, path] of paths.entries()) {
      const digest = digests.subarray(index * 32, index * 32 + 32);
      expect(Buffer.from(digest).toString('hex')).toBe(sha256(path));
      expect(sizes[index]).toBe(Buffer.byteLength(path));
    }
    expect((await first.digestsOf(paths)).read).toBe(0);
    await first.save();
    const again = await (await openStatDigests(table)).digestsOf(paths);
    expect(again).toEqual({ digests, sizes, read: 0 });
  });

  test('writes nothing when nothing is new', async () => {
    const { paths, table } = await files(3);
    const first = await openStatDigests(table);
    await first.digestsOf(paths);
    await first.save();
    const { ino } = statSync(table);
    const second = await openStatDigests(table);
    await second.digestsOf(paths);
    await second.save();
    expect(statSync(table).ino).toBe(ino);
  });

  test('any change is noticed, whatever became of size and time', async () => {
    const { paths, table } = await files(1);
    const [path = ''] = paths;
    const changes = {
      rewrite: (n: number) => writeFileSync(path, `${n % 10}`.repeat(8)),
      'rewrite, time put back': (n: number) => {
        const { atimeMs, mtimeMs } = statSync(path);
        writeFileSync(path, `${n % 7}`.repeat(8));
        utimesSync(path, atimeMs / 1000, mtimeMs / 1000);
      },
      replace: (n: number) => {
        writeFileSync(`${path}.new`, `${n % 5}`.repeat(8));
        utimesSync(`${path}.new`, 1000, 1000);
        renameSync(`${path}.new`, path);
      },
      wait: () => setTimeout(25),
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...Object.keys(changes)), fc.nat(99)), { maxLength: 8 }),
        async (series) => {
          for (const [name, n] of series) {
            await changes[name as keyof typeof changes](n);
            const digests = await openStatDigests(table);
            expect((await digests.digestOf(path)).sha256).toBe(sha256(readFileSync(path)));
            await digests.save();
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test('does not trust a file that is as new as its reading', async () => {
    const { paths, table, root } = await files(1);
    const fresh = join(root, 'fresh');
    const digests = await openStatDigests(table);
    writeFileSync(fresh, 'now');
    expect((await digests.digestsOf([...paths, fresh])).read).toBe(2);
    expect((await digests.digestsOf([...paths, fresh])).read).toBe(1);
    await setTimeout(30);
    expect((await digests.digestsOf([...paths, fresh])).read).toBe(1);
    expect((await digests.digestsOf([...paths, fresh])).read).toBe(0);
  });

  test('links are followed, and noticed when they lead elsewhere', async () => {
    const { paths, table, root } = await files(2);
    const [a = '', b = ''] = paths;
    const link = join(root, 'link');
    symlinkSync(a, link);
    const digests = await openStatDigests(table);
    expect((await digests.digestOf(link)).sha256).toBe(sha256(a));
    symlinkSync(b, `${link}.new`);
    renameSync(`${link}.new`, link);
    expect((await digests.digestOf(link)).sha256).toBe(sha256(b));
  });

  test('says which file cannot be read, and why', async () => {
    const { root, table } = await files(0);
    const digests = await openStatDigests(table);
    mkdirSync(join(root, 'folder'));
    await expect(digests.digestOf(join(root, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(digests.digestOf(join(root, 'folder'))).rejects.toMatchObject({ code: 'EISDIR' });
  });

  test('a damaged table is an empty one, whatever is wrong with it', async () => {
    const { paths, table } = await files(3);
    const first = await openStatDigests(table);
    await first.digestsOf(paths);
    await first.save();
    const bytes = readFileSync(table);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.boolean(), async (at, cut) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 0x40;
        writeFileSync(table, cut ? bytes.subarray(0, at) : damaged);
        const { read, digests } = await (await openStatDigests(table)).digestsOf(paths);
        expect(Buffer.from(digests.subarray(0, 32)).toString('hex')).toBe(sha256(paths[0] ?? ''));
        // The number of generations decides nothing.
        if (cut || at < 12 || at >= 16) expect(read).toBe(3);
      }),
      { numRuns: 60 },
    );
  });

  test('another epoch knows nothing of this one', async () => {
    const { paths, table } = await files(2);
    const first = await openStatDigests(table, { epoch: 'one' });
    await first.digestsOf(paths);
    await first.save();
    expect((await (await openStatDigests(table, { epoch: 'one' })).digestsOf(paths)).read).toBe(0);
    expect((await (await openStatDigests(table, { epoch: 'two' })).digestsOf(paths)).read).toBe(2);
  });

  test('what two processes found is kept, whoever writes last', async () => {
    const { paths, table } = await files(4);
    const [one, two] = [await openStatDigests(table), await openStatDigests(table)];
    await one.digestsOf(paths.slice(0, 2));
    await two.digestsOf(paths.slice(2));
    await one.save();
    await two.save();
    expect((await (await openStatDigests(table)).digestsOf(paths)).read).toBe(0);
  });

  test('the table keeps to its bound: what was asked for last stays', async () => {
    const { paths, table } = await files(100);
    const old = await openStatDigests(table, { bound: 60 });
    await old.digestsOf(paths.slice(0, 50));
    await old.save();
    const young = await openStatDigests(table, { bound: 60 });
    await young.digestsOf(paths.slice(40));
    await young.save();
    const last = await openStatDigests(table, { bound: 60 });
    expect((await last.digestsOf(paths.slice(40))).read).toBe(0);
    expect((await last.digestsOf(paths.slice(0, 40))).read).toBe(40);
  });

  test('saves into a folder that is not there yet', async () => {
    const { paths, root } = await files(1);
    const digests = await openStatDigests(join(root, 'a/b/table'));
    await digests.digestsOf(paths);
    await digests.save();
    expect(existsSync(join(root, 'a/b/table'))).toBe(true);
  });
});

describe('isSettled()', () => {
  const words = (seconds: number, nanoseconds: number, modified = 1): Uint32Array => {
    const signature = new Uint32Array(SIGNATURE_WORDS);
    signature.set([modified], 10);
    // Typed arrays take the lower 32 bits of what they are given, also of what is negative.
    signature.set([seconds, Math.floor(seconds / 2 ** 32), nanoseconds], 11);
    return signature;
  };

  test('wants a change to be older than the tick of the clock of files', () => {
    expect(isSettled(words(100, 5), 0, 100_010)).toBe(false);
    expect(isSettled(words(100, 5), 0, 100_050)).toBe(true);
    expect(isSettled(words(100, 5), 0, 99_000)).toBe(false);
  });

  test('wants more of a file system that counts whole seconds', () => {
    expect(isSettled(words(100, 0, 0), 0, 101_500)).toBe(false);
    expect(isSettled(words(100, 0, 0), 0, 102_500)).toBe(true);
  });

  test('knows times before 1970 and behind 2106', () => {
    expect(isSettled(words(-5, 5), 0, 0)).toBe(true);
    expect(isSettled(words(2 ** 33, 5), 0, 2 ** 32 * 1000)).toBe(false);
  });

  test('is asked of real files with their real times', async () => {
    const { paths } = await files(1);
    const found = await plainFileReader.signatures(paths, { follow: false });
    expect(isSettled(found, 0, Date.now())).toBe(true);
    expect(isSettled(found, 0, statSync(paths[0] ?? '').ctimeMs)).toBe(false);
  });
});
