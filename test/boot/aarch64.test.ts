import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LABELS } from '../../src/bundle/layout.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello, ON_AARCH64 } from '../support/recipes.ts';
import { bundleFile, copyBundle, fillPartition } from '../support/tamper.ts';

let sandbox: Sandbox;
let bundle: string;

beforeAll(async () => {
  sandbox = openSandbox();
  bundle = join(sandbox.folder, 'bundle');
  const recipe = copyHello(join(sandbox.folder, 'hello'), ON_AARCH64);
  for (const args of [
    ['lock', recipe],
    ['image', recipe, '-o', bundle],
  ]) {
    const { status, stderr } = await sandbox.microbuild(args);
    expect(stderr).not.toContain('error:');
    expect(status).toBe(0);
  }
});
afterAll(() => sandbox.dispose());

describe('recipes/hello for aarch64', () => {
  test('boots, and its payload answers', async () => {
    const { status, stdout } = await sandbox.microbuild([
      'run',
      bundle,
      '--call=IHello.hello',
      '--arg',
      '"world"',
      '--timeout=120',
      '--json',
    ]);
    expect(JSON.parse(stdout)).toMatchObject({
      answer: 'Hello, world! This is dev.microbuild.hello in a verified micro-VM.',
    });
    expect(status).toBe(0);
  });

  test('says why it refuses a payload', async () => {
    const broken = copyBundle(bundle, join(sandbox.folder, 'broken'));
    await fillPartition(bundleFile(broken, 'payload'), LABELS.metadata, 0);
    const { status, stdout } = await sandbox.microbuild([
      'run',
      broken,
      '--verify=boot',
      '--timeout=120',
      '--json',
    ]);
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: { kind: 'refused', reason: 'MICRODROID_INVALID_PAYLOAD_CONFIG' },
    });
    expect(status).toBe(126);
  });
});
