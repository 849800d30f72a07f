import { appendFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openProbeCache, remembered } from '../../../src/runner/probe-cache.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

test('an answer is kept until QEMU is another', async () => {
  const folder = tmpDir();
  const program = join(folder, 'qemu');
  writeFileSync(program, 'qemu');
  const open = async (device = '/dev/null'): Promise<ReadonlyMap<string, string>> =>
    (await openProbeCache(folder, program, device)).answers;
  const cache = await openProbeCache(folder, program, '/dev/null');
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
    expect((await openProbeCache(folder, '/bin/sh', '/dev/null')).answers.size).toBe(0);
  },
);

test('answers that depend on no device are kept beside those that do', async () => {
  const folder = tmpDir();
  const plain = await openProbeCache(folder, '/bin/sh');
  const kvm = await openProbeCache(folder, '/bin/sh', '/dev/null');
  const asked: string[] = [];
  const probe = (answer: string) => async (): Promise<string> => {
    asked.push(answer);
    return Promise.resolve(answer);
  };
  expect(await remembered(plain, 'sandbox', probe(''))).toBe('');
  expect(await remembered(kvm, 'firmware', probe('no'))).toBe('no');
  const again = await openProbeCache(folder, '/bin/sh');
  expect(await remembered(again, 'sandbox', probe('other'))).toBe('');
  expect(await remembered(undefined, 'sandbox', probe('asked'))).toBe('asked');
  expect(asked).toEqual(['', 'no', 'asked']);
});

test('the folder of answers is private, as that of machines which it may be must be', async () => {
  const folder = join(tmpDir(), 'new');
  await (await openProbeCache(folder, '/bin/sh')).remember('sandbox', '');
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test('a folder that cannot be written remembers nothing and fails nothing', async () => {
  const cache = await openProbeCache('/dev/null/none', '/bin/sh', '/dev/null');
  await cache.remember('firmware', '');
  expect(cache.answers.get('firmware')).toBe('');
});
