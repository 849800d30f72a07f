import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

test('a reader that leaves early ends the command without a word, as SIGPIPE would', () => {
  const pipe = 'node bin/microbuild.js schema | true; echo "${PIPESTATUS[0]}"';
  const { stdout, stderr } = spawnSync('bash', ['-c', pipe], { encoding: 'utf8' });
  expect({ stdout, stderr }).toEqual({ stdout: '141\n', stderr: '' });
});
