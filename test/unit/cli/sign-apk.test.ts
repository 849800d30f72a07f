/** `microbuild sign apk`, `keys rotate` and `keys lineage` as a user calls them. */

import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { decodeLineageFile } from '../../../src/formats/apk/lineage.ts';
import { bytesSource } from '../../../src/io/byte-source.ts';
import { verifyIdsig } from '../../../src/signing/apk/verify-idsig.ts';
import { verifyPayload } from '../../../src/signing/apk/verify.ts';
import { keySigner } from '../../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../../src/signing/x509.ts';
import { corpus, corpusPath } from '../../support/corpus.ts';
import { openSandbox, type CliResult, type Sandbox } from '../../support/cli.ts';
import { readSigners, signerName } from '../../../src/cli/commands/sign/apk-signers.ts';
import { testApk, testKeyPath } from '../signing/apk/fixtures.ts';

let sandbox: Sandbox;
let folder: string;
let count = 0;

const at = (name: string): string => join(folder, name);
/** Words that start with `@` are files of the test's folder. */
const run = (line: string): Promise<CliResult> =>
  sandbox.microbuild(line.split(' ').map((word) => word.replace(/^@/, `${folder}/`)));

async function ok(line: string): Promise<string> {
  const { status, stdout, stderr } = await run(line);
  expect(`${status} ${stderr}`).toBe('0 ');
  return stdout;
}

/** A key and its certificate in the sandbox's folder: `NAME.key`, `NAME.crt`. */
async function writeKey(name: string, key: KeyObject): Promise<void> {
  const certificate = await createSelfSignedCertificate(keySigner(key), {
    subject: [{ name: 'CN', value: name }],
  });
  const pem = key.export({ type: 'pkcs8', format: 'pem' });
  writeFileSync(join(sandbox.folder, `${name}.key`), pem, { mode: 0o600 });
  writeFileSync(join(sandbox.folder, `${name}.crt`), encodeCertificatePem(certificate));
}

/** The options of a signer. */
const by = (name: string): string =>
  `--key ${join(sandbox.folder, name)}.key --cert ${join(sandbox.folder, name)}.crt`;

