/** The secrets of real machines: who gets the same ones again, who gets others, who gets none. */

import { createHash, createPublicKey, verify } from 'node:crypto';
import { cpSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Manifest } from '../../src/bundle/manifest.ts';
import { readMeasurements } from '../../src/bundle/measure.ts';
import { openBundle } from '../../src/bundle/open.ts';
import { pinnedVbmetaDigest } from '../../src/bundle/pinned-vbmeta.ts';
import { verifyBundle } from '../../src/bundle/verify.ts';
import { trustedKey } from '../../src/cli/trust.ts';
import { toHex } from '../../src/core/digest.ts';
import type { DiceCertificate } from '../../src/dice/certificate.ts';
import { decodeHandover, nextHandover, verifyChain } from '../../src/dice/chain.ts';
import {
  decodeConfigDescriptor,
  encodeConfigDescriptor,
  payloadDescriptor,
} from '../../src/dice/config-descriptor.ts';
import { sha512 } from '../../src/dice/derive.ts';
import { openInstance } from '../../src/runner/instance/instance.ts';
import { verifyIdsig } from '../../src/signing/apk/verify-idsig.ts';
import { verifyPayload } from '../../src/signing/apk/verify.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { keyPair, openSealed, payloadSecret } from '../support/keystore.ts';
import { copyHello } from '../support/recipes.ts';

let sandbox: Sandbox;
let first: string;
let second: string;
let foreign: string;

const CONFIG = '{ task: { type: microdroid_launcher, command: libsecrets.so } }';

/** A bundle of the payload that prints what it may tell of its secrets; by other keys it has a configuration file. */
async function image(name: string, versionCode: number, foreignKeys = false): Promise<string> {
  const recipe = copyHello(join(sandbox.folder, name), [
    ['name: hello', 'name: secrets'],
    ['versionCode: 1', `versionCode: ${versionCode}`],
    ['command: [make]', `command: [make, -C, payload${foreignKeys ? ', CHAIN=1' : ''}]`],
    ['inputs: [Makefile, src]', 'inputs: [payload]'],
    ['outputs: [build/libhello.so]', 'outputs: [payload/build/libsecrets.so]'],
    ['[build/libhello.so]', '[payload/build/libsecrets.so]'],
    ['entry: libhello.so', foreignKeys ? `config: ${CONFIG}` : 'entry: libsecrets.so'],
    ['  interfaces: [aidl/dev/microbuild/hello/IHello.aidl]\n', ''],
    [', rpcPort: 5678', ''],
  ]);
  cpSync('test/fixtures/secrets-payload', join(recipe, 'payload'), { recursive: true });
  const path = join(sandbox.folder, `${name}-bundle`);
  const { status, stderr } = await sandbox.microbuild(
    ['image', recipe, '-o', path],
    foreignKeys ? { MICROBUILD_KEYS: join(sandbox.folder, 'other-keys') } : {},
  );
  expect(stderr).not.toContain('error:');
  expect(status).toBe(0);
  return path;
}

type Told = ReadonlyMap<string, string>;

const start = async (bundle: string, ...options: readonly string[]): Promise<CliResult> =>
  sandbox.microbuild(['run', bundle, '--timeout=120', ...options]);

/** One boot; what the payload printed, by its first word. */
async function boot(bundle: string, ...options: readonly string[]): Promise<Told> {
  const { status } = await start(bundle, ...options);
  const log = readFileSync(join(sandbox.runFolder, 'secrets', 'log'), 'utf8');
  expect(log).not.toMatch(/^failed /m);
  expect(status).toBe(0);
  return new Map(
    log
      .split('\n')
      .map((line) => line.trim().split(' '))
      .map(([name = '', ...rest]) => [name, rest.join(' ')]),
  );
}

const stateFiles = (): readonly string[] =>
  readdirSync(join(sandbox.folder, 'state'), { recursive: true, encoding: 'utf8' }).toSorted(
    (a, b) => (a < b ? -1 : 1),
  );

beforeAll(async () => {
  sandbox = openSandbox();
  first = await image('first', 1);
  second = await image('second', 2);
  foreign = await image('foreign', 1, true);
});
afterAll(() => sandbox.dispose());

let told: Told;

