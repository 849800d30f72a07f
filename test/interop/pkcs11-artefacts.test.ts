/** Everything that is signed, signed with keys in SoftHSM: the same bytes as with the key file, where a scheme has one answer. */

import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { avbCommands } from '../../src/cli/commands/avb/group.ts';
import { loadSignGroup } from '../../src/cli/commands/sign/group.ts';
import { verifyCommand } from '../../src/cli/commands/verify.ts';
import { runCommandLine } from '../../src/cli/command.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../src/signing/x509.ts';
import { createSoftHsm, SOFTHSM_MODULE } from '../support/softhsm.ts';
import { runTool } from '../support/tools.ts';
import { testApk, testKeyPath } from '../unit/signing/apk/fixtures.ts';

const PIN = '5281-of-the-token';
const uri = (object: string): string => `pkcs11:token=release;object=${object}`;

let folder: string;
const at = (name: string): string => join(folder, name);
let printed = '';

async function succeed(...argv: string[]): Promise<string> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(argv, [avbCommands, await loadSignGroup(), verifyCommand], {
    terminal: {
      interactive: false,
      out: (text) => (stdout += `${text}\n`),
      err: (text) => (stderr += `${text}\n`),
      style: (_style, text) => text,
    },
    env: { MICROBUILD_KEYS: at('none'), MICROBUILD_PKCS11_MODULE: SOFTHSM_MODULE, PIN },
    signal: new AbortController().signal,
    version: '0',
  });
  printed += stdout + stderr;
  expect(`${status} ${stderr}`).toBe('0 ');
  return stdout;
}

