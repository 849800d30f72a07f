/** The pipelines of docs/ci, read as their services read them, and their steps run with a stand-in for the key service. */

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { openSandbox, runProcess, type CliResult, type Sandbox } from '../support/cli.ts';
import { runTool } from '../support/tools.ts';

interface GithubStep {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
}
interface Github {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<'bundle' | 'changes', { readonly steps: readonly GithubStep[] }>>;
}
interface GitlabJob {
  readonly stage: string;
  readonly script: readonly string[];
}
interface Gitlab {
  readonly stages: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly default: { readonly before_script: readonly string[] };
  readonly bundle: GitlabJob;
  readonly changes: GitlabJob;
}

const read = (name: string): unknown => parse(readFileSync(`docs/ci/${name}`, 'utf8'));
const github = read('github.yml') as Github;
const gitlab = read('gitlab.yml') as Gitlab;

const steps = [...github.jobs.bundle.steps, ...github.jobs.changes.steps];

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

/** A checkout of hello, with keys that only the stand-in has. */
function checkout(): { folder: string; run: (script: string, env: object) => Promise<CliResult> } {
  const folder = mkdtempSync(join(sandbox.folder, 'checkout-'));
  cpSync('recipes/hello', folder, { recursive: true });
  rmSync(join(folder, 'build'), { recursive: true, force: true });
  mkdirSync(join(folder, 'ci'));
  for (const name of ['image', 'payload']) {
    const key = join(sandbox.folder, 'keys', `${name}.pem`);
    runTool('openssl', [
      'pkey',
      '-in',
      key,
      '-pubout',
      '-out',
      join(folder, 'ci', `${name}.pub.pem`),
    ]);
  }
  const payload = join(sandbox.folder, 'keys', 'payload.pem');
  const certificate = join(folder, 'ci', 'payload.crt');
  runTool('openssl', [
    'req',
    '-x509',
    '-new',
    '-key',
    payload,
    '-subj',
    '/CN=test',
    '-out',
    certificate,
  ]);
  writeFileSync(
    join(folder, 'ci', 'kms-sign'),
    `#!/bin/sh\ncat > "$0.$$"\nopenssl pkeyutl -sign -inkey "${join(sandbox.folder, 'keys')}/$3.pem" -pkeyopt digest:"$2" -in "$0.$$"\nstatus=$?\nrm "$0.$$"\nexit $status\n`,
    { mode: 0o755 },
  );
  return {
    folder,
    run: (script, env) =>
      runProcess(
        'bash',
        ['-e', '-o', 'pipefail', '-c', script],
        {
          ...process.env,
          XDG_RUNTIME_DIR: join(sandbox.folder, 'run'),
          MICROBUILD_KEYS: join(sandbox.folder, 'keys'),
          CI: 'true',
          ...env,
        },
        { cwd: folder },
      ),
  };
}

/** A repository of microbuild whose set-up has nothing to do: what it has is what is tested here. */
function toolRepository(): {
  readonly MICROBUILD_GIT: string;
  readonly MICROBUILD_REVISION: string;
} {
  const folder = mkdtempSync(join(sandbox.folder, 'tool-'));
  const files = {
    'bin/microbuild.js': `#!/bin/sh\nexec node '${resolve('bin/microbuild.js')}' "$@"\n`,
    'scripts/setup': '',
    'package.json': '{"name":"tool","version":"1.0.0","scripts":{"build":"true"}}',
    'package-lock.json':
      '{"name":"tool","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"tool","version":"1.0.0"}}}',
  };
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text, { mode: 0o755 });
  }
  const git = (...args: string[]): string => runTool('git', args, { cwd: folder }).stdout;
  git('init', '-q');
  git('add', '.');
  git('-c', 'user.name=x', '-c', 'user.email=x@example.com', 'commit', '-q', '-m', 'x');
  return { MICROBUILD_GIT: folder, MICROBUILD_REVISION: git('rev-parse', 'HEAD').trim() };
}

