/** Key stores that keytool and openssl wrote, opened by us. */

import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UsageError } from '../../src/core/errors.ts';
import { openKey, type OpenedKey } from '../../src/signing/keys/open-key.ts';
import { isSignatureOf, type SignatureOptions } from '../../src/signing/signer.ts';
import { runTool } from '../support/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'microbuild-stores-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const env = {
  STORE: 'store-phrase',
  KEY: 'other-phrase',
  WRONG: 'wrong-phrase',
  UNICODE: 'pässwörд',
  EMPTY: '',
};

function tool(program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = runTool(program, args, {
    cwd: folder,
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stdout}${stderr}`);
}

const open = (
  reference: string,
  passphrase = 'env:STORE',
  storePassphrase?: string,
): Promise<OpenedKey> => openKey(reference, { passphrase, storePassphrase, env });

const data = new TextEncoder().encode('data');

/** That the key signs, and what it signs verifies with its certificate. */
async function proves(key: OpenedKey, options: SignatureOptions): Promise<string[]> {
  const [own] = key.certificates;
  const certificate = new X509Certificate(own ?? new Uint8Array(0));
  const signature = await key.signer.sign(data, options);
  expect(isSignatureOf(certificate.publicKey, data, options, signature)).toBe(true);
  return key.certificates.map((der) => new X509Certificate(der).subject);
}

const rsa: SignatureOptions = { hash: 'sha256', scheme: 'rsa-pkcs1' };
const ecdsa: SignatureOptions = { hash: 'sha256', scheme: 'ecdsa' };

async function refusal(opened: Promise<unknown>): Promise<UsageError> {
  const error = await opened.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UsageError);
  for (const secret of Object.values(env).filter((each) => each !== '')) {
    expect(
      JSON.stringify([error, (error as UsageError).message, (error as UsageError).hint]),
    ).not.toContain(secret);
  }
  return error as UsageError;
}

describe('Java stores of keytool', () => {
  beforeAll(() => {
    const common = ['-storepass:env', 'STORE', '-keypass:env', 'KEY', '-validity', '9000'];
    const jks = ['-keystore', 'two.jks', '-storetype', 'JKS', ...common];
    tool('keytool', [
      '-genkeypair',
      '-alias',
      'First',
      '-keyalg',
      'RSA',
      '-keysize',
      '2048',
      '-dname',
      'CN=first',
      ...jks,
    ]);
    tool('keytool', [
      '-genkeypair',
      '-alias',
      'second',
      '-keyalg',
      'EC',
      '-groupname',
      'secp256r1',
      '-dname',
      'CN=second',
      ...jks,
    ]);
    tool('keytool', [
      '-genkeypair',
      '-alias',
      'one',
      '-keyalg',
      'EC',
      '-groupname',
      'secp384r1',
      '-dname',
      'CN=jceks',
      '-keystore',
      'one.jceks',
      '-storetype',
      'JCEKS',
      ...common,
    ]);
    // Without a type: PKCS#12, since JDK 9.
    tool('keytool', [
      '-genkeypair',
      '-alias',
      'new',
      '-keyalg',
      'RSA',
      '-keysize',
      '2048',
      '-dname',
      'CN=new',
      '-keystore',
      'really-p12.jks',
      '-storepass:env',
      'STORE',
    ]);
    for (const name of ['two.jks', 'one.jceks', 'really-p12.jks']) chmodSync(at(name), 0o600);
  }, 60_000);

  test('a key is found by its alias and opened with its own pass phrase', async () => {
    const first = await open(`jks:${at('two.jks')}#first`, 'env:KEY', 'env:STORE');
    expect(await proves(first, rsa)).toEqual(['CN=first']);
    const second = await open(`jks:${at('two.jks')}#SECOND`, 'env:KEY', 'env:STORE');
    expect(await proves(second, ecdsa)).toEqual(['CN=second']);
  });

  test('of two keys one must be named', async () => {
    const error = await refusal(open(`jks:${at('two.jks')}`));
    expect(error.message).toContain('2 keys');
    expect(error.hint).toMatch(/first, second|second, first/);
    expect((await refusal(open(`jks:${at('two.jks')}#third`))).message).toContain('no key third');
  });

  test('a wrong pass phrase is told, of the store and of the key', async () => {
    const path = `jks:${at('two.jks')}#first`;
    expect((await refusal(open(path, 'env:KEY', 'env:WRONG'))).message).toMatch(/store .* wrong/);
    expect((await refusal(open(path, 'env:WRONG', 'env:STORE'))).message).toMatch(
      /key first .* wrong/,
    );
    expect((await refusal(open(path))).hint).toContain('--store-pass');
  });

  test('a changed byte anywhere is told', async () => {
    const bytes = readFileSync(at('two.jks'));
    for (const offset of [9, 40, 900, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[offset] = (changed[offset] ?? 0) ^ 1;
      writeFileSync(at('changed.jks'), changed, { mode: 0o600 });
      const error = await refusal(open(`jks:${at('changed.jks')}#first`, 'env:KEY', 'env:STORE'));
      expect(error.message).toContain('changed.jks');
    }
  });

  test('one that really is PKCS#12 is recognised, and JCEKS gets an answer', async () => {
    const key = await open(`jks:${at('really-p12.jks')}`);
    expect(await proves(key, rsa)).toEqual(['CN=new']);
    expect(await proves(await open(`p12:${at('really-p12.jks')}#NEW`), rsa)).toEqual(['CN=new']);
    const jceks = await refusal(open(`jks:${at('one.jceks')}`));
    expect(jceks.message).toContain('JCEKS');
    expect(jceks.hint).toContain('keytool -importkeystore');
    expect((await refusal(open(`p12:${at('two.jks')}`))).hint).toContain('jks:');
    expect((await refusal(open(`file:${at('two.jks')}`))).hint).toContain('jks:');
    expect((await refusal(open(`file:${at('really-p12.jks')}`))).hint).toContain('p12:');
  });

  test('a store that others may read is refused', async () => {
    chmodSync(at('really-p12.jks'), 0o640);
    expect((await refusal(open(`jks:${at('really-p12.jks')}`))).hint).toContain('chmod 600');
    chmodSync(at('really-p12.jks'), 0o600);
  });
});

