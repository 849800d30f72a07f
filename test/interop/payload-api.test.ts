/**
 * The payload API without a VM: the guest's launcher and libraries on this machine, our client over a unix socket in the
 * place of vsock, and a manager of the test's own, so that also what only a protected VM answers is tried.
 */

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { arch, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createVerify, generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callMethod } from '../../src/runner/aidl/call.ts';
import { compileAidl } from '../../src/runner/aidl/compile.ts';
import { readAidlFiles } from '../../src/runner/aidl/files.ts';
import { parseAidl } from '../../src/runner/aidl/parse.ts';
import { openRpcClient } from '../../src/runner/rpc/client.ts';
import { aidlStub } from '../../src/runner/aidl/objects.ts';
import { BinderException, RpcSessionError } from '../../src/runner/rpc/errors.ts';
import { RpcServer } from '../../src/runner/rpc/server.ts';
import { echoMany, openPayloadApi, testPayloadApi } from '../support/payload-api.ts';
import { runTool } from '../support/tools.ts';

const GUEST = resolve('target/guest/x86_64');
const SERVICE = 'guest/aidl/android/system/virtualization/payload/IVmPayloadService.aidl';
const PORT = 5680;
const ports: Readonly<Record<string, number>> = { counter: 5682 };

/** What the test's manager answers, by method; undefined throws EX_UNSUPPORTED_OPERATION. */
interface Answers {
  requestAttestation?: () => unknown;
  stored: Uint8Array | null;
  ready: number;
}

const answers: Answers = { stored: null, ready: 0 };

function managerStub(): ReturnType<typeof aidlStub> {
  const [description] = compileAidl(readAidlFiles([SERVICE])).types;
  if (description?.kind !== 'interface') throw new Error(`${SERVICE} is no interface`);
  return aidlStub(description, {
    notifyPayloadReady: () => void answers.ready++,
    getVmInstanceSecret: (id: Uint8Array, size: number) => Buffer.alloc(size, id),
    getDiceAttestationChain: () => Buffer.from('a chain'),
    getDiceAttestationCdi: () => Buffer.alloc(32, 7),
    requestAttestation: () => {
      if (answers.requestAttestation === undefined) throw new BinderException(-7, 'not protected');
      return answers.requestAttestation();
    },
    writePayloadRpData: (data: Uint8Array) => void (answers.stored = Buffer.from(data)),
    readPayloadRpData: () => answers.stored,
    isNewInstance: () => true,
  });
}

interface Running {
  readonly folder: string;
  readonly child: ChildProcess;
  readonly stderr: () => string;
  dial(this: void): Promise<Socket>;
}

/** Starts the fixture under the launcher; with a manager, unless told otherwise. */
async function start(
  manager = true,
  env: NodeJS.ProcessEnv = {},
  name = 'payload-api',
): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), 'mb-api-'));
  stops.push(() => rmSync(folder, { recursive: true, force: true }));
  const variables = { ...process.env, MICROBUILD_LIB: GUEST };
  const libraries = [name, 'vsock-over-unix'].map((each) => join(folder, `lib${each}.so`));
  const made = runTool(
    'make',
    ['-s', '-C', 'test/fixtures/payloads', `OUT=${folder}`, ...libraries],
    { env: variables },
  );
  expect(made.stderr).toBe('');
  if (manager) {
    const server = new RpcServer({ root: managerStub() });
    await server.listen(join(folder, 'vm_payload_service'));
    stops.push(() => void server.close());
  }
  let stderr = '';
  const child = spawn(join(GUEST, 'microdroid_launcher'), [join(folder, `lib${name}.so`)], {
    env: {
      LD_LIBRARY_PATH: GUEST,
      LD_PRELOAD: join(folder, 'libvsock-over-unix.so'),
      MICROBUILD_TEST_SOCKETS: folder,
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  stops.push(() => void child.kill('SIGKILL'));
  return { folder, child, stderr: () => stderr, dial: () => dial(folder, ports[name] ?? PORT) };
}

async function dial(folder: string, port: number): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    const socket = connect(join(folder, `vsock-${port}`));
    // oxlint-disable-next-line no-await-in-loop -- until it listens
    const failure = await new Promise<Error | undefined>((done) => {
      socket.once('connect', () => done(undefined)).once('error', done);
    });
    if (failure === undefined) return socket;
    if (attempt === 200) throw failure;
    // oxlint-disable-next-line no-await-in-loop
    await sleep(25);
  }
}

const stops: (() => void)[] = [];
afterAll(() => stops.forEach((stop) => stop()));