/** Runs lines one after the other, as the service does. */
async function runAll(scripts: readonly string[], env: Readonly<Record<string, string>>) {
  const { folder, run } = checkout();
  const summary = join(folder, 'summary.md');
  const pathFile = join(folder, 'path');
  writeFileSync(pathFile, '');
  for (const script of scripts) {
    const added = readFileSync(pathFile, 'utf8').split('\n').filter(Boolean).toReversed();

    const result = await run(script, {
      ...env,
      GITHUB_STEP_SUMMARY: summary,
      GITHUB_PATH: pathFile,
      PATH: [...added, process.env['PATH']].join(':'),
    });
    expect({ script, stderr: result.status === 0 ? '' : result.stderr }).toEqual({
      script,
      stderr: '',
    });
    // What the base branch had: here the same.
    const [base, bundle] = ['out/base', 'out/bundle'].map((path) => join(folder, path));
    if (script.includes('microbuild image')) {
      cpSync(bundle ?? '', join(base ?? '', 'bundle'), { recursive: true });
      cpSync(bundle ?? '', join(base ?? '', 'out', 'bundle'), { recursive: true });
    }
  }
  return folder;
}

describe('docs/ci/github.yml', () => {
  test('is a workflow whose steps each use an action of a version, or run something under a name', () => {
    expect(Object.keys(github.on)).toEqual(['push', 'pull_request']);
    expect(github.permissions).toEqual({
      contents: 'read',
      actions: 'read',
      'pull-requests': 'write',
    });
    for (const { uses, run, name } of steps) {
      expect([uses, run].filter((each) => each !== undefined)).toHaveLength(1);
      if (uses === undefined) expect(name).toBeTruthy();
      else expect(uses).toMatch(/^[\w-]+\/[\w-]+@v\d+$/);
      // What others write into a title or a branch must not become a program.
      expect(run ?? '').not.toMatch(/\$\{\{\s*github\.(head_ref|event\.(?!number\b))/);
    }
  });

  test('its steps install microbuild, build, sign, check, verify, measure and compare', async () => {
    const scripts = steps
      .flatMap(({ run }) => run ?? [])
      .filter((run) => !/\bgh (run|pr)\b/.test(run));
    expect(scripts).toHaveLength(8);
    const { MICROBUILD_CACHE: _, ...env } = github.env;
    const folder = await runAll(scripts, { ...env, ...toolRepository() });
    expect(readFileSync(join(folder, 'summary.md'), 'utf8')).toContain('"vbmetaDigest"');
    expect(readFileSync(join(folder, 'out/comment.md'), 'utf8')).not.toBe('');
  }, 240_000);
});

test('docs/ci/gitlab.yml runs the same commands, in stages that there are', () => {
  const commands = (scripts: readonly string[]): string[] =>
    scripts.flatMap((script) =>
      script
        .replaceAll(/\\\n\s*/g, '')
        .split('\n')
        .map((line) => line.trim().replaceAll(/\s+/g, ' ').replace('out/base/out/', 'out/base/'))
        .filter((line) => line.startsWith('microbuild ')),
    );
  const theirs = commands(steps.flatMap(({ run }) => run ?? []));
  expect(commands([...gitlab.bundle.script, ...gitlab.changes.script])).toEqual(theirs);
  expect(gitlab.stages).toEqual([gitlab.bundle.stage, gitlab.changes.stage]);
  const names = ['SIGNER', 'IMAGE_KEY', 'RECIPE', 'MICROBUILD_GIT', 'MICROBUILD_REVISION'];
  expect(names.every((name) => gitlab.variables[name] === github.env[name])).toBe(true);
});

test('docs/ci/gitlab.yml has microbuild of the commit that it names on its path', async () => {
  const { folder, run } = checkout();
  const script = [...gitlab.default.before_script, 'microbuild --version'].join('\n');
  const { status, stdout, stderr } = await run(script, toolRepository());
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  expect(existsSync(join(folder, '.cache', 'bin', 'microbuild'))).toBe(true);
});
