/** The completion scripts, judged by the shells themselves: keys are typed on a terminal, and what the line becomes is read. */

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { runTool } from '../support/tools.ts';

const TERMINAL = 'script';

let sandbox: Sandbox;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  sandbox = openSandbox();
  const { folder } = sandbox;
  mkdirSync(join(folder, 'bin'));
  symlinkSync(resolve('bin/microbuild.js'), join(folder, 'bin', 'microbuild'));
  const work = join(folder, 'work');
  cpSync('recipes/hello', join(work, 'recipes', 'hello'), { recursive: true });
  writeFileSync(join(work, 'a file.img'), '');
  mkdirSync(join(work, 'bundle'));
  writeFileSync(join(work, 'bundle', 'manifest.json'), '{"payloads":{"second":{}}}');
  writeFileSync(
    join(work, 'layered.yaml'),
    'apiVersion: microbuild/v1\nextends: recipes/hello/microbuild.yaml\nprofiles:\n  nightly: { vm: { cpus: 2 } }\n',
  );
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { stdout, status } = await sandbox.microbuild(['completion', shell]);
    expect(status).toBe(0);
    writeFileSync(join(folder, shell), stdout);
  }
  env = {
    ...process.env,
    HOME: folder,
    TERM: 'dumb',
    PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
  };
});
afterAll(() => sandbox.dispose());

/** What becomes of lines that are typed, with tabs; Ctrl-O shows the line. */
async function typed(
  shell: string,
  setUp: readonly string[],
  lines: readonly string[],
): Promise<string[]> {
  const child = spawn(TERMINAL, ['-qefc', shell, '/dev/null'], {
    cwd: join(sandbox.folder, 'work'),
    env,
    stdio: 'pipe',
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const until = async (pattern: RegExp): Promise<string> => {
    for (let tries = 0; tries < 2000; tries += 1) {
      const found = pattern.exec(output)?.[1];
      if (found !== undefined) return found;
      await sleep(10);
    }
    throw new Error(`${shell} does not say ${pattern}: ${output}`);
  };
  const found: string[] = [];
  try {
    const start = join(sandbox.folder, 'start');
    writeFileSync(start, `${setUp.join('\n')}\necho ready\n`);
    child.stdin.write(`source ${start}\n`);
    await until(/^(ready)/m);
    for (const [index, line] of lines.entries()) {
      child.stdin.write(`${line}\u000f`);
      found.push(await until(new RegExp(`(?:LINE<[^>]*>[^]*){${index}}LINE<([^>]*)>`)));
      child.stdin.write('\u0015');
    }
  } finally {
    child.kill('SIGKILL');
  }
  return found;
}

/** What is typed, and what it becomes. */
const LINES: readonly (readonly [string, string])[] = [
  ['microbuild imag\t', 'microbuild image '],
  ['microbuild sign ap\t', 'microbuild sign apk '],
  ['microbuild image recipes/he\t', 'microbuild image recipes/hello/'],
  ['microbuild run bundle --acce\t', 'microbuild run bundle --accel '],
  ['microbuild run bundle --accel=t\t', 'microbuild run bundle --accel=tcg '],
  ['microbuild run bundle --payload se\t', 'microbuild run bundle --payload second '],
  [
    'microbuild image layered.yaml --profile n\t',
    'microbuild image layered.yaml --profile nightly ',
  ],
  ['microbuild explain bad-mag\t', 'microbuild explain bad-magic '],
  ['microbuild verify a\t', 'microbuild verify a\\ file.img '],
  ['microbuild lint --output=x layered.y\t', 'microbuild lint --output=x layered.yaml '],
];

describe('completes in the shell itself', () => {
  test('bash', async () => {
    const show = String.raw`bind -x '"\C-o": printf "LINE<%s>\n" "$READLINE_LINE"'`;
    const lines = LINES.map(([line]) => line);
    const found = await typed(
      'bash --norc --noprofile -i',
      [show, `source ${join(sandbox.folder, 'bash')}`],
      lines,
    );
    expect(found).toEqual(LINES.map(([, line]) => line));
  });

  test('zsh', async () => {
    const show =
      'show() { print -r "LINE<$BUFFER>" }; zle -N show; bindkey "^O" show; bindkey "^U" kill-whole-line';
    const found = await typed(
      'zsh -f -i',
      ['autoload -U compinit', 'compinit -u -D', show, `source ${join(sandbox.folder, 'zsh')}`],
      LINES.map(([line]) => line),
    );
    expect(found).toEqual(LINES.map(([, line]) => line));
  });

  test('fish', () => {
    const asked = LINES.map(([line]) => line.trimEnd().replaceAll("'", "\\'"));
    const script = [
      `source ${join(sandbox.folder, 'fish')}`,
      ...asked.map((line) => `complete -C '${line}'; echo ====`),
    ].join('; ');
    const { stdout } = runTool('fish', ['--no-config', '-c', script], {
      cwd: join(sandbox.folder, 'work'),
      env,
    });
    const found = stdout
      .split('====\n')
      .slice(0, -1)
      .map((answer) => answer.split('\n')[0]?.split('\t')[0]);
    const last = LINES.map(([, line]) =>
      line
        .trimEnd()
        .split(/(?<!\\) /)
        .at(-1),
    );
    expect(found).toEqual(last.map((word) => word?.replace('\\ ', ' ')));
  });
});
