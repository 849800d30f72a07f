import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openFileDigests } from '../../../src/builder/file-digests.ts';
import { sha256, toHex } from '../../../src/core/digest.ts';
import { plainFileReader, type FileReader } from '../../../src/io/file-signatures.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** Counts how many files are read. */
function counting(): { reader: FileReader; read: () => number } {
  let count = 0;
  const reader: FileReader = {
    ...plainFileReader,
    digests(paths) {
      count += paths.length;
      return plainFileReader.digests(paths);
    },
  };
  return { reader, read: () => count };
}

test('a file that two steps ask for at once is read once, and not again while it does not change', async () => {
  const folder = tmpDir();
  const path = join(folder, 'archive');
  writeFileSync(path, 'content');
  // What was written a moment ago could be written again within the same tick of the clock.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const { reader, read } = counting();
  const files = openFileDigests(folder, reader);
  const digest = { sha256: toHex(sha256(Buffer.from('content'))), size: 7 };
  expect(await Promise.all([files.digestOf(path), files.digestOf(path)])).toEqual([digest, digest]);
  expect(await files.digestOf(path)).toEqual(digest);
  expect(read()).toBe(1);
  await files.save();
  expect(await openFileDigests(folder, reader).digestOf(path)).toEqual(digest);
  expect(read()).toBe(1);
  writeFileSync(path, 'changed');
  expect((await openFileDigests(folder, reader).digestOf(path)).sha256).not.toBe(digest.sha256);
});

test('a file that cannot be read fails for everybody who asks, and may be asked for again', async () => {
  const folder = tmpDir();
  const files = openFileDigests(folder);
  const path = join(folder, 'absent');
  const both = await Promise.allSettled([files.digestOf(path), files.digestOf(path)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  writeFileSync(path, '');
  expect((await files.digestOf(path)).size).toBe(0);
});