describe('PKCS#12 stores of openssl', () => {
  beforeAll(() => {
    const request = ['req', '-x509', '-nodes', '-days', '9000'];
    tool('openssl', [
      ...request,
      '-newkey',
      'rsa:2048',
      '-keyout',
      'ca.pem',
      '-out',
      'ca.crt',
      '-subj',
      '/CN=ca',
    ]);
    tool('openssl', [
      'req',
      '-nodes',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-keyout',
      'leaf.pem',
      '-out',
      'leaf.csr',
      '-subj',
      '/CN=leaf',
    ]);
    tool('openssl', [
      'x509',
      '-req',
      '-in',
      'leaf.csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.pem',
      '-set_serial',
      '7',
      '-days',
      '9000',
      '-out',
      'leaf.crt',
    ]);
  });

  const LEGACY = ['-legacy'];
  test.each<[string, readonly string[], keyof typeof env]>([
    ['as it writes them today', [], 'STORE'],
    [
      'with AES-128 and SHA-512',
      ['-keypbe', 'AES-128-CBC', '-certpbe', 'AES-192-CBC', '-macalg', 'sha512', '-iter', '100'],
      'STORE',
    ],
    ['with RC2-40 and 3DES, as it used to', LEGACY, 'STORE'],
    [
      'with RC2-128 and two-key 3DES',
      [...LEGACY, '-keypbe', 'PBE-SHA1-2DES', '-certpbe', 'PBE-SHA1-RC2-128'],
      'STORE',
    ],
    ['with certificates in the open', ['-certpbe', 'NONE'], 'STORE'],
    ['without MAC', ['-nomac'], 'STORE'],
    ['with a MAC of one iteration', ['-nomaciter', '-noiter'], 'STORE'],
    ['with a pass phrase that is not ASCII', [], 'UNICODE'],
    ['the same, in the old way', LEGACY, 'UNICODE'],
    ['with an empty pass phrase', [], 'EMPTY'],
  ])('%s', async (_, options, phrase) => {
    tool('openssl', [
      'pkcs12',
      '-export',
      '-inkey',
      'leaf.pem',
      '-in',
      'leaf.crt',
      '-certfile',
      'ca.crt',
      '-name',
      'My Key',
      '-passout',
      `env:${phrase}`,
      '-out',
      'x.p12',
      ...options,
    ]);
    chmodSync(at('x.p12'), 0o600);
    const key = await open(`p12:${at('x.p12')}#my key`, `env:${phrase}`);
    expect(await proves(key, ecdsa)).toEqual(['CN=leaf', 'CN=ca']);
    const plain = createPublicKey(createPrivateKey(readFileSync(at('leaf.pem'))));
    expect(key.signer.publicKey.equals(plain)).toBe(true);
    expect((await refusal(open(`p12:${at('x.p12')}`, 'env:WRONG'))).message).toMatch(/wrong/);
  });

  test('with neither encryption nor MAC, nobody is asked for a pass phrase', async () => {
    tool('openssl', [
      'pkcs12',
      '-export',
      '-inkey',
      'leaf.pem',
      '-in',
      'leaf.crt',
      '-passout',
      'env:STORE',
      '-keypbe',
      'NONE',
      '-certpbe',
      'NONE',
      '-nomac',
      '-out',
      'open.p12',
    ]);
    chmodSync(at('open.p12'), 0o600);
    const key = await openKey(`p12:${at('open.p12')}`, { env: {} });
    expect(await proves(key, ecdsa)).toEqual(['CN=leaf']);
  });

  test('without a private key is told', async () => {
    tool('openssl', [
      'pkcs12',
      '-export',
      '-nokeys',
      '-in',
      'ca.crt',
      '-passout',
      'env:STORE',
      '-out',
      'ca.p12',
    ]);
    chmodSync(at('ca.p12'), 0o600);
    expect((await refusal(open(`p12:${at('ca.p12')}`))).message).toContain('no private key');
  });
});
