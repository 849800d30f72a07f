/** What a command shows on a terminal, to a program and in a log, and what it leaves alone. */

import { spawn } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import { openScreen } from '../support/screen.ts';
import { runTool } from '../support/tools.ts';
import { copyWarmCache } from '../support/warm-cache.ts';

/** Gives a program a terminal. */
const TERMINAL = 'script';

let sandbox: Sandbox;
const at = (...names: string[]): string => join(sandbox.folder, ...names);
let built: CliResult;
beforeAll(async () => {
  sandbox = openSandbox();
  await copyWarmCache(sandbox, at('cache'));
  copyHello(at('hello'));
  mkdirSync(at('tmp'));
  built = await sandbox.microbuild(['image', at('hello'), '-o', at('out'), '--json'], own());
});
afterAll(() => sandbox.dispose());

/** All that a build can write to is below the sandbox. */
const own = (): NodeJS.ProcessEnv => ({
  CI: '',
  HOME: at('.'),
  TMPDIR: at('tmp'),
  MICROBUILD_CACHE: at('cache'),
});

const VALIDATE = `
import json, sys, jsonschema
schema = json.load(open('schema/events.schema.json'))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for line in sys.stdin:
    print(json.dumps([error.message for error in validator.iter_errors(json.loads(line))]))
`;

/** What is wrong with each line. */
const judge = (lines: readonly string[]): string[][] =>
  runTool('python3', ['-c', VALIDATE], { input: `${lines.join('\n')}\n` })
    .stdout.trim()
    .split('\n')
    .map((line) => JSON.parse(line) as string[]);

describe('--json', () => {
  test('prints one document, and events that are as their schema says', () => {
    expect(JSON.parse(built.stdout)).toMatchObject({ upToDate: false });
    const lines = built.stderr.trim().split('\n');
    expect(judge(lines).flat()).toEqual([]);
    const kinds = new Set(lines.map((line) => (JSON.parse(line) as { kind: string }).kind));
    expect([...kinds].toSorted()).toEqual(
      expect.arrayContaining(['output', 'step-done', 'step-start', 'warning']),
    );
  });

  test('tells a failure in both places, and nothing else on stderr', async () => {
    const { status, stdout, stderr } = await sandbox.microbuild(['verify', at('none'), '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ error: { exitCode: status, code: 'input' } });
    expect(JSON.parse(stderr)).toMatchObject({ kind: 'error', exitCode: status });
    expect(judge(stderr.trim().split('\n'))).toEqual([[]]);
  });

  test('the schema takes no event without what it must have', () => {
    const event = { kind: 'step-progress', step: 'x', done: 1, total: 2 };
    const lines = [event, { ...event, more: 1 }, { ...event, done: -1 }, { ...event, unit: 'x' }];
    const found = judge(lines.map((each) => JSON.stringify(each)));
    expect(found.map((problems) => problems.length === 0)).toEqual([true, true, false, false]);
  });
});

/** Everything below the sandbox: any write, new name, rename or change of times shows in it. */
function state(): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of ['.', ...readdirSync(at('.'), { recursive: true, encoding: 'utf8' })]) {
    const { ino, size, mtimeNs, ctimeNs } = lstatSync(at(name), { bigint: true });
    found.set(name, [ino, size, mtimeNs, ctimeNs].join(' '));
  }
  return found;
}

test('a build with nothing to do writes nothing: no file, no lock, no time', async () => {
  const before = state();
  expect(before.size).toBeGreaterThan(20);
  const again = ['image', at('hello'), '-o', at('out')];
  const { status, stdout } = await sandbox.microbuild(again, own());
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringContaining('up to date') as unknown,
  });
  expect(state()).toEqual(before);
});

/** Runs microbuild on a terminal of so many columns. @param typed Is typed once `when` is there. */
function onTerminal(
  columns: number,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  { typed, when }: { typed?: string; when?: string } = {},
): Promise<{ readonly status: number | null; readonly output: string }> {
  const words = [process.execPath, resolve('bin/microbuild.js'), ...args];
  const line = `stty cols ${columns} rows 24; exec ${words.map((word) => `'${word}'`).join(' ')}`;
  return new Promise((done, reject) => {
    const child = spawn(TERMINAL, ['-qefc', line, '/dev/null'], {
      stdio: 'pipe',
      env: {
        ...process.env,
        NO_COLOR: '',
        TERM: 'xterm-256color',
        LC_ALL: 'C.UTF-8',
        SHELL: '/bin/sh',
        MICROBUILD_KEYS: at('keys'),
        XDG_RUNTIME_DIR: at('run'),
        ...own(),
        ...env,
      },
    });
    let output = '';
    let isTyped = false;
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
      if (typed === undefined || isTyped || !output.includes(when ?? '')) return;
      isTyped = true;
      child.stdin.write(typed);
    });
    child.on('error', reject);
    child.on('close', (status) => done({ status, output }));
  });
}

describe('a terminal', () => {
  test('of 40 columns has a line for each step that was done, and nothing else', async () => {
    const args = ['image', at('hello'), '-o', at('forced'), '--force'];
    const { status, output } = await onTerminal(40, args);
    expect(status).toBe(0);
    const screen = openScreen(200, 200);
    screen.write(output);
    const shown = screen.lines();
    const end = shown.findIndex((line) => line.startsWith(at('forced')));
    expect(
      shown.slice(0, end).filter((line) => !/^ {2}(done|cached) |^warning: /.test(line)),
    ).toEqual([]);
    expect(output).toContain('\u001B[32mdone\u001B[39m');
    expect(shown.slice(end).join('\n')).toMatch(
      /root digest .*\n.*os\.img .*\n {2}reused +Kernel and modules/,
    );
  });

  test.each([
    ['NO_COLOR', { NO_COLOR: '1' }],
    ['TERM=dumb', { TERM: 'dumb' }],
  ])('with %s has no colours', async (_, env) => {
    const { output } = await onTerminal(80, ['lint', at('hello', 'nothing')], env);
    expect(output).toContain('error:');
    expect(output).not.toContain('\u001B');
  });

  test('where Ctrl-C is typed gets its line back, and nothing is left', async () => {
    const recipe = copyHello(at('slow'), [['command: [make]', 'command: [sleep, "303"]']]);
    const before = state();
    const args = ['image', recipe, '-o', at('interrupted')];
    const { status, output } = await onTerminal(
      80,
      args,
      {},
      { typed: '\u0003', when: 'Build of' },
    );
    expect(status).toBe(130);
    const screen = openScreen(80, 200);
    screen.write(output);
    expect(screen.lines().at(-1)).toBe('interrupted: nothing was left half-written');
    const made = [...state().keys()].filter((name) => !before.has(name));
    expect(made.filter((name) => !name.startsWith('cache/'))).toEqual([]);
    expect(readdirSync(at('cache', 'tmp'))).toEqual([]);
  });
});
