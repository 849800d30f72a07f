import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openProgress, type Progress } from '../../../src/cli/render/progress.ts';

let lines: string[];
let progress: Progress;

beforeEach(() => {
  vi.useFakeTimers();
  lines = [];
  const terminal = {
    interactive: false,
    out: () => undefined,
    err: (text: string) => void lines.push(text),
    style: (_style: unknown, text: string) => text,
  };
  progress = openProgress('lines', terminal, false);
  progress.report({ kind: 'step-start', step: 'x', title: 'Hash disk.img' });
});
afterEach(() => vi.useRealTimers());

test('a short step is one line', () => {
  vi.advanceTimersByTime(900);
  progress.report({
    kind: 'step-done',
    step: 'x',
    title: 'Hash disk.img',
    cached: false,
    milliseconds: 900,
  });
  vi.advanceTimersByTime(60_000);
  expect(lines).toEqual([expect.stringMatching(/^ {2}done {3}Hash disk\.img/)]);
});

test('a long step is announced after a second, then tells how far it is', async () => {
  vi.advanceTimersByTime(1000);
  expect(lines).toEqual(['  ...    Hash disk.img']);
  progress.report({ kind: 'step-progress', step: 'x', done: 1 << 20, total: 4 << 20 });
  vi.advanceTimersByTime(10_000);
  expect(lines[1]).toBe('  ...    Hash disk.img: 1.0 MiB of 4.0 MiB, 25 %');
  await progress.close();
  vi.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(2);
});
