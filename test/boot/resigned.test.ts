/** A bundle that got new keys, as one file, boots as the one that it was; its old key does not start it. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';

let sandbox: Sandbox;
let signed: string;
const at = (name: string): string => join(sandbox.folder, name);

beforeAll(async () => {
  sandbox = openSandbox();
  for (const name of ['image', 'payload']) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
    writeFileSync(at(`${name}.pem`), pem, { mode: 0o600 });
    writeFileSync(at(`${name}.pub`), publicKey.export({ format: 'pem', type: 'spki' }));
  }
  signed = at('signed.mbundle');
  const keys = ['--image-key', at('image.pem'), '--payload-key', at('payload.pem')];
  for (const args of [
    ['image', copyHello(at('hello')), '-o', at('built.mbundle')],
    ['sign', 'bundle', at('built.mbundle'), '-o', signed, ...keys, '--manifest-signature'],
  ]) {
    const { status, stderr } = await sandbox.microbuild(args);
    if (status !== 0) throw new Error(stderr);
  }
});
afterAll(() => sandbox.dispose());

const run = (...more: string[]): ReturnType<Sandbox['microbuild']> =>
  sandbox.microbuild([
    'run',
    signed,
    '--call=IHello.hello',
    '--arg',
    '"world"',
    '--timeout=120',
    '--json',
    ...more,
  ]);

test('boots from its one file, trusted by its new key; the guest takes the new payload certificate', async () => {
  const { status, stdout } = await run('--trust', at('image.pub'));
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ answer: expect.stringContaining('Hello, world!') });
});

test('its old key refuses it before anything starts, with exit code 3', async () => {
  const { status, stderr } = await run();
  expect([status, stderr]).toEqual([3, expect.stringContaining('Cannot trust kernel')]);
});
