/**
 * A locked build asks no network: the whole of `microbuild image`, with an empty cache and what `vendor` left beside
 * the recipe, where no network can be had or where every connection would be seen.
 */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, runProcess, type CliResult, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';

/** Proxies and mirrors that do not exist: who asks them gets no answer. */
const NOWHERE = {
  http_proxy: 'http://proxy.invalid:9',
  https_proxy: 'http://proxy.invalid:9',
  all_proxy: 'http://proxy.invalid:9',
  no_proxy: '',
};

let sandbox: Sandbox;
let recipe: string;

beforeAll(async () => {
  sandbox = openSandbox();
  recipe = copyHello(join(sandbox.folder, 'hello'));
  const vendored = await sandbox.microbuild(['vendor', recipe, '--json']);
  expect(vendored.stderr).not.toContain('error');
  expect(vendored.status).toBe(0);
});
afterAll(() => sandbox.dispose());

/** The environment of a build that knows nothing of this machine's cache. */
function environment(name: string): NodeJS.ProcessEnv {
  const cache = join(sandbox.folder, `cache-${name}`);
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { mode: 0o700 });
  return {
    ...process.env,
    ...NOWHERE,
    CI: '1',
    MICROBUILD_CACHE: cache,
    MICROBUILD_KEYS: join(sandbox.folder, 'keys'),
    NO_COLOR: '1',
  };
}

const build = (name: string, from = recipe): string[] => [
  process.execPath,
  'bin/microbuild.js',
  'image',
  from,
  '-o',
  join(sandbox.folder, `out-${name}`),
];

const run = (
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<CliResult> => runProcess(program, args, env);

/** A network namespace of its own, in which not even the loopback is up. */
const ISOLATED = ['unshare', '--user', '--map-root-user', '--net'];

/** Connections and datagrams to other than local sockets, as strace tells them. */
const reaches = (trace: string): string[] =>
  trace
    .split('\n')
    .filter((line) => /\b(?:connect|sendto|sendmsg)\(.*sa_family=AF_INET6?/.test(line));

async function traced(
  name: string,
  command: readonly string[],
): Promise<CliResult & { trace: string }> {
  const folder = join(sandbox.folder, `trace-${name}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const strace = ['strace', '-ff', '-qq', '-e', 'trace=%network', '-o', join(folder, 'call')];
  const result = await run([...strace, ...command], environment(name));
  const trace = readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('');
  return { ...result, trace };
}

describe('a locked build with vendor/', () => {
  test('is whole where there is no network at all', async () => {
    const isolated = await run([...ISOLATED, 'true'], process.env);
    if (isolated.status !== 0) {
      // Said aloud: what follows is proved by strace alone, in the next test.
      expect(isolated.stderr).toContain('unshare');
      return;
    }
    const probe = await run([...ISOLATED, 'cat', '/proc/net/dev'], process.env);
    expect(probe.stdout.match(/^ *\w+:/gm)).toEqual(['    lo:']);

    const inside = await run([...ISOLATED, ...build('inside')], environment('inside'));
    expect(inside.stderr).not.toContain('error');
    expect(inside.status).toBe(0);
    const outside = await run(build('outside'), { ...environment('outside'), CI: '' });
    expect(outside.status).toBe(0);
    const manifest = (name: string): string =>
      readFileSync(join(sandbox.folder, `out-${name}`, 'manifest.json'), 'utf8');
    expect(manifest('inside')).toBe(manifest('outside'));
  });

  test('connects to nothing, and the trace would tell if it did', async () => {
    const { status, stderr, trace } = await traced('locked', build('traced'));
    expect(stderr).not.toContain('error');
    expect(status).toBe(0);
    expect(reaches(trace)).toEqual([]);
    expect(existsSync(join(sandbox.folder, 'out-traced', 'manifest.json'))).toBe(true);

    // The same without the vendored blobs: now it has to ask, and that is seen.
    const bare = join(sandbox.folder, 'bare');
    cpSync(recipe, bare, { recursive: true });
    rmSync(join(bare, 'vendor'), { recursive: true });
    const unvendored = await traced('bare', build('bare', bare));
    expect(unvendored.status).toBe(2);
    expect(unvendored.stderr).toContain('vendor/ beside the recipe does not have it');
    expect(reaches(unvendored.trace).length).toBeGreaterThan(0);

    // And with --offline it does not ask, but says so.
    const offline = await traced('offline', [...build('bare', bare), '--offline']);
    expect(offline.status).toBe(2);
    expect(offline.stderr).toContain('because of --offline');
    expect(reaches(offline.trace)).toEqual([]);
  });
});
