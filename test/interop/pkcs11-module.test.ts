/** Modules that answer late, never, or with what cannot be: each is an error, and nothing waits for it. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCryptoki, type CryptokiOptions } from '../../src/native/pkcs11.ts';
import type { Cryptoki } from '../../src/formats/pkcs11/cryptoki.ts';
import { runTool } from '../support/tools.ts';

let folder: string;
let path: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-module-'));
  path = join(folder, 'module.so');
  const source = 'test/fixtures/pkcs11/module.c';
  const { status, stderr } = runTool('gcc', ['-shared', '-fPIC', '-o', path, source]);
  if (status !== 0) throw new Error(stderr);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function withModule<T>(
  misbehave: string,
  work: (cryptoki: Cryptoki) => Promise<T>,
  options: CryptokiOptions = {},
): Promise<T> {
  process.env['MISBEHAVE'] = misbehave;
  const cryptoki = await openCryptoki(path, options);
  try {
    return await work(cryptoki);
  } finally {
    await cryptoki.release();
  }
}

describe('a module', () => {
  test('that does as it should lists its slots', async () => {
    expect(await withModule('', (cryptoki) => cryptoki.slots())).toEqual([1n]);
  });

  test('that cannot lock is used without locks', async () => {
    expect(await withModule('no-locks', (cryptoki) => cryptoki.slots())).toEqual([1n]);
  });

  test.each([
    ['refuse', 'C_GetSlotList: CKR_DEVICE_ERROR'],
    ['vendor', 'C_GetSlotList: CKR_VENDOR_DEFINED (0x80000042)'],
    ['count', 'more than 4096'],
    ['more', 'it tells of 9 values, more than 1'],
    ['no-list', 'C_GetFunctionList: it gives no list'],
    ['version', 'version 9.40'],
  ])('that misbehaves as in "%s" is refused with its reason', async (misbehave, reason) => {
    const work = withModule(misbehave, (cryptoki) => cryptoki.slots());
    await expect(work).rejects.toThrow(reason);
  });

  test('without a function that is needed is refused by the name of the function', async () => {
    const work = withModule('', (cryptoki) => cryptoki.tokenInfo(1n));
    await expect(work).rejects.toThrow('C_GetTokenInfo: CKR_FUNCTION_NOT_SUPPORTED');
  });

  test('that is slow keeps nobody else waiting, and is given up after its time', async () => {
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 10);
    await withModule(
      'slow',
      async (cryptoki) => {
        await expect(cryptoki.slots()).rejects.toThrow('C_GetSlotList: no answer within');
        await expect(cryptoki.slots()).rejects.toThrow('has not come back from C_GetSlotList');
      },
      { timeout: 300 },
    );
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
    // It comes back, and is usable again.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(await withModule('', (cryptoki) => cryptoki.slots())).toEqual([1n]);
  });

  test('that is slow is given up at Ctrl-C', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    const work = withModule('slow', (cryptoki) => cryptoki.slots(), { signal: controller.signal });
    await expect(work).rejects.toMatchObject({ name: 'AbortError' });
    await new Promise((resolve) => setTimeout(resolve, 1000));
  });

  /** Runs a program that waits for a module that never answers. */
  const runStuck = (work: string) =>
    spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { openCryptoki } from './dist/native/pkcs11.js';
        const path = ${JSON.stringify(path)};
        ${work}
        setTimeout(() => console.log('last work'), 200);`,
      ],
      { env: { ...process.env, MISBEHAVE: 'hang' }, encoding: 'utf8', timeout: 10_000 },
    );

  test('that never answers does not keep a process from its end', () => {
    const result = runStuck(`
      const module = await openCryptoki(path, { timeout: 200 });
      try { await module.slots(); } catch (error) { console.log(error.message); process.exitCode = 7; }
      await module.release();`);
    expect(result).toMatchObject({ status: 7, stderr: '' });
    expect(result.stdout).toContain('no answer within');
    expect(result.stdout).toContain('last work');
  });

  test('that never answers does not keep a process from its end after Ctrl-C', () => {
    const result = runStuck(`
      const module = await openCryptoki(path, { signal: AbortSignal.timeout(200) });
      try { await module.slots(); } catch (error) { console.log(error.name); process.exitCode = 130; }
      await module.release();`);
    expect(result).toMatchObject({ status: 130, stderr: '' });
    expect(result.stdout).toBe('TimeoutError\nlast work\n');
  });
});