/** The options that name a key: in its file, or on the token. */
const keyOf = (name: string, where: 'file' | 'token'): string[] =>
  where === 'file'
    ? ['--key', at(`${name}.pem`), '--cert', at(`${name}.crt`)]
    : ['--key', uri(name), '--key-pass', 'env:PIN'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-hsm-'));
  const hsm = createSoftHsm(folder);
  process.env['SOFTHSM2_CONF'] = hsm.conf;
  hsm.initToken('release', PIN);
  const keys: readonly (readonly [name: string, key: KeyObject])[] = [
    ['rsa', createPrivateKey(readFileSync(testKeyPath))],
    ['big', generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey],
    ['p256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['p384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
  ];
  for (const [index, [name, key]] of keys.entries()) {
    writeFileSync(at(`${name}.pem`), key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const id = `0${index + 1}`;
    hsm.importKey('release', PIN, { path: at(`${name}.pem`), object: name, id });
    const certificate = await createSelfSignedCertificate(keySigner(key), {
      subject: [{ name: 'CN', value: name }],
    });
    writeFileSync(at(`${name}.der`), certificate);
    writeFileSync(at(`${name}.crt`), encodeCertificatePem(certificate));
    hsm.tool(
      'release',
      PIN,
      '--write-object',
      at(`${name}.der`),
      '--type',
      'cert',
      '--id',
      id,
      '--label',
      name,
    );
  }
  writeFileSync(at('app.apk'), await testApk());
  writeFileSync(at('boot.bin'), new Uint8Array(10_000).fill(5));
  writeFileSync(at('manifest.json'), '{}');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Signs with the file and with the token. @returns the bytes of both. */
async function both(
  name: string,
  sign: (key: string[], output: string) => Promise<unknown>,
): Promise<readonly [file: Buffer, token: Buffer]> {
  await sign(keyOf(name, 'file'), at('by-file'));
  await sign(keyOf(name, 'token'), at('by-token'));
  return [readFileSync(at('by-file')), readFileSync(at('by-token'))];
}

describe('a key of a token', () => {
  test.each(['rsa', 'big'])('signs an APK, v1 to v4, as the key file does: %s', async (name) => {
    const [file, token] = await both(name, (key, output) =>
      // Without a name, the files of v1 are called after the key's file, and a token has none.
      succeed('sign', 'apk', at('app.apk'), ...key, '--v1-signer-name', 'CERT', '-o', output),
    );
    expect(token.equals(file)).toBe(true);
    const idsigs = ['by-file', 'by-token'].map((each) => readFileSync(at(`${each}.idsig`)));
    expect(idsigs[1]?.equals(idsigs[0] ?? Buffer.alloc(0))).toBe(true);
  });

  test.each(['p256', 'p384'])('signs an APK that verifies: %s', async (name) => {
    const output = at(`${name}.apk`);
    await succeed('sign', 'apk', at('app.apk'), ...keyOf(name, 'token'), '-o', output);
    const verify = ['verify', output, '--idsig', `${output}.idsig`, '--trust', at(`${name}.crt`)];
    expect(await succeed(...verify)).toContain('verified');
  });

  test('signs an APK that apksigner verifies', async () => {
    const output = at('judged.apk');
    await succeed('sign', 'apk', at('app.apk'), ...keyOf('p256', 'token'), '-o', output);
    const { status, stdout } = runTool('apksigner', ['verify', '-v', output]);
    expect([status, stdout]).toEqual([
      0,
      expect.stringContaining('v3 scheme (APK Signature Scheme v3): true'),
    ]);
  });

  test.each([
    ['rsa', 'SHA256_RSA2048'],
    ['big', 'SHA512_RSA4096'],
  ])('signs an image as the key file does: %s', async (name, algorithm) => {
    const footer = ['--partition_size', '131072', '--partition_name', 'boot'];
    const [file, token] = await both(name, async (key, output) => {
      writeFileSync(output, readFileSync(at('boot.bin')));
      await succeed('avb', 'add_hash_footer', '--image', output, ...footer, '--salt', 'ab');
      const [option = '', reference = '', ...more] = key;
      const words = more[0] === '--key-pass' ? more : [];
      await succeed('sign', 'image', output, option, reference, ...words, '--algorithm', algorithm);
    });
    expect(token.equals(file)).toBe(true);
    await succeed('verify', at('by-token'), '--trust', at(`${name}.crt`));
  });

  test.each(['rsa', 'big'])('signs a root hash as the key file does: %s', async (name) => {
    const root = '5a'.repeat(32);
    const [file, token] = await both(name, (key, output) =>
      succeed('sign', 'root-hash', root, ...key, '-o', output),
    );
    expect(token.equals(file)).toBe(true);
    writeFileSync(at('root.txt'), root);
    const check = ['smime', '-verify', '-inform', 'der', '-in', at('by-token'), '-binary'];
    const trust = [
      '-content',
      at('root.txt'),
      '-certfile',
      at(`${name}.crt`),
      '-nointern',
      '-noverify',
    ];
    const { status, stderr } = runTool('openssl', [...check, ...trust, '-out', at('said')]);
    expect(`${status} ${stderr}`).toContain('0 ');
    expect(stderr).toContain('successful');
  });

  test('signs a file for fs-verity as fsverity does with the key file', async () => {
    const output = at('token.sig');
    await succeed('sign', 'fsverity', at('boot.bin'), ...keyOf('rsa', 'token'), '-o', output);
    const peer = ['--key', at('rsa.pem'), '--cert', at('rsa.crt')];
    const { status } = runTool('fsverity', ['sign', at('boot.bin'), at('peer.sig'), ...peer]);
    expect(status).toBe(0);
    expect(readFileSync(output).equals(readFileSync(at('peer.sig')))).toBe(true);
    await succeed('verify', output, '--file', at('boot.bin'), '--trust', at('rsa.crt'));
  });

  test.each(['rsa', 'p256', 'p384'])('signs an envelope that verifies: %s', async (name) => {
    const sign = ['sign', 'dsse', at('manifest.json'), '--payload-type', 'application/json'];
    const key = keyOf(name, 'token');
    await succeed(...sign, ...key, '-o', at(`${name}.dsse`));
    const said = await succeed('verify', at(`${name}.dsse`), '--trust', at(`${name}.crt`));
    expect(said).toContain('verified: 1 of 1 needed');
  });

  test('leaves its PIN in nothing that is printed or written', async () => {
    await succeed(
      'sign',
      'apk',
      at('app.apk'),
      ...keyOf('rsa', 'token'),
      '-o',
      at('last.apk'),
      '--json',
    );
    expect(printed).not.toContain(PIN);
    for (const name of ['last.apk', 'last.apk.idsig', 'by-token', 'token.sig']) {
      expect(readFileSync(at(name)).includes(PIN)).toBe(false);
    }
  });
});
