/**
 * The payload API in one VM: every function, calls back into the host, and how much goes through. Also what a VM answers
 * that is not protected from its host.
 *
 * MICROBUILD_TEST_ECHO_MIB sends so many mebibytes through a method instead of 16; 1024 is the whole of what is promised.
 */

import { writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RpcSessionError } from '../../src/runner/rpc/errors.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { echoMany, openPayloadApi, testPayloadApi } from '../support/payload-api.ts';
import { payloadRecipe } from '../support/recipes.ts';

const PORT = 5680;
const MEBIBYTES = Number(process.env['MICROBUILD_TEST_ECHO_MIB'] ?? 16);

let sandbox: Sandbox;
let bundle: string;
let socket: string;

beforeAll(async () => {
  sandbox = openSandbox();
  socket = join(sandbox.folder, 'api.sock');
  const recipe = payloadRecipe(join(sandbox.folder, 'payload-api'), 'payload-api');
  bundle = join(sandbox.folder, 'bundle');
  const built = await sandbox.microbuild(['image', recipe, '-o', bundle]);
  expect(built).toMatchObject({ status: 0 });
  await run('papi', socket);
});
afterAll(async () => {
  await sandbox.microbuild(['stop', 'papi']);
  sandbox.dispose();
});

/** Runs the bundle until it is ready, with its port at a unix socket. */
async function run(name: string, path: string, env: NodeJS.ProcessEnv = {}): Promise<void> {
  const forward = `--forward=${PORT}:${path}`;
  const args = [
    'run',
    bundle,
    `--name=${name}`,
    '--wait=ready',
    `--timeout=${230 + MEBIBYTES}`,
    forward,
  ];
  expect(await sandbox.microbuild(args, env)).toMatchObject({ status: 0 });
}

const dial = async (): Promise<Socket> => dialPath(socket);

async function dialPath(path: string): Promise<Socket> {
  const stream = connect(path);
  await new Promise<void>((done, reject) => {
    stream.once('connect', done).once('error', reject);
  });
  return stream;
}

describe('a payload in a VM', () => {
  testPayloadApi(dial);

  test('gets a secret of its instance, one for each identifier', async () => {
    const { client, call } = await openPayloadApi(dial);
    const secret = async (id: string, size: number): Promise<string> =>
      Buffer.from((await call('secret', Buffer.from(id), size)) as Uint8Array).toString('hex');
    const first = await secret('one', 32);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await secret('one', 32)).toBe(first);
    expect(await secret('two', 32)).not.toBe(first);
    expect(await secret('one', 0)).toBe('');
    expect(await call('isNewInstance')).toBe(true);
    client.close();
  });

  test('has its APK’s files, and neither encrypted storage nor one that resists rollback', async () => {
    const { client, call } = await openPayloadApi(dial);
    expect(await call('paths')).toEqual(['/mnt/apk', '', '/mnt/apk/lib/x86_64/libpayload-api.so']);
    expect(await call('writeRollbackProtected', Buffer.alloc(32))).toBe(-3);
    expect(await call('writeRollbackProtected', Buffer.alloc(31))).toBe(-2);
    expect(await call('readRollbackProtected')).toBe(-3);
    client.close();
  });

  test('cannot be attested to, as no VM that is not protected', async () => {
    const { client, call } = await openPayloadApi(dial);
    expect(await call('attestation', Buffer.alloc(64), false)).toMatch(/^-10003: /);
    expect(await call('attestation', [], true)).toMatch(/^-10003: /);
    expect(await call('attestation', Buffer.alloc(65), false)).toMatch(/^-10001: /);
    client.close();
  });

  test('runs as Android’s payload user', async () => {
    const { client, call } = await openPayloadApi(dial);
    expect(await call('identity')).toContain('uid 6000 ');
    client.close();
  });

  const long = { timeout: 60_000 + MEBIBYTES * 1000 };
  test(`passes ${MEBIBYTES} MiB in chunks of half a mebibyte`, long, async () => {
    const opened = await openPayloadApi(dial);
    expect(await echoMany(opened, MEBIBYTES)).toBe(MEBIBYTES * 1024 * 1024);
    opened.client.close();
  });

  test('is ended by a function that a payload without configuration may not call', async () => {
    const { client, call } = await openPayloadApi(dial);
    await expect(call('diceChain', 0)).rejects.toBeInstanceOf(RpcSessionError);
    await client.closed;
    const listed = async (): Promise<string> => (await sandbox.microbuild(['ps'])).stdout;
    await expect.poll(listed, { timeout: 20_000 }).not.toContain('papi');
  });
});

describe('a payload that somebody else than the host dials', () => {
  test('serves nobody but CID 2', async () => {
    const backend = join(sandbox.folder, 'backend');
    const real = resolve('target/release/microbuild-vsock');
    writeFileSync(backend, `#!/bin/sh\nexec ${real} "$@" --host-cid 7\n`, { mode: 0o755 });
    const path = join(sandbox.folder, 'stranger.sock');
    await run('stranger', path, { MICROBUILD_VSOCK: backend });
    await expect(openPayloadApi(async () => dialPath(path))).rejects.toBeInstanceOf(
      RpcSessionError,
    );
    const log = async (): Promise<string> =>
      (await sandbox.microbuild(['logs', 'stranger'])).stdout;
    await expect.poll(log, { timeout: 20_000 }).toContain('Refused a connection from CID 7');
    await sandbox.microbuild(['stop', 'stranger']);
  });
});
