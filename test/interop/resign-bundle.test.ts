/**
 * Bundles with new keys, through the command line: the bytes of building the recipe with those keys, in one
 * phase and in two, as a folder and as one file.
 */

import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Manifest } from '../../src/bundle/manifest.ts';
import { MANIFEST_PAYLOAD_TYPE } from '../../src/bundle/manifest-signature.ts';
import { verifyDsse } from '../../src/signing/verify-dsse.ts';
import { openSandbox, type CliResult, type Sandbox } from '../support/cli.ts';
import { copyHello } from '../support/recipes.ts';
import {
  describeForeignKernel,
  duplicatePartition,
  flipByte,
  payloadPlaces,
} from '../support/tamper.ts';

let sandbox: Sandbox;
const at = (name: string): string => join(sandbox.folder, name);

async function succeed(...args: string[]): Promise<CliResult> {
  const run = await sandbox.microbuild(args);
  expect([run.status, run.status === 0 ? '' : run.stderr]).toEqual([0, '']);
  return run;
}
const manifestOf = (bundle: string): Manifest =>
  JSON.parse(readFileSync(join(at(bundle), 'manifest.json'), 'utf8')) as Manifest;

/** All files of a folder by name, as digests would say too little when they differ. */
function differences(one: string, other: string): string[] {
  const names = (folder: string): string[] =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
      // They are about one bundle, and its signatures.
      .filter((name) => !name.startsWith('attestations/'))
      .sort();
  expect(names(one)).toEqual(names(other));
  return names(one).filter(
    (name) => !readFileSync(join(one, name)).equals(readFileSync(join(other, name))),
  );
}

/** The bundle of the recipe that names the new keys, but for the record of which recipe it was built from. */
function expectBuilt(bundle: string): void {
  expect(differences(at(bundle), at('built'))).toEqual(['build.json', 'manifest.json']);
  const record = (of: string): Buffer => readFileSync(join(at(of), 'build.json'));
  expect(record(bundle).equals(record('development'))).toBe(true);
  const [own, built] = [bundle, 'built'].map((each) => {
    const { files, ...rest } = manifestOf(each);
    return JSON.stringify([rest, files.filter(({ path }) => path !== 'build.json')]);
  });
  expect(own).toBe(built);
}

const image = (name: string): string[] => ['--image-key', at(name)];
const payload = (name: string): string[] => ['--payload-key', at(name)];
const newKeys = (): string[] => [
  ...image('image.pem'),
  ...payload('payload.pem'),
  '--rollback-index',
  '3',
];

beforeAll(async () => {
  sandbox = openSandbox();
  const recipe = copyHello(at('release'), [
    [
      'vm: {',
      'signing:\n  image: { key: keys/image.pem, rollbackIndex: 3 }\n  payload: { key: keys/payload.pem }\nvm: {',
    ],
  ]);
  mkdirSync(join(recipe, 'keys'));
  for (const [name, modulusLength] of [
    ['image', 2048],
    ['payload', 4096],
    ['other', 2048],
  ] as const) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength });
    const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
    writeFileSync(at(`${name}.pem`), pem, { mode: 0o600 });
    writeFileSync(at(`${name}.pub`), publicKey.export({ format: 'pem', type: 'spki' }));
    if (name !== 'other') writeFileSync(join(recipe, 'keys', `${name}.pem`), pem, { mode: 0o600 });
  }
  await succeed('image', copyHello(at('hello')), '-o', at('development'));
  await succeed('image', recipe, '-o', at('built'));
});
afterAll(() => sandbox.dispose());

