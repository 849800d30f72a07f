/** The bench itself: that it measures what it says, and reports it in both forms. */

import { describe, expect, test } from 'vitest';
import { runBench } from '../bench/main.ts';
import { renderReport, reported, type Report } from '../bench/report.ts';
import { median, runWork, type WorkResult } from '../bench/run.ts';
import type { Contender, Work } from '../bench/works.ts';
import { tmpDir } from '../support/tmp-dir.ts';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

const quiet = (): void => undefined;

describe('runBench()', () => {
  test('--quick measures us and the peers, and prints ratios as JSON', async () => {
    const runs: string[] = [];
    const { text, exitCode } = await runBench(
      ['--quick', '--runs=1', '--only=fsverity', '--only=tree-1g', '--json'],
      process.cwd(),
      (line) => runs.push(line),
    );
    const report = JSON.parse(text) as Report;
    expect(report.works.map(({ name, failure }) => ({ name, failure }))).toEqual([
      { name: 'tree-1g', failure: undefined },
      { name: 'fsverity-4g', failure: undefined },
    ]);
    expect(exitCode).toBe(0);
    expect(runs).toHaveLength(4);
    for (const { ours, peers, ratios, size } of report.works) {
      expect(size).toBe(256 << 20);
      expect(ours?.runs).toHaveLength(1);
      expect(ours?.peakMemory).toBeGreaterThan(1 << 20);
      for (const peer of peers ?? []) {
        expect(ratios[peer.name]).toBeCloseTo(peer.median / (ours?.median ?? 0), 6);
      }
      expect(Object.keys(ratios)).toHaveLength(1);
    }
    const table = renderReport(report);
    expect(table).toMatch(/^tree-1g +microbuild verity +\d/m);
    expect(table).toMatch(/^ +fsverity digest .* \d+\.\d\d x/m);
  });

  test('lists the works without making an input', async () => {
    const { text } = await runBench(['--list'], process.cwd(), quiet);
    expect(text.split('\n').length).toBeGreaterThan(10);
    expect(text).toContain('fec-24: tree and FEC, 24 roots, 1 GiB');
  });

  test('--only takes a name, or a part of names that is none', async () => {
    const names = async (...only: string[]): Promise<string[]> => {
      const argv = ['--list', ...only.map((name) => `--only=${name}`)];
      const { text } = await runBench(argv, process.cwd(), quiet);
      return text.split('\n').map((line) => line.split(':')[0] ?? '');
    };
    expect(await names('fec-2')).toEqual(['fec-2']);
    expect(await names('fec-', 'tree-1')).toEqual(['tree-1g', 'fec-2', 'fec-24']);
  });
});

/** A contender that writes a text to a file and prints it. */
const writer = (folder: string, name: string, text: string): Contender => {
  const file = join(folder, name);
  const script = `require('node:fs').writeFileSync(${JSON.stringify(file)}, ${JSON.stringify(text)})`;
  return {
    name,
    steps: [{ program: process.execPath, args: ['-e', script] }],
    outputs: [file],
    result: { file },
    image: file,
  };
};
const workOf = (folder: string, ours: Contender, peer: Contender): Work => ({
  name: 'work',
  what: 'a work',
  input: () => {
    const path = join(folder, 'input');
    writeFileSync(path, 'x'.repeat(1000));
    return path;
  },
  ours: () => ours,
  peers: () => [peer],
  bars: [{ peer: peer.name, atLeast: 0.0001 }],
  limit: 'copy',
  limitBar: 1e6,
  sizeBar: 0.01,
  memoryBar: 1,
});

describe('runWork()', () => {
  const options = { runs: 2, lanes: undefined, onRun: quiet };

  test('runs each contender as often as asked, in turns, and judges the bars', async () => {
    const folder = tmpDir();
    const order: string[] = [];
    const work = workOf(folder, writer(folder, 'ours', 'same'), writer(folder, 'theirs', 'same'));
    const result: WorkResult = await runWork(work, {
      ...options,
      scratch: folder,
      onRun: (line) => order.push(line.split(' ')[1] ?? ''),
    });
    expect(order).toEqual(['ours', 'theirs', 'theirs', 'ours']);
    expect(result.size).toBe(1000);
    expect(result.ours.runs).toHaveLength(2);
    const { bars, ratios } = reported(work, result);
    expect(bars.map(({ bar, met }) => [bar, met])).toEqual([
      ['0.0001 times theirs', true],
      ['100000000 % of the limit', false],
      ['under 0 MiB', false],
      ['size within 1 %', true],
    ]);
    expect(ratios['theirs']).toBeGreaterThan(0);
  });

  test('refuses to compare contenders that made something else', async () => {
    const folder = tmpDir();
    const work = workOf(folder, writer(folder, 'ours', 'one'), writer(folder, 'theirs', 'two'));
    await expect(runWork(work, { ...options, scratch: folder })).rejects.toThrow(/but theirs/);
  });

  test('takes a contender’s own word for its time, and runs as often as the work wants', async () => {
    const folder = tmpDir();
    const ours = (said: string): Contender => ({
      name: 'ours',
      steps: [{ program: process.execPath, args: ['-e', `console.log(${JSON.stringify(said)})`] }],
      outputs: [],
      time: /^took (\d+)$/m,
    });
    const { image: _image, result: _result, ...peer } = writer(folder, 'theirs', 'same');
    const { limit: _limit, ...work } = workOf(folder, ours('took 7'), peer);
    const result = await runWork({ ...work, runs: 3 }, { ...options, scratch: folder });
    expect(result.ours.runs).toEqual([7, 7, 7]);
    expect(result.peers[0]?.median).toBeLessThan(7);
    const silent = { ...work, ours: () => ours('nothing') };
    await expect(runWork(silent, { ...options, scratch: folder })).rejects.toThrow(/how long/);
  });

  test('says what a contender that failed said', async () => {
    const folder = tmpDir();
    const broken: Contender = {
      name: 'broken',
      steps: [{ program: process.execPath, args: ['-e', 'throw new Error("no room")'] }],
      outputs: [],
    };
    const work = workOf(folder, writer(folder, 'ours', 'one'), broken);
    await expect(runWork(work, { ...options, scratch: folder })).rejects.toThrow(/ended with 1/);
  });
});

test('median() takes the middle, and between two their mean', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([7])).toBe(7);
});
