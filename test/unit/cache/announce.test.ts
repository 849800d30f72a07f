import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { announce } from '../../../src/cache/announce.ts';
import { processMark } from '../../../src/io/process-mark.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

/** As on FAT, CIFS and others. */
vi.mock(import('node:fs/promises'), async (original) => ({
  ...(await original()),
  link: () => Promise.reject(Object.assign(new Error('no links here'), { code: 'EPERM' })),
}));

test('where a file system knows no links, others are still told, and the announcement is taken back', async () => {
  const folder = tmpDir();
  const mark = await processMark();
  const begin = () => announce(join(folder, 'at-it'), join(folder, 'temporary'), mark);
  const takeBack = await begin();
  expect(readdirSync(folder)).toEqual(['at-it']);
  expect(await begin()).toBeUndefined();
  await takeBack?.();
  expect(readdirSync(folder)).toEqual([]);
});