describe('a bundle that gets new keys', () => {
  test('is the bundle that is built with them, byte for byte', async () => {
    await succeed('sign', 'bundle', at('development'), '-o', at('resigned'), ...newKeys());
    expectBuilt('resigned');
    // And back: nothing of what it was is lost, and development keys are told.
    const keys = join(sandbox.folder, 'keys');
    await succeed(
      'sign',
      'bundle',
      at('resigned'),
      '-o',
      at('back'),
      '--image-key',
      join(keys, 'image.pem'),
      '--payload-key',
      join(keys, 'payload.pem'),
      '--rollback-index=0',
    );
    expect(differences(at('back'), at('development'))).toEqual([]);
  });

  test('as one file too, from one file or a folder', async () => {
    await succeed('image', at('hello'), '-o', at('development.mbundle'));
    const [one, other] = ['signed.mbundle', 'other.mbundle'];
    await succeed('sign', 'bundle', at('development'), '-o', at(one), ...newKeys());
    await succeed('sign', 'bundle', at('development.mbundle'), '-o', at(other), ...newKeys());
    expect(readFileSync(at(one)).equals(readFileSync(at(other)))).toBe(true);
    await succeed('verify', at('signed.mbundle'), '--trust', at('image.pub'));
    const { stdout } = await succeed('inspect', at('signed.mbundle'), '--json');
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'bundle', name: 'bundle hello' });
    expect((await succeed('inspect', at('signed.mbundle'), 'ls', '/')).stdout).toContain('/system');
  });

  test('is trusted by its new key and refused by its old one', async () => {
    await succeed('verify', at('built'), '--trust', at('image.pub'));
    const refused = await sandbox.microbuild(['verify', at('built'), '--json']);
    expect(refused.status).toBe(3);
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { link: 'kernel' } });
  });

  test('in two phases is the same, with independent signatures in one round', async () => {
    const keys = ['--image-key', at('image.pub'), '--payload-key', at('payload.pub')];
    const line = ['sign', 'bundle', at('development'), '-o', at('phased'), ...keys];
    await succeed(...line, '--rollback-index', '3', '--prepare', at('request'));
    const rounds: string[][] = [];
    for (let round = 0; round < 5 && !existsSync(at('phased')); round++) {
      rounds.push(signElsewhere(at('request')));
      const { status, stderr } = await sandbox.microbuild(['sign', '--attach', at('request')]);
      expect([[0, 5].includes(status), stderr]).toEqual([true, '']);
    }
    expectBuilt('phased');
    expect(rounds).toEqual([['certificate', 'vbmeta'], ['apk-v3', 'vbmeta'], ['apk-v4']]);
  });

  test('keeps what nobody has a new key for', async () => {
    const out = at('images-only');
    await succeed('sign', 'bundle', at('development'), '-o', out, ...image('image.pem'));
    await succeed('verify', out, '--trust', at('image.pub'));
    const same = readFileSync(join(out, 'payload.img'));
    expect(same.equals(readFileSync(join(at('development'), 'payload.img')))).toBe(true);
    expect(manifestOf('images-only')).toMatchObject({
      release: 'development',
      keys: { image: { development: false }, payload: { development: true } },
    });
  });

  test('of its payload alone must accept the signer before', async () => {
    const line = ['sign', 'bundle', at('development'), '-o', at('payload-only')];
    const only = [...payload('payload.pem'), '--only', 'payload'];
    const refused = await sandbox.microbuild([...line, ...only]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('--image-key');
    expect(existsSync(at('payload-only'))).toBe(false);

    const digests = ['development', 'built'].map(
      (name) => `sha256:${manifestOf(name).keys.payload.sha256}`,
    );
    const accept = digests.flatMap((digest) => ['--trust-payload', digest]);
    const window = ['sign', 'bundle', at('development'), '-o', at('window')];
    await succeed(...window, ...image('image.pem'), ...accept);
    await succeed('sign', 'bundle', at('window'), '-o', at('payload-only'), ...only);
    await succeed('verify', at('payload-only'), '--trust', at('image.pub'));
    expect(manifestOf('payload-only').chain.payloadCertificates).toEqual(digests);
    const kernel = readFileSync(join(at('payload-only'), 'kernel'));
    expect(kernel.equals(readFileSync(join(at('window'), 'kernel')))).toBe(true);
  });

  test('may carry a signature of its manifest, by the key of its images', async () => {
    const line = ['sign', 'bundle', at('development'), '-o', at('attested.mbundle')];
    await succeed(...line, ...newKeys(), '--manifest-signature');
    await succeed('verify', at('attested.mbundle'), '--trust', at('image.pub'));
    await succeed(
      'sign',
      'bundle',
      at('development'),
      '-o',
      at('attested'),
      ...newKeys(),
      '--manifest-signature',
    );
    const envelope = readFileSync(join(at('attested'), 'manifest.dsse.json'));
    const key = createPublicKey(readFileSync(at('image.pub')));
    const { payload: signed } = verifyDsse(envelope, {
      keys: [key],
      payloadType: MANIFEST_PAYLOAD_TYPE,
    });
    expect(Buffer.from(signed).equals(readFileSync(join(at('resigned'), 'manifest.json')))).toBe(
      true,
    );
    // Signed by somebody else, or over another manifest, it is a broken link.
    const forged = join(at('attested'), 'manifest.dsse.json');
    await succeed(
      'sign',
      'dsse',
      join(at('development'), 'manifest.json'),
      '--payload-type',
      MANIFEST_PAYLOAD_TYPE,
      '--key',
      at('image.pem'),
      '-o',
      forged,
    );
    await expectBroken('another one was signed');
    await succeed(
      'sign',
      'dsse',
      join(at('attested'), 'manifest.json'),
      '--payload-type',
      MANIFEST_PAYLOAD_TYPE,
      '--key',
      at('other.pem'),
      '-o',
      forged,
    );
    await expectBroken('none of the trusted keys');
    rmSync(forged);
    expect(differences(at('attested'), at('resigned'))).toEqual([]);
  });
});

