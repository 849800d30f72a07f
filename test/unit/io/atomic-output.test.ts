import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { writeDirectoryAtomic, writeFileAtomic } from '../../../src/io/atomic-output.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

test('a link stays, and leads to the new file', async () => {
  const folder = tmpDir();
  writeFileSync(join(folder, 'file'), 'old');
  symlinkSync('file', join(folder, 'link'));
  await writeFileAtomic(join(folder, 'link'), 'new');
  expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('new');
  expect(lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true);
});

test('a device stays what it is', async () => {
  await writeFileAtomic('/dev/null', 'gone');
  expect(lstatSync('/dev/null').isCharacterDevice()).toBe(true);
});

test.skipIf(!existsSync('/dev/shm'))('a file in /dev/shm is a file', async () => {
  const folder = mkdtempSync('/dev/shm/microbuild-test-');
  try {
    const path = join(folder, 'a', 'file');
    await writeFileAtomic(path, 'old, and longer');
    await writeFileAtomic(path, 'new');
    expect(readFileSync(path, 'utf8')).toBe('new');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('an open file that is named through /proc is added to, not replaced', async () => {
  const path = join(tmpDir(), 'file');
  const handle = await open(path, 'w');
  await handle.write('before ');
  await writeFileAtomic(`/proc/self/fd/${handle.fd}`, 'after');
  await handle.close();
  expect(readFileSync(path, 'utf8')).toBe('before after');
});

test('a pipe is written to', async () => {
  const path = join(tmpDir(), 'pipe');
  await once(spawn('mkfifo', [path]), 'close');
  const reader = spawn('cat', [path]);
  const [chunk] = await Promise.all([once(reader.stdout, 'data'), writeFileAtomic(path, 'text')]);
  expect(String(chunk[0])).toBe('text');
});

test('a folder in the place is refused, and nothing remains', async () => {
  const folder = tmpDir();
  await mkdir(join(folder, 'taken'));
  await expect(writeFileAtomic(join(folder, 'taken'), 'x')).rejects.toMatchObject({
    code: 'EISDIR',
  });
  expect(readdirSync(folder)).toEqual(['taken']);
});

test('many put a folder in one place at once: the last one stays, whole, and nothing else', async () => {
  const folder = tmpDir();
  const path = join(folder, 'out');
  const names = Array.from({ length: 40 }, (_, index) => `${index}`);
  await Promise.all(
    names.map((name) =>
      writeDirectoryAtomic(path, async (temporary) => {
        writeFileSync(join(temporary, 'a'), name);
        await setImmediate();
        writeFileSync(join(temporary, 'b'), name);
      }),
    ),
  );
  expect(readdirSync(folder)).toEqual(['out']);
  const [a, b] = ['a', 'b'].map((name) => readFileSync(join(path, name), 'utf8'));
  expect(names).toContain(a);
  expect(b).toBe(a);
});