test('a new instance gets secrets that the host can compute, and keys that sign and seal', async () => {
  told = await boot(first);
  expect(told.get('new')).toBe('1');
  expect(told.get('rollback-protected')).toBe('-3 -3');
  expect(told.get('attestation')).toBe('-10003');
  expect(told.get('tampered')).toBe('5');
  const { seal, authorityHash } = await computedByHost(first);
  expect(told.get('fingerprint')).toBe(payloadSecret(seal, 'fingerprint', 16).toString('hex'));

  const bytes = (name: string): Buffer => Buffer.from(told.get(name) ?? '', 'hex');
  const message = Buffer.from('a message');
  for (const [name, algorithm, hash] of [
    ['ed25519', 1, null],
    ['p256', 2, 'sha256'],
  ] as const) {
    const { publicKey } = keyPair(seal, authorityHash, { alias: 'test', algorithm, version: 0 });
    expect(bytes(`${name}-key`)).toEqual(publicKey);
    const key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
    expect(verify(hash, message, key, bytes(name))).toBe(true);
  }
  const box = { alias: 'test', algorithm: 4, version: 0 };
  const opened = openSealed(seal, authorityHash, box, bytes('sealed'), 'slot');
  expect(opened.toString()).toBe('a message');
});

test('the same instance gets the same ones again, and is new no more', async () => {
  const again = await boot(first);
  expect(again.get('new')).toBe('0');
  for (const name of ['fingerprint', 'ed25519-key', 'ed25519', 'p256', 'mac']) {
    expect(again.get(name)).toBe(told.get(name));
  }
  expect(again.get('sealed')).not.toBe(told.get('sealed'));
});

test('a machine with --ephemeral gets others, and leaves nothing behind', async () => {
  const before = stateFiles();
  const ephemeral = await boot(first, '--ephemeral');
  expect(ephemeral.get('new')).toBe('1');
  expect(ephemeral.get('fingerprint')).not.toBe(told.get('fingerprint'));
  expect(stateFiles()).toEqual(before);
  expect(before).toEqual([
    'microbuild',
    'microbuild/instances',
    'microbuild/instances/secrets',
    'microbuild/instances/secrets/id',
    'microbuild/instances/secrets/versions.json',
    'microbuild/root.key',
  ]);
  for (const name of before) {
    const { mode } = statSync(join(sandbox.folder, 'state', name));
    expect([name, mode & 0o077]).toEqual([name, 0]);
  }
});

test('an update by the same signer keeps them; then the older version gets none', async () => {
  const updated = await boot(second);
  expect(updated.get('fingerprint')).toBe(told.get('fingerprint'));
  expect(updated.get('new')).toBe('0');
  const refused = await start(first);
  expect(refused.status).toBe(126);
  expect(refused.stderr).toContain('payload-version');
  expect(refused.stderr).toContain('has run a newer version of dev.microbuild.hello');
  const log = readFileSync(join(sandbox.runFolder, 'secrets', 'log'), 'utf8');
  expect(log).not.toContain('fingerprint');
});

test('another signer gets others from the same instance, whatever the version', async () => {
  const manifest = JSON.parse(readFileSync(join(foreign, 'manifest.json'), 'utf8')) as Manifest;
  const other = await boot(foreign, '--trust', `sha256:${manifest.keys.image.sha256}`);
  expect(other.get('fingerprint')).not.toBe(told.get('fingerprint'));
  expect(other.get('ed25519-key')).not.toBe(told.get('ed25519-key'));
  expect(other.get('cdi-size')).toBe('32');

  // A payload with a configuration file may see the chain, which tells all that was verified.
  const { certificates } = verifyChain(Buffer.from(other.get('chain') ?? '', 'hex'));
  const [system, payload] = certificates.map(({ config }) => decodeConfigDescriptor(config));
  const id = readFileSync(join(sandbox.folder, 'state/microbuild/instances/secrets/id'));
  expect(system).toEqual({
    componentName: 'vm_entry',
    securityVersion: BigInt(manifest.chain.rollbackIndex),
    instanceHash: sha512(id),
  });
  expect(payload).toMatchObject({
    componentName: 'Microdroid payload',
    payload: { configPath: '/mnt/apk/assets/vm_config.json' },
    subcomponents: [{ name: 'apk:dev.microbuild.hello', version: 1n }],
  });
  expect(certificates.map(({ mode }) => mode)).toEqual(['normal', 'normal']);
  expect(measuredStages(certificates)).toEqual(await expectedStages(foreign, 'normal', sha512(id)));
});

