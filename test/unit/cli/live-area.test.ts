import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutTo, openLiveArea, widthOf } from '../../../src/cli/live-area.ts';
import { openBoard } from '../../../src/cli/render/board.ts';
import { openScreen } from '../../support/screen.ts';

test.each([
  ['abc', 3],
  ['\u001B[31mabc\u001B[39m', 3],
  ['日本', 4],
  ['e\u0301', 1],
  ['🚀', 2],
  ['⠋ …', 3],
])('%j takes %i columns', (text, width) => {
  expect(widthOf(text)).toBe(width);
});

test('what is cut fits, ends with a mark, and turns its colour off', () => {
  expect(cutTo('abcdef', 6)).toBe('abcdef');
  expect(cutTo('abcdefg', 6)).toBe('abcde…');
  expect(cutTo('日本語', 5)).toBe('日本…');
  expect(cutTo('\u001B[31mabcdefg\u001B[39m', 4)).toBe('\u001B[31mabc…\u001B[0m');
  const text = fc.string({ unit: 'grapheme', maxLength: 40 });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 30 }), (line, columns) => {
      expect(widthOf(cutTo(line, columns))).toBeLessThanOrEqual(columns);
    }),
  );
});

test('lines stand below what is written, whatever is drawn in between, and leave nothing', () => {
  const screen = openScreen(20, 10);
  const live = openLiveArea(screen);
  live.show(['one', 'two']);
  live.above(() => screen.write('first\n'));
  live.show(['a line that is far too long for this', 'two']);
  expect(screen.lines()).toEqual(['first', 'a line that is far…', 'two']);
  live.above(() => screen.write('second\n'));
  live.show([]);
  live.above(() => screen.write('third\n'));
  expect(screen.lines()).toEqual(['first', 'second', 'third']);
});

test('a terminal that is made narrower has nothing left of what it wrapped', () => {
  const screen = openScreen(40, 10);
  const live = openLiveArea(screen);
  screen.write('before\n');
  live.show(['123456789 123456789 123456789', 'two']);
  screen.narrow(15);
  live.show(['x']);
  expect(screen.lines()).toEqual(['before', 'x']);
});

test('of more lines than there are rows some are counted', () => {
  const screen = openScreen(40, 5);
  const live = openLiveArea(screen);
  live.show(['1', '2', '3', '4', '5']);
  expect(screen.lines()).toEqual(['1', '2', 'and 3 more']);
});

test('steps at once have a line each, with their figures, and end above the others in the order of their ends', async () => {
  const screen = openScreen(30, 10);
  const live = openLiveArea(screen);
  const board = openBoard(live, (line) => live.above(() => screen.write(`${line}\n`)));
  const ends = new Map<string, (line: string) => void>();
  const add = (title: string): ReturnType<typeof board.add> =>
    board.add(
      title,
      new Promise((end) => {
        ends.set(title, end);
      }),
    );
  const long = add('A title that leaves no room for anything');
  add('Short');
  long.tell('1.0 MiB of 2');
  while (!screen.lines().some((line) => line.includes('Short'))) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(screen.lines()).toEqual([
    expect.stringMatching(/^\S A title that…: 1\.0 MiB of 2$/),
    expect.stringMatching(/^\S Short$/),
  ]);
  const close = board.close();
  ends.get('Short')?.('done Short');
  ends.get('A title that leaves no room for anything')?.('done A');
  await close;
  expect(screen.lines()).toEqual(['done Short', 'done A']);
});
