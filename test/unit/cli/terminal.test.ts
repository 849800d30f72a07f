import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { renderError } from '../../../src/cli/render/error.ts';
import { systemError } from '../../../src/io/system-error.ts';

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

test.each([
  [systemError(2, 'open', 'a/b'), 'Cannot open a/b: no such file or directory (ENOENT)'],
  // A file in the making is called by the name that it would have got.
  [systemError(2, 'open', 'a/.b.new-0123456789ab'), 'Cannot open a/b: no such file'],
  [systemError(28, 'write'), 'Cannot write: no space left on device (ENOSPC)'],
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