describe.skipIf(arch() !== 'x64')('the payload API, with a manager of the test’s own', () => {
  let running: Running;
  beforeAll(async () => {
    running = await start();
  });
  const connectToPayload = (): Promise<Socket> => running.dial();

  testPayloadApi(connectToPayload);

  test('the host is told once, when the payload listens', async () => {
    const { client } = await openPayloadApi(connectToPayload);
    expect(answers.ready).toBe(1);
    client.close();
  });

  test('secrets, chain, CDI and the age of the instance come from the manager', async () => {
    const { client, call } = await openPayloadApi(connectToPayload);
    const hex = async (value: Promise<unknown>): Promise<string> =>
      Buffer.from((await value) as Uint8Array).toString('hex');
    expect(await hex(call('secret', [1, 2], 5))).toBe('0102010201');
    expect(await hex(call('secret', [], 0))).toBe('');
    expect(await hex(call('diceChain', 0))).toBe('07000000');
    expect(await hex(call('diceChain', 3))).toBe(`${Buffer.from('a c').toString('hex')}07000000`);
    expect(await hex(call('diceCdi', 32))).toBe(`${'07'.repeat(32)}20000000`);
    expect(await call('isNewInstance')).toBe(true);
    expect(await call('paths')).toEqual(['/mnt/apk', '', 'unreadable']);
    client.close();
  });

  test('32 bytes are kept against rollback: of more the first, of less none', async () => {
    const { client, call } = await openPayloadApi(connectToPayload);
    expect(await call('readRollbackProtected')).toBe(-1);
    expect(await call('writeRollbackProtected', Buffer.alloc(31))).toBe(-2);
    expect(await call('writeRollbackProtected', Buffer.alloc(40, 9))).toBe(32);
    expect(answers.stored).toEqual(Buffer.alloc(32, 9));
    expect(await call('readRollbackProtected')).toBe(32 + 9);
    answers.stored = null;
    client.close();
  });

  test('attestation: a challenge of more than 64 bytes, nobody who attests, and a key that signs', async () => {
    const { client, call } = await openPayloadApi(connectToPayload);
    expect(await call('attestation', Buffer.alloc(65), false)).toMatch(/^-10001: .+ 64 bytes$/);
    expect(await call('attestation', Buffer.alloc(64), false)).toMatch(/^-10003: /);
    expect(await call('attestation', [], true)).toMatch(/^-10003: /);
    answers.requestAttestation = (): never => {
      throw new BinderException(-8, 'later', 1);
    };
    expect(await call('attestation', [1], false)).toMatch(/^-10002: /);
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ format: 'der', type: 'sec1' });
    answers.requestAttestation = () => ({
      privateKey: key,
      certificateChain: [
        { encodedCertificate: Buffer.from([0x30, 0x82, 1]) },
        { encodedCertificate: Buffer.from([0x31]) },
      ],
    });
    const said = (await call('attestation', [1], false)) as string;
    delete answers.requestAttestation;
    const match = /^0: .+, key (\d+), 3:3082 1:3100, signature ([0-9a-f]+)$/.exec(said);
    expect(match?.[1]).toBe(String(key.length));
    const verifier = createVerify('sha256').update('microbuild');
    const signature = Buffer.from(match?.[2] ?? '', 'hex');
    expect(verifier.verify(publicKey, signature)).toBe(true);
    client.close();
  });

  test('sixteen mebibytes pass in chunks', async () => {
    const opened = await openPayloadApi(connectToPayload);
    expect(await echoMany(opened, 16)).toBe(16 << 20);
    opened.client.close();
  });

  test('what is logged by Android’s functions is a line on stderr', () => {
    expect(running.stderr()).toContain('I/payload-api: 3 functions checked\n');
    expect(running.stderr()).not.toContain('not logged');
  });

  test('a secret of more than 32 bytes ends the process', async () => {
    const { client, call } = await openPayloadApi(connectToPayload);
    await expect(call('secret', [1], 33)).rejects.toBeInstanceOf(RpcSessionError);
    await client.closed;
    await expect.poll(() => running.child.signalCode).toBe('SIGABRT');
    expect(running.stderr()).toContain('33 bytes, where 32 are the most');
  });
});

describe.skipIf(arch() !== 'x64')('the payload API', () => {
  test('only the host is served', async () => {
    const { dial: dialStranger, stderr } = await start(true, { MICROBUILD_TEST_PEER_CID: '3' });
    await expect(openPayloadApi(dialStranger)).rejects.toBeInstanceOf(RpcSessionError);
    await expect.poll(stderr).toContain('Refused a connection from CID 3: it is not the host');
  });

  test('a payload that cannot tell the manager aborts and says why', async () => {
    const { child, stderr } = await start(false);
    await expect.poll(() => child.signalCode).toBe('SIGABRT');
    expect(stderr()).toBe(
      'Failed to notify payload ready: /dev/socket/vm_payload_service: errno 2\n',
    );
  });

  test('payloads in C++ need no C++ library', async () => {
    const { dial: dialCounter } = await start(true, {}, 'counter');
    const client = await openRpcClient(await dialCounter());
    const counter = parseAidl(
      'package dev.microbuild.test; interface ICounter { int add(int x); }',
    );
    const add = async (amount: number): Promise<unknown> =>
      callMethod(client.root, counter, 'add', [amount]);
    expect([await add(2), await add(40)]).toEqual([2, 42]);
    await expect(add(-1)).rejects.toMatchObject({
      serviceSpecific: 1,
      serviceMessage: 'Only upwards',
    });
    client.close();
  });
});
