import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { complete } from '../../../src/cli/completion/complete.ts';
import { liveSpec } from '../../../src/cli/completion/live-spec.ts';
import { splitLine } from '../../../src/cli/completion/split-line.ts';
import { runTool } from '../../support/tools.ts';

const spec = await liveSpec();

const wordsFor = (...words: string[]): string[] =>
  complete(spec, words.slice(0, -1), words.at(-1) ?? '').candidates.map(({ word }) => word);

describe('where the cursor is', () => {
  test.each([
    [['ima'], ['image']],
    [['--ver'], ['--verbose', '--version']],
    [['sign', 'ap'], ['apk']],
    [['--quiet', 'sign', 'ap'], ['apk']],
    [['run', 'b', '--acc'], ['--accel']],
    [['run', 'b', '--accel', 't'], ['tcg']],
    [['run', '--accel=k'], ['--accel=kvm']],
    [['run', 'b', '--accel', 'tcg', '--acc'], []],
    [['image', '--key-pass', 'e'], ['env:']],
    [['completion', 'z'], ['zsh']],
    [['hel'], ['help']],
    [['help', 'imag'], ['image']],
    [['help', 'sign', 'ap'], ['apk']],
    [['schema', 'e'], ['events']],
    [['explain', 'bad-mag'], ['bad-magic']],
    [
      ['sign', 'apk', 'a.apk', '--key', 'a', '--key'],
      ['--key', '--key-pass'],
    ],
    [['run', 'b', '--', '--acc'], []],
    [['nothing', ''], []],
  ])('%j can become %j', (words, expected) => {
    expect(wordsFor(...words)).toEqual(expected);
  });

  test.each([
    [['image', ''], 'files'],
    [['image', 'recipe', '-o', ''], 'files'],
    [['erofs', 'create', ''], 'folders'],
    [['erofs', 'create', 'root', ''], 'files'],
    [['image', 'recipe', '--profile', ''], 'profiles'],
    [['run', 'b', '--payload='], 'payloads'],
    [['stop', ''], 'running-machines'],
    [['logs', ''], 'machines'],
    [['instance', 'show', ''], 'instances'],
    [['call', 'vm', ''], undefined],
    [['erofs', 'create', '--salt', ''], undefined],
  ] as const)('of %j the rest is looked for among %s', (words, from) => {
    expect(complete(spec, words.slice(0, -1), words.at(-1) ?? '').from).toBe(from);
  });

  test('every command has a summary, every option of every command says what it is for', () => {
    const commands = spec.commands.flatMap(({ commands: inner, ...own }) => inner ?? [own]);
    expect(commands.length).toBeGreaterThan(50);
    for (const { summary, options } of commands) {
      expect(summary).not.toBe('');
      expect(options.filter((option) => option.summary === '')).toEqual([]);
    }
  });

  test('whatever was typed, what is offered begins with it', () => {
    const names = spec.commands.flatMap(({ name, commands = [] }) => [
      name,
      ...commands.map((each) => each.name),
    ]);
    const word = fc.oneof(
      fc.constantFrom(...names, '--', '-o', '--json', '--key', '--output=', ''),
      fc.string({ maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), word, (words, current) => {
        for (const { word: each } of complete(spec, words, current).candidates) {
          expect(each.startsWith(current)).toBe(true);
        }
      }),
    );
  });
});

test.each([
  ['', ['']],
  ['a b', ['a', 'b']],
  ['a b ', ['a', 'b', '']],
  ["a 'b c", ['a', 'b c']],
  ['a "b \\" c', ['a', 'b " c']],
  ['a b\\ c', ['a', 'b c']],
  ["a ''", ['a', '']],
])('the line %j has the words %j', (line, words) => {
  expect(splitLine(line)).toEqual(words);
});

test('a line is cut as bash cuts it', () => {
  const quoted = fc.array(
    fc.oneof(
      fc.stringMatching(/^[a-z:=.,/-]{1,6}$/),
      fc.stringMatching(/^'[a-z "\\]{0,6}'$/),
      fc.stringMatching(/^"[a-z ']{0,6}"$/),
      fc.constantFrom('\\ ', '\\"', "\\'"),
    ),
    { minLength: 1, maxLength: 4 },
  );
  const lines = fc.sample(
    fc.array(
      quoted.map((parts) => parts.join('')),
      { minLength: 1, maxLength: 4 },
    ),
    60,
  );
  const script = lines.map((words) => `printf '%s\\n' ${words.join(' ')}; echo =`).join('\n');
  const { stdout } = runTool('bash', ['-c', script]);
  expect(stdout).toBe(
    lines.map((words) => `${splitLine(words.join(' ')).join('\n')}\n=\n`).join(''),
  );
});
