import { appendFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openAccelCache } from '../../../src/runner/accel-cache.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

test('an answer is kept until QEMU is another', async () => {
  const folder = tmpDir();
  const program = join(folder, 'qemu');
  writeFileSync(program, 'qemu');
  const open = async (device = '/dev/null'): Promise<ReadonlyMap<string, string>> =>
    (await openAccelCache(folder, program, device)).answers;
  const cache = await openAccelCache(folder, program, '/dev/null');
  expect(cache.answers.size).toBe(0);
  await cache.remember('firmware', '');
  await cache.remember('kernel', 'it did not come up');
  expect([...(await open())]).toEqual([
    ['firmware', ''],
    ['kernel', 'it did not come up'],
  ]);
  expect((await open('/dev/zero')).size).toBe(0);
  utimesSync(program, 1, 1);
  expect((await open()).size).toBe(0);
  appendFileSync(program, '2');
  expect((await open()).size).toBe(0);
});

test.each(['', 'junk', '[]', '{}', '{"key":1,"answers":{}}', 'null'])(
  'a cache that holds %j holds nothing',
  async (text) => {
    const folder = tmpDir();
    writeFileSync(join(folder, '.accel.json'), text);
    expect((await openAccelCache(folder, '/bin/sh', '/dev/null')).answers.size).toBe(0);
  },
);

test('a folder that cannot be written remembers nothing and fails nothing', async () => {
  const cache = await openAccelCache('/dev/null/none', '/bin/sh', '/dev/null');
  await cache.remember('firmware', '');
  expect(cache.answers.get('firmware')).toBe('');
});
