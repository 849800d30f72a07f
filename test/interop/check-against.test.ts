/** `microbuild check --against`: a release is built again by somebody who has its source, but none of its keys. */

import { generateKeyPairSync, createPublicKey } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AgainstReport } from '../../src/builder/check/against.ts';
import { REBUILD_PREDICATE } from '../../src/builder/check/statement.ts';
import { openBundle } from '../../src/bundle/open.ts';
import { readPayloadDisks } from '../../src/bundle/resign-payload.ts';
import { decodeStatement, STATEMENT_PAYLOAD_TYPE } from '../../src/formats/dsse/statement.ts';
import { verifyDsse } from '../../src/signing/verify-dsse.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { copyHello, edit } from '../support/recipes.ts';

let sandbox: Sandbox;
const at = (...names: string[]): string => join(sandbox.folder, ...names);
const ok = async (...args: readonly string[]): Promise<string> => {
  const { status, stdout, stderr } = await sandbox.microbuild(args);
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return stdout;
};

/** Of a release: two payloads, an extra APK, another scheme, a profile, a variable, keys that are not the recipe's. */
async function release(): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  writeFileSync(at('payload.pem'), key, { mode: 0o600 });
  const keys = ['--payload-key', at('payload.pem')];
  const recipe = copyHello(at('source'), [
    [
      'name: hello',
      'name: hello\nvars: { greeting: hello }\nprofiles: { loud: { vm: { memory: 160MiB } } }',
    ],
    [
      '      - { file: motd',
      "      - { inline: '${greeting}', to: /system/etc/greeting }\n      - { file: motd",
    ],
  ]);
  await ok('image', recipe, '-o', at('first'), ...keys);
  const bundle = await openBundle(at('first'));
  const [{ facts }] = await readPayloadDisks(bundle);
  writeFileSync(join(recipe, 'extra.apk'), await facts.apk.read(0, facts.apk.size));
  await bundle.close();
  edit(join(recipe, 'microbuild.yaml'), [
    ['  entry: libhello.so\n', '  entry: libhello.so\n  extraApks: [{ apk: extra.apk }]\n'],
    [
      '\nvm: {',
      `
payloads:
  probe:
    package: dev.microbuild.probe
    versionCode: 2
    build: { command: [make], inputs: [Makefile, src], outputs: [build/libhello.so] }
    libraries: { x86_64: [build/libhello.so] }
    entry: libhello.so
signing: { payload: { schemes: [v2, v3, v4] } }
vm: {`,
    ],
  ]);
  const choices = ['--profile', 'loud', '--var', 'greeting=welcome', '--manifest-signature'];
  await ok('image', recipe, '-o', at('release'), ...keys, ...choices);
  await ok('image', recipe, '-o', at('release.mbundle'), ...keys, ...choices);
  // Nobody who checks it has these.
  rmSync(at('payload.pem'));
  rmSync(at('keys'), { recursive: true });
}

async function against(
  bundle: string,
  ...args: readonly string[]
): Promise<AgainstReport & { readonly status: number }> {
  const { status, stdout, stderr } = await sandbox.microbuild([
    'check',
    '--against',
    bundle,
    ...args,
    '--json',
  ]);
  if (status > 1) throw new Error(stderr);
  return { status, ...(JSON.parse(stdout) as AgainstReport) };
}

/** A checkout of the source of its own. */
function source(name: string): string {
  cpSync(at('source'), at(name), { recursive: true });
  return at(name);
}

beforeAll(async () => {
  sandbox = openSandbox();
  await release();
});
afterAll(() => sandbox.dispose());

describe('from its source', () => {
  test.each(['release', 'release.mbundle'])(
    '%s comes out with all its signatures',
    async (name) => {
      const report = await against(at(name), source(`checkout-of-${name}`));
      expect(report).toMatchObject({
        status: 0,
        reproduced: true,
        sameUnsigned: true,
        inputs: [],
        tools: [],
      });
      expect(report.files.length).toBeGreaterThanOrEqual(10);
      expect(report.files.every(({ released, rebuilt }) => released === rebuilt)).toBe(true);
      expect(report.measured?.map((each) => each.name)).toContain('payload probe root digest');
      expect(existsSync(at('keys'))).toBe(false);
    },
  );
});

