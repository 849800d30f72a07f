import { existsSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openCache } from '../../../src/cache/store.ts';
import { EnvironmentError } from '../../../src/core/errors.ts';
import { makeFolder } from '../../../src/io/make-folder.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

test('makes a folder and those above it, each with the mode; twice is once', async () => {
  const folder = tmpDir();
  await makeFolder(join(folder, 'a', 'b', 'c'), 0o700);
  await makeFolder(join(folder, 'a', 'b', 'c'), 0o755);
  for (const made of ['a', 'a/b', 'a/b/c']) {
    expect(statSync(join(folder, made)).mode & 0o777).toBe(0o700);
  }
});

test('several at once make the same folders', async () => {
  const path = join(tmpDir(), 'a', 'b', 'c', 'd');
  await Promise.all(Array.from({ length: 16 }, () => makeFolder(path)));
  expect(existsSync(path)).toBe(true);
});

test('a link to a folder is one; a file or a link to nothing is none', async () => {
  const folder = tmpDir();
  symlinkSync(folder, join(folder, 'link'));
  await makeFolder(join(folder, 'link', 'below'));
  expect(existsSync(join(folder, 'below'))).toBe(true);
  writeFileSync(join(folder, 'file'), '');
  await expect(makeFolder(join(folder, 'file'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolder(join(folder, 'file', 'x'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  symlinkSync('nowhere', join(folder, 'dangling'));
  await expect(makeFolder(join(folder, 'dangling'))).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(makeFolder('')).rejects.toMatchObject({ code: 'ENOENT' });
});

// Node's own never returns there.
test.runIf(existsSync('/proc/self'))('below /proc it fails, at once', async () => {
  await expect(makeFolder('/proc/none/below')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(openCache('/proc/none')).rejects.toThrow(EnvironmentError);
});
