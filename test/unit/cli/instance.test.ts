/** `microbuild instance` as a process. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openInstance } from '../../../src/runner/instance/instance.ts';
import { openSandbox, type Sandbox } from '../../support/cli.ts';

let sandbox: Sandbox;
let folder: string;
const signer = 'ab'.repeat(32);

beforeAll(async () => {
  sandbox = openSandbox();
  folder = join(sandbox.folder, 'state/microbuild/instances/hello');
  const digest = new Uint8Array(32);
  const instance = await openInstance({
    name: 'hello',
    ephemeral: false,
    debuggable: false,
    env: { XDG_STATE_HOME: join(sandbox.folder, 'state') },
    measurements: {
      vbmetaDigest: digest,
      kernelDigest: digest,
      initrdDigest: digest,
      publicKey: digest,
      rollbackIndex: 3n,
    },
  });
  instance.admitPayload([{ package: 'dev.hello', versionCode: 2n ** 63n, signer }]);
  await instance.takeHandover();
  await instance.close();
});
afterAll(() => sandbox.dispose());

test('list and show tell what an instance has run, and none of its secrets', async () => {
  const list = await sandbox.microbuild(['instance', 'list']);
  expect(list.stdout).toBe('hello  idle, dev.hello 9223372036854775808\n');
  const show = await sandbox.microbuild(['instance', 'show', 'hello', '--json']);
  expect(JSON.parse(show.stdout)).toMatchObject({
    name: 'hello',
    folder,
    new: false,
    usedBy: null,
    systems: [{ rollbackIndex: '3' }],
    packages: [{ package: 'dev.hello', signer, versionCode: '9223372036854775808' }],
  });
  const text = await sandbox.microbuild(['instance', 'show', 'hello']);
  for (const file of ['id', '../../root.key']) {
    const secret = readFileSync(join(folder, file));
    for (const { stdout } of [list, show, text]) {
      expect(stdout).not.toContain(secret.toString('hex').slice(0, 16));
      expect(stdout).not.toContain(secret.toString('base64').slice(0, 16));
    }
  }
});

test('remove destroys it, and says so when there is none', async () => {
  const removed = await sandbox.microbuild(['instance', 'remove', 'hello']);
  expect([removed.status, removed.stdout]).toEqual([0, 'removed hello\n']);
  const again = await sandbox.microbuild(['instance', 'remove', 'hello']);
  expect([again.status, again.stderr]).toEqual([
    2,
    expect.stringContaining('Cannot find an instance "hello"'),
  ]);
  const { stdout } = await sandbox.microbuild(['instance', 'list']);
  expect(stdout).toBe('there is no instance\n');
});
