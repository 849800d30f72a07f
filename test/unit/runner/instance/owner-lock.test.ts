import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lockOwner, takeLock } from '../../../../src/runner/instance/owner-lock.ts';
import { processStart } from '../../../../src/runner/process-identity.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

it('is held by one at a time, and names who holds it', async () => {
  const path = join(tmpDir(), 'lock');
  const taken = await Promise.all(Array.from({ length: 8 }, async () => takeLock(path)));
  const won = taken.filter((each) => 'release' in each);
  expect(won).toHaveLength(1);
  expect(taken.filter((each) => 'heldBy' in each).map((each) => each.heldBy)).toEqual(
    Array(7).fill(process.pid),
  );
  expect(await lockOwner(path)).toBe(process.pid);
  await won[0]?.release();
  await won[0]?.release();
  expect(await lockOwner(path)).toBeUndefined();
  expect(await takeLock(path)).toHaveProperty('release');
});

it('of a process that is gone, or of another with its id, is taken over', async () => {
  const folder = tmpDir();
  const path = join(folder, 'lock');
  const anotherStart = `${process.pid} ${Number(processStart(process.pid)) - 1}\n`;
  for (const text of ['4194305 1\n', anotherStart, '', 'no process', '-1 -1', '0 0\n']) {
    await writeFile(path, text);
    expect(await lockOwner(path)).toBeUndefined();
    const lock = await takeLock(path);
    expect(await readFile(path, 'utf8')).toBe(`${process.pid} ${processStart(process.pid)}\n`);
    if ('release' in lock) await lock.release();
    expect(await readdir(folder)).toEqual([]);
  }
});

it('that cannot be read is not waited for', async () => {
  const path = join(tmpDir(), 'lock');
  await mkdir(path);
  expect(await takeLock(path)).toEqual({ heldBy: undefined });
});

it('that was taken over is not given back by who had it before', async () => {
  const path = join(tmpDir(), 'lock');
  const lock = await takeLock(path);
  await writeFile(path, '1 1\n');
  if ('release' in lock) await lock.release();
  expect(await readFile(path, 'utf8')).toBe('1 1\n');
});
