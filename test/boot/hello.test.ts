import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { copyHello, payloadRecipe } from '../support/recipes.ts';

const ANSWER = 'Hello, world! This is dev.microbuild.hello in a verified micro-VM.';
let sandbox: Sandbox;
let bundle: string;

/** Builds a recipe of the sandbox into a bundle. */
async function image(recipe: string, name: string): Promise<string> {
  const path = join(sandbox.folder, `${name}-bundle`);
  const { status, stderr } = await sandbox.microbuild(['image', recipe, '-o', path]);
  expect(stderr).not.toContain('error:');
  expect(status).toBe(0);
  return path;
}

const digestOf = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

beforeAll(async () => {
  sandbox = openSandbox();
  bundle = await image(copyHello(join(sandbox.folder, 'hello')), 'hello');
});
afterAll(() => sandbox.dispose());

describe('microbuild run', () => {
  test('boots hello, whose payload answers over Binder RPC; and again, from the same state', async () => {
    const disks = ['os.img', 'payload.img'].map((name) => join(bundle, name));
    const before = disks.map(digestOf);
    for (const _ of [1, 2]) {
      const run = await sandbox.microbuild([
        'run',
        bundle,
        '--call=IHello.hello',
        '--arg',
        '"world"',
        '--timeout=120',
        '--json',
      ]);
      expect(JSON.parse(run.stdout)).toMatchObject({ answer: ANSWER });
      expect(run.status).toBe(0);
    }
    expect(disks.map(digestOf)).toEqual(before);
  });

  test('another process can call a payload that was left running', async () => {
    const callee = ['--name=callee', '--wait=ready', '--timeout=120'];
    expect(await sandbox.microbuild(['run', bundle, ...callee])).toMatchObject({ status: 0 });
    const call = (argument: string): Promise<CliResult> =>
      sandbox.microbuild(['call', 'callee', '5678', 'IHello.hello', argument]);
    expect((await call('"caller"')).stdout).toContain('Hello, caller!');
    expect(await call('7')).toMatchObject({ status: 2 });
    expect(await sandbox.microbuild(['stop', 'callee'])).toMatchObject({ status: 0 });
  });

  test('a VM ends on its timeout with 124, whatever its payload does', async () => {
    const run = await sandbox.microbuild(['run', bundle, '--timeout=3']);
    expect(run.status).toBe(124);
  });

  test('boots on a machine with PCI devices, too', async () => {
    const run = await sandbox.microbuild([
      'run',
      bundle,
      '--machine=q35',
      '--call=IHello.hello',
      '--arg',
      '"world"',
      '--timeout=120',
    ]);
    expect(run.stdout).toContain(ANSWER);
    expect(run.status).toBe(0);
  });

  test('boots a system whose files are compressed, with tails in fragments', async () => {
    const filesystem = '{ type: erofs, compression: lz4hc, clusterSize: 65536, tails: fragments }';
    const recipe = copyHello(join(sandbox.folder, 'compressed'), [['{ type: erofs }', filesystem]]);
    const path = await image(recipe, 'compressed');
    expect(statSync(join(path, 'os.img')).size).toBeLessThan(statSync(join(bundle, 'os.img')).size);
    const run = await sandbox.microbuild([
      'run',
      path,
      '--call=IHello.hello',
      '--arg',
      '"world"',
      '--timeout=120',
    ]);
    expect(run.stdout).toContain(ANSWER);
    expect(run.status).toBe(0);
  });

  test('returns the exit code of the payload', async () => {
    const path = await image(payloadRecipe(join(sandbox.folder, 'exit42'), 'exit42'), 'exit42');
    const run = await sandbox.microbuild(['run', path, '--timeout', '120']);
    expect(run.stdout).toContain('exit code 42');
    expect(run.status).toBe(42);
  });

  test('says that a payload was killed by a signal, and shows the console', async () => {
    const path = await image(payloadRecipe(join(sandbox.folder, 'segv'), 'segv'), 'segv');
    const run = await sandbox.microbuild(['run', path, '--timeout', '120']);
    expect(run.stderr).toContain('signal 11');
    expect(run.stderr).toContain('phase reached: payload');
    expect(run.status).toBe(125);
  });

  test('a library without AVmPayload_main ends with the launcher’s exit code 1', async () => {
    const path = await image(payloadRecipe(join(sandbox.folder, 'noentry'), 'noentry'), 'noentry');
    const run = await sandbox.microbuild(['run', path, '--timeout', '120']);
    const logs = await sandbox.microbuild(['logs', 'noentry']);
    expect(logs.stdout).toContain('Failed to find entrypoint');
    expect(run.status).toBe(1);
  });
});
