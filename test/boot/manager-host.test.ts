import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openSandbox, runProcess, type Sandbox } from '../support/cli.ts';
import { buildBundle, managerRecipe, runBundle, runFile, type Run } from '../support/manager.ts';

let sandbox: Sandbox;

beforeAll(() => {
  sandbox = openSandbox();
});
afterAll(() => sandbox.dispose());

/** Bytes that look like nothing else. */
function noise(size: number): Buffer {
  const block = (index: number): Buffer => createHash('sha256').update(`noise ${index}`).digest();
  return Buffer.concat(Array.from({ length: size / 32 }, (_, index) => block(index)));
}

describe('a host that changes the disk under a running machine', () => {
  test('gets a panic from dm-verity, and the payload none of the changed bytes', async () => {
    const which = noise(1 << 20);
    const recipe = managerRecipe(sandbox, 'swap', 'entry: libswap.so', { which });
    const bundle = await buildBundle(sandbox, recipe);
    const disk = join(bundle, 'payload.img');
    const running = runBundle(sandbox, bundle, 'swap');
    while (!runFile(sandbox, 'swap', 'log').includes('swap: first')) {
      if (await Promise.race([running.then(() => true), sleep(50, false)])) break;
    }
    const start = readFileSync(disk).indexOf(which.subarray(0, 64));
    expect(start).toBeGreaterThan(0);
    const file = openSync(disk, 'r+');
    for (let at = 0; at < which.length; at += 4096) writeSync(file, 'x', start + at);
    closeSync(file);
    const result = await running;
    expect(result.output).toContain('swap: first');
    expect(result.output).not.toContain('swap: CHANGED');
    expect(result.output).toMatch(/device-mapper: verity: .*data block \d+ is corrupted/);
    expect(result.status).toBe(126);
  });
});

describe('a host without a service', () => {
  test('is told so on the second serial port, and the machine powers off', async () => {
    const recipe = managerRecipe(sandbox, 'alone', 'entry: libprobe.so');
    const bundle = await buildBundle(sandbox, recipe);
    mkdirSync(join(sandbox.runFolder, 'alone'), { recursive: true, mode: 0o700 });
    const { stdout } = await sandbox.microbuild([
      'run',
      bundle,
      '--name=alone',
      '--print-cmd',
      '-q',
    ]);
    // What the runner would start, without the runner.
    const { status } = await runProcess('sh', ['-c', `${stdout}\ncode=$?; kill $!; exit $code`], {
      ...process.env,
    });
    expect(status).toBe(0);
    const text = 'MICRODROID_FAILED_TO_CONNECT_TO_VIRTUALIZATION_SERVICE';
    expect(runFile(sandbox, 'alone', 'reason.log')).toMatch(new RegExp(`^${text}\\|`));
    const console = runFile(sandbox, 'alone', 'console.log');
    expect(console).toContain(`refused ${text} runtime: `);
    expect(console).not.toContain('phase metadata');
  });
});

describe('an instance that has run a newer payload', () => {
  test('is not given to an older one, with code 2', async () => {
    const bundleOf = async (versionCode: number): Promise<string> => {
      const task = '{ command: /mnt/apk/bin/tool, command_args: ["7"] }';
      const recipe = managerRecipe(sandbox, 'aged', `config: { task: ${task} }`, { versionCode });
      const path = `${recipe}-${versionCode}`;
      renameSync(await buildBundle(sandbox, recipe), path);
      return path;
    };
    const [newer, older] = [await bundleOf(4), await bundleOf(3)];
    const instance = ['--instance', join(sandbox.folder, 'instance')];
    const run = (bundle: string, ...options: readonly string[]): Promise<Run> =>
      runBundle(sandbox, bundle, 'aged', ...options);
    expect((await run(newer, ...instance)).status).toBe(7);
    const refused = await run(older, '--verify=boot', ...instance);
    expect(refused.status).toBe(126);
    expect(refused.output).toContain('refused MICRODROID_PAYLOAD_HAS_CHANGED payload-version: ');
    expect(refused.reason).toMatch(/^MICRODROID_PAYLOAD_HAS_CHANGED\|/);
    expect(refused.output).not.toContain('tool: 1 arguments');
    expect((await run(older, '--ephemeral')).status).toBe(7);
  });
});