beforeAll(async () => {
  sandbox = openSandbox();
  await writeKey('old', createPrivateKey(readFileSync(testKeyPath)));
  await writeKey('new', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
});
afterAll(() => sandbox.dispose());
beforeEach(async () => {
  count += 1;
  folder = join(sandbox.folder, `case-${count}`);
  mkdirSync(folder);
  writeFileSync(at('app.apk'), await testApk());
});

const files = (): readonly string[] => readdirSync(folder).sort();
const source = (name: string) => bytesSource(new Uint8Array(readFileSync(at(name))), name);

describe('sign apk', () => {
  test('signs in place, says so, and writes the idsig beside it', async () => {
    const said = await ok(`sign apk @app.apk ${by('old')}`);
    expect(said).toContain('app.apk: signed in place');
    expect(said).toMatch(/v1 {4}by sha256:[0-9a-f]{64}\n.*v2 .*\n.*v3 .*SDK 24 and later\n.*v4 /);
    expect(files()).toEqual(['app.apk', 'app.apk.idsig']);
    await verifyPayload(source('app.apk'));
    await verifyIdsig(source('app.apk'), source('app.apk.idsig'));
  });

  test('leaves the input as it is when it is given an output', async () => {
    const before = readFileSync(at('app.apk'));
    await ok(`sign apk @app.apk ${by('old')} --v1 false -o @out.apk --idsig @out.v4`);
    expect(readFileSync(at('app.apk'))).toEqual(before);
    expect(files()).toEqual(['app.apk', 'out.apk', 'out.v4']);
    await verifyIdsig(source('out.apk'), source('out.v4'));
  });

  test('gives the same bytes each time, also in place of themselves', async () => {
    await ok(`sign apk @app.apk ${by('old')} --out @one.apk`);
    await ok(`sign apk @one.apk ${by('old')} --output @two.apk`);
    expect(readFileSync(at('two.apk'))).toEqual(readFileSync(at('one.apk')));
    expect(readFileSync(at('two.apk.idsig'))).toEqual(readFileSync(at('one.apk.idsig')));
  });

  test("takes apksigner's command line", async () => {
    await ok(
      `sign apk --v1-signing-enabled false --v2-signing-enabled true ${by('old')} --v4-signing-enabled true --in @app.apk --out @out.apk`,
    );
    expect(files()).toEqual(['app.apk', 'out.apk', 'out.apk.idsig']);
    const twice = await run(`sign apk @app.apk --in @out.apk ${by('old')}`);
    expect(twice).toMatchObject({ status: 2 });
    expect(twice.stderr).toContain('two APKs are named');
    expect((await run(`sign apk ${by('old')}`)).stderr).toContain('no APK is named');
  });

  test('tells programs who signed what', async () => {
    const json = JSON.parse(
      await ok(`sign apk @app.apk ${by('old')} --v1 false --v4 false --min-sdk-version 30 --json`),
    ) as Record<string, unknown>;
    expect(json).toMatchObject({ apk: at('app.apk'), minSdk: 30, idsig: null });
    expect(json['signatures']).toMatchObject([
      { scheme: 'v2', algorithms: ['rsa-pkcs1-sha256'] },
      { scheme: 'v3', minSdk: 24, maxSdk: 0x7fffffff },
    ]);
    expect(files()).toEqual(['app.apk']);
  });

  test('several signers sign v1 and v2, and no v4', async () => {
    const said = await ok(`sign apk @app.apk ${by('old')} ${by('new')} --json`);
    const { signatures, idsig } = JSON.parse(said) as {
      signatures: { scheme: string }[];
      idsig: unknown;
    };
    expect(signatures.map(({ scheme }) => scheme)).toEqual(['v1', 'v1', 'v2', 'v2']);
    expect(idsig).toBeNull();
  });

  test('warns of an idsig that was made for another APK', async () => {
    await ok(`sign apk @app.apk ${by('old')} --out @out.apk`);
    const { status, stderr } = await run(
      `sign apk @app.apk ${by('old')} --out @out.apk --v4 false`,
    );
    expect(status).toBe(0);
    expect(stderr).toMatch(/warning: .*out\.apk\.idsig is not of this APK/);
  });

  test.each([
    ['', 2, /no key is given/],
    ['--key @app.apk', 2, /Cannot use key/],
    ['OLD --v1 false --v2 false --v3 false', 2, /no signature scheme/],
    ['OLD --v2 false --v3 false --v4 true', 2, /v4 needs v2 or v3/],
    ['OLD --min-sdk-version 30 --max-sdk-version 28', 2, /range is empty/],
    ['OLD --min-sdk-version soon', 2, /no number/],
    ['OLD --idsig @app.apk', 2, /it is .*app\.apk too/],
    ['OLD --lineage @app.apk', 2, /signed without one/],
    ['OLD --v1-signer-name A --signer-lineage x', 2, /without --signer-for-min-sdk-version/],
  ])('refuses %j and leaves everything as it is', async (options, status, message) => {
    const before = readFileSync(at('app.apk'));
    const line = `sign apk @app.apk ${options.replace('OLD', by('old'))}`.trim();
    const result = await run(line);
    expect(result).toMatchObject({ status, stdout: '' });
    expect(result.stderr).toMatch(message);
    expect(files()).toEqual(['app.apk']);
    expect(readFileSync(at('app.apk'))).toEqual(before);
  });

  test('an APK that is refused leaves an older output as it is', async () => {
    writeFileSync(at('out.apk'), 'older');
    writeFileSync(at('app.apk'), 'no archive');
    const { status } = await run(`sign apk @app.apk ${by('old')} -o @out.apk`);
    expect(status).toBe(1);
    expect(readFileSync(at('out.apk'), 'utf8')).toBe('older');
    expect(files()).toEqual(['app.apk', 'out.apk']);
  });

  test('debuggable APKs are no release', async () => {
    const { testManifest } = await import('../signing/apk/fixtures.ts');
    writeFileSync(at('app.apk'), await testApk([], { ...testManifest, debuggable: true }));
    const refused = await run(`sign apk @app.apk ${by('old')} --debuggable-apk-permitted false`);
    expect(refused.stderr).toContain('it is debuggable');
    const words = `sign apk @app.apk ${by('new')} --profile release --release-log @releases.json`;
    const release = await run(words);
    expect(release).toMatchObject({ status: 3 });
    expect(release.stderr).toContain('debuggable');
    await ok(`sign apk @app.apk ${by('new')} --v1 false`);
  });
});

describe('keys rotate and keys lineage', () => {
  const rotate = (more = ''): string =>
    `keys rotate --out @app.lineage --old-signer ${by('old')} --new-signer --cert ${join(sandbox.folder, 'new.crt')}${more}`;

  test('start a lineage, with which both keys sign', async () => {
    expect(await ok(rotate(' --set-rollback true'))).toMatch(
      /2 certificates, oldest first\n1 {2}sha256:.*CN=old\n {3}installed-data, shared-uid, permission, auth\n2 {2}.*CN=new\n.*rollback/,
    );
    const said = await ok(
      `sign apk @app.apk --lineage @app.lineage ${by('old')} --next-signer ${by('new')} --json`,
    );
    const { signatures } = JSON.parse(said) as { signatures: Record<string, unknown>[] };
    expect(signatures).toMatchObject([
      { scheme: 'v1' },
      { scheme: 'v2' },
      { scheme: 'v3', minSdk: 24, maxSdk: 32, lineage: 0 },
      { scheme: 'v3.1', minSdk: 33, lineage: 2, algorithms: ['ecdsa-sha256'] },
    ]);
    await ok('keys lineage @app.apk --out @extracted.lineage');
    expect(readFileSync(at('extracted.lineage'))).toEqual(readFileSync(at('app.lineage')));
  });

  test('change what an old key is good for, in place', async () => {
    await ok(rotate());
    const cert = join(sandbox.folder, 'old.crt');
    await ok(
      `keys lineage @app.lineage --out @app.lineage --signer --cert ${cert} --set-auth=false`,
    );
    const nodes = decodeLineageFile(new Uint8Array(readFileSync(at('app.lineage'))));
    expect(nodes.map(({ capabilities }) => capabilities)).toEqual([7, 23]);
    expect(files()).toEqual(['app.apk', 'app.lineage']);
  });

  test.skipIf(corpus === undefined)(
    'a release does not rotate to a key that everybody has',
    async () => {
      const published = corpusPath('sig-apksig', 'keys', 'rsa-2048.x509.pem');
      const line = `keys rotate --out @app.lineage --old-signer ${by('new')} --new-signer --cert ${published}`;
      const refused = await run(`${line} --profile release --release-log @releases.json`);
      expect(refused).toMatchObject({ status: 3 });
      expect(refused.stderr).toContain('published test key');
      expect(existsSync(at('app.lineage'))).toBe(false);
    },
  );

  test('refuse what is no lineage, and what would lose it', async () => {
    await ok(rotate());
    const before = readFileSync(at('app.lineage'));
    const forged = Uint8Array.from(before);
    const last = forged.length - 1;
    forged[last] = (forged[last] ?? 0) ^ 1;
    writeFileSync(at('forged'), forged);
    const cases = [
      ['keys lineage @forged', 'not signed by the one before'],
      ['keys lineage @app.apk', 'signed without one'],
      [`keys lineage @app.lineage --signer --cert ${at('x')} --set-auth false`, '--out is missing'],
      [`keys rotate --out @x --old-signer ${by('old')}`, '--new-signer is needed'],
      [`${rotate()} --in @app.lineage`, 'not the newest one of the lineage'],
      ['keys rotate --out @x --key a', 'Cannot tell whose --key it is'],
    ] as const;
    for (const [line, message] of cases) {
      const { status, stderr } = await run(line);
      expect({ line, succeeded: status === 0 }).toEqual({ line, succeeded: false });
      expect(`${line}: ${stderr}`).toContain(message);
    }
    expect(readFileSync(at('app.lineage'))).toEqual(before);
    expect(existsSync(at('x'))).toBe(false);
  });
});

describe('readSigners', () => {
  test.each([
    ['--key a --cert b', [{ key: 'a', cert: 'b' }]],
    ['--cert=b --key=a --key c', [{ key: 'a', cert: 'b' }, { key: 'c' }]],
    ['--key a --next-signer --key b --v1-signer-name B', [{ key: 'a' }, { key: 'b', name: 'B' }]],
    [
      '--key a --signer-for-min-sdk-version 33 --key b --signer-lineage l',
      [{ key: 'a' }, { minSdk: 33, key: 'b', lineage: 'l' }],
    ],
    ['--next-signer --key a --next-signer', [{ key: 'a' }]],
    ['x.apk --json', []],
  ])('%s', (line, signers) => {
    expect(readSigners(['sign', 'apk', ...line.split(' ')])).toEqual(signers);
  });

  test('refuses options whose signer cannot be told', () => {
    expect(() =>
      readSigners('--key a --key b --key-pass env:A --key-pass env:B'.split(' ')),
    ).toThrow(/tell the signers apart/);
    expect(() => readSigners(['--signer-for-min-sdk-version', 'T', '--key', 'a'])).toThrow(
      /no SDK/,
    );
  });

  test("names the files of a JAR signature after the key's file", () => {
    expect(signerName({ key: 'keys/release.v2.pem' })).toBe('release');
    expect(signerName({ key: 'file:/keys/release' })).toBe('release');
    expect(signerName({ key: 'p12:store.p12#upload' })).toBe('upload');
    expect(signerName({ key: 'jks:store.jks' })).toBeUndefined();
    expect(signerName({ key: 'pkcs11:token=a;object=b' })).toBeUndefined();
    expect(signerName({ key: '.key' })).toBeUndefined();
    expect(signerName({ key: 'a', name: 'other' })).toBe('other');
    expect(signerName({ cert: 'a.pem' })).toBeUndefined();
  });
});