describe('from another source', () => {
  test('the file that is another is named first, and what it changes', async () => {
    const other = source('other-motd');
    appendFileSync(join(other, 'motd'), 'and more\n');
    const report = await against(at('release'), other);
    expect(report).toMatchObject({
      status: 1,
      reproduced: false,
      sameUnsigned: false,
      unreplayed: 'vbmeta',
      inputs: [{ name: 'motd', file: 'microbuild.yaml' }],
      first: { member: 'os.img', path: 'system_a!/system/etc/motd', field: 'content' },
    });
    const changed = report.measured?.filter(({ a, b }) => a !== b).map(({ name }) => name);
    expect(changed).toContain('system root digest');
    expect(changed).not.toContain('payload root digest');
  });

  test('a payload that is another leaves the system as it is, though its keys are not here', async () => {
    const other = source('other-payload');
    edit(join(other, 'src', 'hello.c'), [['"', '"\\x20" "']]);
    const report = await against(at('release'), other);
    expect(report).toMatchObject({
      status: 1,
      unreplayed: 'apk-v2',
      inputs: [{ name: 'src' }, { name: 'src' }],
    });
    const changed = report.files.filter((file) => file.released !== file.rebuilt);
    expect(changed.map(({ path }) => path)).not.toContain('os.img');
    expect(changed.map(({ path }) => path)).toContain('payload.img');
  });

  test('what is not there is told by name', async () => {
    const other = source('nothing-extra');
    rmSync(join(other, 'extra.apk'));
    const found = await sandbox.microbuild(['check', '--against', at('release'), other]);
    expect(found.status).toBe(2);
    expect(found.stderr).toContain('files that are not here: extra.apk');
    const alone = await sandbox.microbuild([
      'check',
      '--against',
      at('release'),
      '--run-build-commands',
    ]);
    expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining('motd')]);
  });

  test('a command that is not the user’s own does not run unless they say so', async () => {
    const other = source('other-command');
    edit(join(other, 'microbuild.yaml'), [
      ['command: [make]', 'command: [make, all]'],
      ['command: [make]', 'command: [make, all]'],
    ]);
    const refused = await sandbox.microbuild(['check', '--against', at('release'), other]);
    expect([refused.status, refused.stderr]).toEqual([
      2,
      expect.stringContaining('--run-build-commands'),
    ]);
    // It is the recipe of the release that counts then.
    expect(await against(at('release'), other, '--run-build-commands')).toMatchObject({
      status: 0,
    });
  });
});

test('a release that was changed after it was signed is not what its source gives', async () => {
  cpSync(at('release'), at('changed'), { recursive: true });
  const disk = readFileSync(at('changed', 'os.img'));
  const place = disk.indexOf('welcome');
  disk.write('wElcome', place);
  writeFileSync(at('changed', 'os.img'), disk);
  const report = await against(at('changed'), source('unchanged'));
  expect(report).toMatchObject({
    status: 1,
    reproduced: false,
    inputs: [],
    first: { member: 'os.img', path: 'system_a!/system/etc/greeting' },
  });
  expect(report.unreplayed).toBeUndefined();
});

describe('a statement of it', () => {
  test.each([
    ['reproduced', 'the-same', () => undefined],
    ['different', 'another', (folder: string) => writeFileSync(join(folder, 'motd'), 'another\n')],
  ])('says %s, signed by the rebuilder', async (verdict, name, change) => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    mkdirSync(at(`rebuilder-${name}`));
    writeFileSync(at(`rebuilder-${name}`, 'key.pem'), pem, { mode: 0o600 });
    const folder = source(name);
    change(folder);
    const attest = ['--attest', at(`rebuilder-${name}`, 'key.pem')];
    await against(at('release.mbundle'), folder, ...attest);
    const envelope = readFileSync(at('release.mbundle.rebuild.dsse.json'));
    const { payload } = verifyDsse(envelope, {
      keys: [createPublicKey(privateKey)],
      payloadType: STATEMENT_PAYLOAD_TYPE,
    });
    const { subject, predicateType, predicate } = decodeStatement(payload);
    expect(predicateType).toBe(REBUILD_PREDICATE);
    expect(predicate).toMatchObject({ verdict, name: 'hello' });
    expect(subject.map((each) => each.name)).toEqual(
      expect.arrayContaining(['release.mbundle', 'os.img', 'payload.img', 'payload-probe.img']),
    );
    if (verdict === 'different') {
      expect(predicate).toMatchObject({ differentInputs: [{ name: 'motd' }] });
    }
  });
});

test('how it is built is told by the release alone', async () => {
  const { status, stderr } = await sandbox.microbuild([
    'check',
    '--against',
    at('release'),
    '--profile',
    'loud',
  ]);
  expect([status, stderr]).toEqual([
    2,
    expect.stringContaining('the release says how it was built'),
  ]);
});