test('a debuggable machine has the stages that are measured of its bundle, too', async () => {
  const debuggable = join(sandbox.folder, 'debuggable');
  cpSync(foreign, debuggable, { recursive: true });
  const config = join(debuggable, 'vm.json');
  const vm = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...vm, initrd: 'initrd_debuggable.img' }));
  const manifest = JSON.parse(readFileSync(join(foreign, 'manifest.json'), 'utf8')) as Manifest;
  const changed = createHash('sha256').update(readFileSync(config)).digest('hex');
  const files = manifest.files.map((file) =>
    file.path === 'vm.json' ? { ...file, sha256: changed, size: statSync(config).size } : file,
  );
  writeFileSync(join(debuggable, 'manifest.json'), JSON.stringify({ ...manifest, files }));

  const other = await boot(debuggable, '--trust', `sha256:${manifest.keys.image.sha256}`);
  const { certificates } = verifyChain(Buffer.from(other.get('chain') ?? '', 'hex'));
  const id = readFileSync(join(sandbox.folder, 'state/microbuild/instances/secrets/id'));
  expect(certificates.map(({ mode }) => mode)).toEqual(['debug', 'debug']);
  const expected = await expectedStages(foreign, 'debuggable', sha512(id));
  expect(measuredStages(certificates)).toEqual(expected);
});

test('a system older than the instance has run is refused before anything starts', async () => {
  const folder = join(sandbox.folder, 'aged');
  const { key: publicKey } = await trustedKey(undefined, first, imageKeys());
  const digest = new Uint8Array(32);
  const instance = await openInstance({
    name: 'aged',
    folder,
    ephemeral: false,
    measurements: {
      vbmetaDigest: digest,
      kernelDigest: digest,
      initrdDigest: digest,
      publicKey,
      rollbackIndex: 9n,
    },
    debuggable: false,
    env: stateEnv(),
  });
  instance.admitPayload([]);
  await instance.takeHandover();
  await instance.close();
  const refused = await start(first, '--instance', folder);
  expect(refused.status).toBe(3);
  expect(refused.stderr).toContain('the instance has run a newer system');
});

const imageKeys = (): NodeJS.ProcessEnv => ({ MICROBUILD_KEYS: join(sandbox.folder, 'keys') });
const stateEnv = (): NodeJS.ProcessEnv => ({ XDG_STATE_HOME: join(sandbox.folder, 'state') });

/** What the certificates of a chain say of their stages, as `measure` tells it. */
const measuredStages = (certificates: readonly DiceCertificate[]): readonly object[] =>
  certificates.map(({ mode, codeHash, authorityHash, config }) => ({
    mode,
    codeHash: toHex(codeHash),
    authorityHash: toHex(authorityHash),
    configHash: toHex(sha512(config)),
  }));

/** The same of a bundle's own bytes. */
async function expectedStages(
  path: string,
  which: 'normal' | 'debuggable',
  instanceHash: Uint8Array,
): Promise<readonly object[]> {
  const bundle = await openBundle(path);
  try {
    const { dice } = await readMeasurements(bundle, instanceHash);
    const { componentName: _name, securityVersion: _version, ...system } = dice[which].system;
    return [system, dice[which].payload];
  } finally {
    await bundle.close();
  }
}

/** The payload's stage as docs/secrets.md says that whoever has the root key can compute it. */
async function computedByHost(
  path: string,
): Promise<{ readonly seal: Uint8Array; readonly authorityHash: Uint8Array }> {
  const { key: publicKey } = await trustedKey(undefined, path, imageKeys());
  const bundle = await openBundle(path);
  try {
    const verified = await verifyBundle(bundle, { trustedKey: publicKey, level: 'boot' });
    const instance = await openInstance({
      name: 'secrets',
      ephemeral: false,
      measurements: {
        ...verified,
        publicKey,
        vbmetaDigest: await pinnedVbmetaDigest(bundle.initrd),
      },
      debuggable: false,
      env: stateEnv(),
    });
    const apk = await bundle.payload.partition('microdroid-apk');
    const signer = await verifyPayload(apk, {});
    const idsig = await bundle.payload.partition('microdroid-apk-idsig');
    const { rootHash } = await verifyIdsig(apk, idsig, { apk: signer });
    const signerHash = signer.certificateDigests.sha512;
    instance.admitPayload([
      {
        package: 'dev.microbuild.hello',
        versionCode: 1n,
        signer: Buffer.from(signer.certificateDigests.sha256).toString('hex'),
      },
    ]);
    const system = decodeHandover(await instance.takeHandover());
    await instance.close();
    const part = {
      name: 'apk:dev.microbuild.hello',
      version: 1n,
      codeHash: rootHash,
      authorityHash: signerHash,
    };
    const authorityHash = sha512(signerHash);
    const id = readFileSync(join(sandbox.folder, 'state/microbuild/instances/secrets/id'));
    const descriptor = payloadDescriptor({ binaryName: 'libsecrets.so' }, [part]);
    const { seal } = nextHandover(system, {
      codeHash: sha512(rootHash),
      config: { descriptor: encodeConfigDescriptor(descriptor) },
      authorityHash,
      mode: 'normal',
      hidden: sha512(id),
    });
    return { seal, authorityHash };
  } finally {
    await bundle.close();
  }
}
