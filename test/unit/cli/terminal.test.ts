import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { explainedNames } from '../../../src/cli/explain.ts';
import { Interruption } from '../../../src/cli/interruption.ts';
import { errorToJson, renderError, SYSTEM_HINTS } from '../../../src/cli/render/error.ts';
import { FormatError, RecipeError } from '../../../src/core/errors.ts';
import { isFull, systemError } from '../../../src/io/system-error.ts';

test('a reader that leaves early ends the command without a word, as SIGPIPE would', () => {
  const pipe = 'node bin/microbuild.js schema | true; echo "${PIPESTATUS[0]}"';
  const { stdout, stderr } = spawnSync('bash', ['-c', pipe], { encoding: 'utf8' });
  expect({ stdout, stderr }).toEqual({ stdout: '141\n', stderr: '' });
});

const terminal = {
  interactive: false,
  out: () => undefined,
  err: () => undefined,
  style: (_: unknown, text: string) => text,
};

/** As Node tells what it does not know. */
function unnamedError(errno: number): NodeJS.ErrnoException {
  const code = `Unknown system error -${errno}`;
  const error = new Error(`${code}: ${code}, write`);
  return Object.assign(error, { code, errno: -errno, syscall: 'write', path: 'x' });
}

test('a quota that is used up is as a full disk, whoever tells it', () => {
  expect(
    [systemError(28, 'write'), systemError(122, 'write'), unnamedError(122)].every(isFull),
  ).toBe(true);
  expect([systemError(5, 'write'), new Error('x')].some(isFull)).toBe(false);
});

test('what can be done about errors of the system stands on a page, too', () => {
  const pages = new Set(explainedNames().map(({ name }) => name));
  expect(Object.keys(SYSTEM_HINTS).filter((name) => !pages.has(name))).toEqual([]);
});

test('errors for programs have code, remedy, place and what explains them', () => {
  expect(errorToJson(unnamedError(122), 1)).toMatchObject({
    type: 'SystemError',
    code: 'EDQUOT',
    path: 'x',
    hint: expect.stringContaining('quota') as unknown,
  });
  const diagnostic = { file: 'a.yaml', line: 3, column: 5, message: 'x', hint: 'y' };
  expect(errorToJson(new RecipeError([diagnostic]), 2)).toMatchObject({
    ...diagnostic,
    message: 'a.yaml:3:5: x',
    code: 'recipe',
    diagnostics: [diagnostic],
  });
  expect(errorToJson(new FormatError('erofs', 'bad-magic', 'x'), 1)).toMatchObject({
    code: 'bad-magic',
    explain: 'erofs/bad-magic',
  });
  expect(errorToJson(new Interruption(143), 143)).toEqual({
    exitCode: 143,
    type: 'Interruption',
    code: 'interrupted',
    message: 'The command was interrupted',
  });
});

test.each([
  [systemError(2, 'open', 'a/b'), 'Cannot open a/b: no such file or directory (ENOENT)'],
  // A file in the making is called by the name that it would have got.
  [systemError(2, 'open', 'a/.b.new-0123456789ab'), 'Cannot open a/b: no such file'],
  [systemError(28, 'write'), 'Cannot write: no space left on device (ENOSPC)'],
  [systemError(5, 'read', 'x'), 'Cannot read x: i/o error (EIO)'],
  [systemError(24, 'open', 'x'), 'Cannot open x: too many open files (EMFILE)'],
  [systemError(30, 'open', 'x'), 'Cannot open x: read-only file system (EROFS)'],
  [systemError(36, 'open', 'x'), 'Cannot open x: name too long (ENAMETOOLONG)'],
  // Node has no name for it.
  [systemError(122, 'write', 'x'), 'Cannot write x: disk quota exceeded (EDQUOT)'],
  [unnamedError(122), 'Cannot write x: disk quota exceeded (EDQUOT)'],
  [
    Object.assign(new Error('spawn make EMFILE'), {
      code: 'EMFILE',
      errno: -24,
      syscall: 'spawn make',
      path: 'make',
    }),
    'Cannot run make: too many open files (EMFILE)',
  ],
  [unnamedError(117), 'Cannot write x: structure needs cleaning (EUCLEAN)'],
])('an error of the system says what, why and what to do', (error, message) => {
  const text = renderError(error, terminal, false);
  expect(text).toContain(`error: ${message}`);
  expect(text).toContain('help: ');
});

test.each([
  [['fsverity', 'digest', '--json'], 'microbuild fsverity digest --help'],
  [['verity', 'nothing', '--json'], 'microbuild verity --help'],
  [['verity', 'format', 'data', '--engine', 'x', '--json'], 'microbuild verity format --help'],
  [['nothing', '--json'], 'microbuild --help'],
])('a command line that cannot be understood is told as JSON too: %j', (args, help) => {
  const words = ['bin/microbuild.js', ...args];
  const { status, stdout, stderr } = spawnSync('node', words, { encoding: 'utf8' });
  expect(status).toBe(2);
  const { error } = JSON.parse(stdout) as { error: unknown };
  expect(error).toMatchObject({ exitCode: 2, type: 'UsageError', hint: `See ${help}` });
  expect(stderr).not.toContain('\\x0a');
});
