import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyCache } from '../../../src/cache/inventory.ts';
import { listEntries } from '../../../src/cache/prune.ts';
import { openCache } from '../../../src/cache/store.ts';
import { processMark, stateOfProcess } from '../../../src/io/process-mark.ts';
import { tmpDir } from '../../support/tmp-dir.ts';

let worker: string;
let bundles: string;

beforeAll(async () => {
  const input = fileURLToPath(new URL('../../fixtures/cache/worker.ts', import.meta.url));
  const bundle = await rolldown({ input, platform: 'node' });
  bundles = mkdtempSync(join(tmpdir(), 'microbuild-test-'));
  const { output } = await bundle.write({
    dir: bundles,
    format: 'esm',
    entryFileNames: 'worker.mjs',
  });
  await bundle.close();
  worker = join(bundles, output[0].fileName);
});

afterAll(() => rmSync(bundles, { recursive: true }));

function start(directory: string, seed: number, rounds: number, slow = 0): ChildProcess {
  const args = [worker, directory, String(seed), String(rounds), String(slow)];
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** What a worker printed and how it ended. */
async function ending(child: ChildProcess): Promise<{ code: number | null; text: string }> {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text };
}

describe('several processes at once', () => {
  test('share a cache that is pruned meanwhile: each gets what its actions make', async () => {
    const directory = tmpDir();
    const children = [1, 2, 3, 4].map((seed) => start(directory, seed, 60));
    const ends = await Promise.all(children.map(ending));
    for (const { code, text } of ends) expect({ code, text }).toMatchObject({ code: 0 });
    expect((await verifyCache(directory)).damaged).toEqual([]);
    const temporary = readdirSync(join(directory, 'tmp'));
    expect(temporary).toEqual([]);
  });

  test('an action that another process is at is waited for, not done twice', async () => {
    const directory = tmpDir();
    const children = [7, 7, 7].map((seed) => start(directory, seed, 1, 400));
    const ends = await Promise.all(children.map(ending));
    const runs = ends.map(({ text }) => Number(text));
    expect(runs.reduce((a, b) => a + b)).toBe(1);
  });

  test('one that is killed at any moment leaves a cache that is whole', async () => {
    const directory = tmpDir();
    await openCache(directory);
    for (let round = 0; round < 12; round += 1) {
      const child = start(directory, round, 100_000);
      const end = ending(child);
      const deadline = Date.now() + 10_000;
      // It has begun when there is something of it.
      while (readdirSync(join(directory, 'tmp')).length === 0 && Date.now() < deadline) {
        await setTimeout(2);
      }
      await setTimeout(round * 7);
      child.kill('SIGKILL');
      await end;
      expect((await verifyCache(directory)).damaged).toEqual([]);
    }
    const { code, text } = await ending(start(directory, 99, 30));
    expect({ code, text }).toMatchObject({ code: 0 });
    expect(readdirSync(join(directory, 'tmp')).filter((name) => name.includes('-'))).toEqual([]);
    expect((await listEntries(directory)).length).toBeGreaterThan(10);
  });

  test('one that was killed at an action does not hold up the next', async () => {
    const directory = tmpDir();
    const child = start(directory, 7, 1, 60_000);
    const end = ending(child);
    const running = (): boolean =>
      existsSync(join(directory, 'tmp')) &&
      readdirSync(join(directory, 'tmp')).some((name) => name.startsWith('action-'));
    while (!running()) await setTimeout(5);
    const waiting = ending(start(directory, 7, 1));
    await setTimeout(100);
    child.kill('SIGKILL');
    await end;
    expect(await waiting).toEqual({ code: 0, text: '1\n' });
  });
});

describe('stateOfProcess()', () => {
  test('knows its own process, one that ended, and what it cannot know', async () => {
    const mark = await processMark();
    expect(await stateOfProcess(mark)).toBe('alive');
    const [place = '', pid = '', begun = ''] = mark.split('.');
    expect(await stateOfProcess(`${place}.${pid}.${Number(begun) + 1}`)).toBe('dead');
    expect(await stateOfProcess(`${place}.4194304.1`)).toBe('dead');
    // Where /proc tells nothing a process does not know when it started itself: who runs must not be taken for dead.
    expect(await stateOfProcess(`${place}.${pid}.0`)).toBe('unknown');
    expect(await stateOfProcess(`${place}.4194304.0`)).toBe('dead');
    for (const other of [`${'0'.repeat(12)}.1.1`, '', 'x', `${place}.0.1`, `${place}.-1.1`]) {
      expect(await stateOfProcess(other)).toBe('unknown');
    }
  });
});