async function expectBroken(said: string): Promise<void> {
  const run = await sandbox.microbuild([
    'verify',
    at('attested'),
    '--trust',
    at('image.pub'),
    '--json',
  ]);
  expect([run.status, run.stderr]).toEqual([3, expect.stringContaining(said)]);
  expect(JSON.parse(run.stdout)).toMatchObject({ error: { link: 'manifest-signature' } });
}

describe('a bundle is not signed', () => {
  test('when it is broken', async () => {
    const broken = at('broken');
    cpSync(at('development'), broken, { recursive: true });
    const disk = join(broken, 'payload.img');
    flipByte(disk, (await payloadPlaces(disk)).idsigTree);
    const run = await sandbox.microbuild([
      'sign',
      'bundle',
      broken,
      '-o',
      at('none'),
      ...newKeys(),
    ]);
    expect([run.status, existsSync(at('none'))]).toEqual([3, false]);
    expect(run.stderr).toContain('idsig');
  });

  test.each([
    [
      'the vbmeta behind its system describes a foreign kernel, too',
      (os: string) => describeForeignKernel(os, 'system_a'),
      'the vbmeta behind it',
    ],
    [
      'its disk has a partition that nothing vouches for',
      (os: string) => duplicatePartition(os, 'system_a', 'x_a'),
      'does not describe its partition "x_a"',
    ],
  ])('when %s: the signature would vouch for it', async (_title, change, said) => {
    const broken = at('undescribed');
    rmSync(broken, { recursive: true, force: true });
    cpSync(at('development'), broken, { recursive: true });
    await change(join(broken, 'os.img'));
    const run = await sandbox.microbuild([
      'sign',
      'bundle',
      broken,
      '-o',
      at('none'),
      ...newKeys(),
    ]);
    expect(run.stderr).toContain(said);
    expect([run.status, existsSync(at('none'))]).toEqual([3, false]);
  });

  test('when another key must have signed it until now', async () => {
    const line = ['sign', 'bundle', at('development'), '-o', at('none'), ...newKeys()];
    const run = await sandbox.microbuild([...line, '--trust', at('other.pub')]);
    expect([run.status, existsSync(at('none'))]).toEqual([3, false]);
  });

  test('when its guest would refuse it, or an option means nothing', async () => {
    const line = ['sign', 'bundle', at('development'), '-o', at('none')];
    const strange = ['--trust-payload', `sha256:${'ab'.repeat(32)}`];
    for (const [args, said] of [
      [[...newKeys(), ...strange], '--trust-payload'],
      [[...payload('payload.pem')], '--image-key'],
      [[...newKeys(), '--only', 'image'], '--payload-key'],
      [[...payload('payload.pem'), '--only=payload', '--manifest-signature'], 'manifest-signature'],
      [[...newKeys(), '--trust-payload', 'abc'], 'no digest'],
      [[...newKeys(), '--algorithm', 'SHA256_RSA4096'], 'SHA256_RSA2048'],
    ] as const) {
      const run = await sandbox.microbuild([...line, ...args]);
      expect([run.status, existsSync(at('none'))]).toEqual([2, false]);
      expect(run.stderr).toContain(said);
    }
  });

  test('for a release with development keys, or below the last rollback index', async () => {
    const log = ['--release-log', at('releases.json'), '--audit-log', at('audit.jsonl')];
    const line = [
      'sign',
      'bundle',
      at('development'),
      '-o',
      at('released'),
      '--profile',
      'release',
      ...log,
    ];
    await succeed(...line, ...newKeys());
    const run = await sandbox.microbuild([...line, ...newKeys(), '--rollback-index', '2']);
    expect(run.status).toBe(3);
    expect(run.stderr).toContain('rollback index 2');
    // What stays was signed by somebody, too.
    const half = await sandbox.microbuild([...line, ...image('image.pem'), '--rollback-index=3']);
    expect([half.status, half.stderr]).toEqual([3, expect.stringContaining('development key')]);
  });
});

/** Signs what was asked for with the keys of this file. @returns the purposes. */
function signElsewhere(folder: string): string[] {
  const request = JSON.parse(readFileSync(join(folder, 'request.json'), 'utf8')) as {
    keys: { id: string; publicKey: string }[];
    requests: { key: string; purpose: string; hash: string; data: string; signature: string }[];
  };
  const own = ['image.pem', 'payload.pem'].map((name) => createPrivateKey(readFileSync(at(name))));
  const signed: string[] = [];
  for (const { key: id, purpose, hash, data, signature } of request.requests) {
    if (existsSync(join(folder, signature))) continue;
    const pem = request.keys.find((each) => each.id === id)?.publicKey;
    const key = own.find(
      (each) => createPublicKey(each).export({ format: 'pem', type: 'spki' }) === pem,
    );
    if (key === undefined) throw new Error(`Nobody has the key for ${purpose}`);
    writeFileSync(join(folder, signature), sign(hash, readFileSync(join(folder, data)), key));
    signed.push(purpose);
  }
  return signed.sort();
}
