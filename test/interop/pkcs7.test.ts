/** Signatures of root hashes and files against openssl and fsverity, which the kernel's users sign with. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { fromHex, sha256, toHex } from '../../src/core/digest.ts';
import { VerificationError } from '../../src/core/errors.ts';
import { verifyFsVerity } from '../../src/signing/fs-verity.ts';
import { signRootHash, verifyRootHash } from '../../src/signing/root-hash.ts';
import { keySigner } from '../../src/signing/signer.ts';
import { openSandbox, type Sandbox } from '../support/cli.ts';
import { createSoftHsm, SOFTHSM_MODULE } from '../support/softhsm.ts';
import { runTool } from '../support/tools.ts';

const KEYS = {
  rsa: ['-newkey', 'rsa:2048'],
  'rsa-4096': ['-newkey', 'rsa:4096'],
  p256: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  p384: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
} as const;
type KeyName = keyof typeof KEYS;
const names = Object.keys(KEYS) as readonly KeyName[];

const ROOT_HASH = toHex(Uint8Array.from({ length: 32 }, (_, index) => index * 7));
let sandbox: Sandbox;
const file = (name: string): string => join(sandbox.folder, name);
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(file(name)));
const certificateOf = (name: KeyName): Uint8Array =>
  new Uint8Array(new X509Certificate(readFileSync(file(`${name}.crt`))).raw);
const signerOf = (name: KeyName) => keySigner(createPrivateKey(readFileSync(file(`${name}.pem`))));
const keyArgs = (name: KeyName): readonly string[] => [
  '--key',
  file(`${name}.pem`),
  '--cert',
  file(`${name}.crt`),
];
/** Arguments have no spaces in them. */
const openssl = (line: string) => runTool('openssl', line.trim().split(/\s+/));

beforeAll(() => {
  sandbox = openSandbox();
  for (const [name, options] of Object.entries(KEYS)) {
    const made = openssl(`
      req -x509 -nodes -days 1000 -subj /O=Test/CN=${name} ${options.join(' ')}
      -keyout ${file(`${name}.pem`)}
      -out ${file(`${name}.crt`)}
    `);
    expect(made).toMatchObject({ status: 0 });
  }
  writeFileSync(file('root-hash'), ROOT_HASH);
  writeFileSync(file('data'), Buffer.alloc(50_000, 'verity'));
});
afterAll(() => sandbox.dispose());

/** Whether openssl takes a signature over the digits of the root hash. */
const opensslVerifies = (name: KeyName, signature: string) =>
  openssl(`
      smime -verify -binary -inform der -in ${file(signature)}
      -content ${file('root-hash')} -certfile ${file(`${name}.crt`)}
      -CAfile ${file(`${name}.crt`)} -purpose any
      -out /dev/null
    `).status === 0;

describe('signRootHash() and verifyRootHash()', () => {
  test.each(names)('openssl smime takes what %s signed', async (name) => {
    const signature = await signRootHash(fromHex(ROOT_HASH), {
      signer: signerOf(name),
      certificate: certificateOf(name),
    });
    writeFileSync(file(`${name}.p7s`), signature);
    expect(opensslVerifies(name, `${name}.p7s`)).toBe(true);
  });

  test.each(names)('take what openssl smime signed with %s', (name) => {
    const made = openssl(`
      smime -sign -in ${file('root-hash')} -nocerts -noattr -binary
      -inkey ${file(`${name}.pem`)} -signer ${file(`${name}.crt`)} -outform der
      -out ${file('theirs.p7s')}
    `);
    expect(made).toMatchObject({ status: 0 });
    const trusted = [certificateOf(name)];
    expect(verifyRootHash(fromHex(ROOT_HASH), bytesOf('theirs.p7s'), trusted)).toEqual(trusted[0]);
    const another = fromHex(ROOT_HASH).map((byte) => byte ^ 1);
    expect(() => verifyRootHash(another, bytesOf('theirs.p7s'), trusted)).toThrow(
      VerificationError,
    );
  });

  test.each([
    ['attributes and certificates', []],
    ['the id of the key', ['-keyid', '-nocerts']],
    ['SHA-512', ['-md', 'sha512', '-noattr']],
  ])('take what openssl cms signed with %s', (_what, options) => {
    const made = openssl(`
      cms -sign -in ${file('root-hash')} -binary ${options.join(' ')}
      -inkey ${file('rsa.pem')} -signer ${file('rsa.crt')} -outform der
      -out ${file('cms.p7s')}
    `);
    expect(made).toMatchObject({ status: 0 });
    const trusted = [certificateOf('p256'), certificateOf('rsa')];
    expect(verifyRootHash(fromHex(ROOT_HASH), bytesOf('cms.p7s'), trusted)).toEqual(trusted[1]);
  });
});

describe('microbuild sign root-hash', () => {
  it('gives the bytes of openssl, whatever the root hash is taken from', async () => {
    openssl(`
      smime -sign -in ${file('root-hash')} -nocerts -noattr -binary
      -inkey ${file('rsa.pem')} -signer ${file('rsa.crt')} -outform der
      -out ${file('expected.p7s')}
    `);
    for (const source of [ROOT_HASH, ROOT_HASH.toUpperCase(), file('root-hash')]) {
      const args = ['sign', 'root-hash', source, ...keyArgs('rsa'), '-o', file('ours.p7s')];
      const { status, stdout } = await sandbox.microbuild(args);
      expect({ status, stdout }).toMatchObject({
        status: 0,
        stdout: expect.stringContaining(ROOT_HASH),
      });
      expect(bytesOf('ours.p7s')).toEqual(bytesOf('expected.p7s'));
    }
  });

  it('computes the root hash that veritysetup prints for a hash area', async () => {
    const { stdout } = runTool('veritysetup', ['format', file('data'), file('hash')]);
    const [, rootHash = ''] = /^Root hash:\s+([0-9a-f]+)$/m.exec(stdout) ?? [];
    const args = ['sign', 'root-hash', file('hash'), ...keyArgs('p256'), '-o', file('hash.p7s')];
    const result = await sandbox.microbuild([...args, '--json']);
    expect(JSON.parse(result.stdout)).toMatchObject({ rootHash });
    const trusted = [certificateOf('p256')];
    expect(verifyRootHash(fromHex(rootHash), bytesOf('hash.p7s'), trusted)).toEqual(trusted[0]);
  });

  test.each([
    ['a file without a root hash', () => [file('data'), ...keyArgs('rsa')], 'holds none'],
    ['a key without certificate', () => [ROOT_HASH, '--key', file('rsa.pem')], '--cert'],
    [
      'a certificate of another key',
      () => [ROOT_HASH, '--key', file('rsa.pem'), '--cert', file('p256.crt')],
      'certificate',
    ],
  ])('refuses %s and says what to do', async (_what, args, says) => {
    const output = ['-o', file('refused.p7s')];
    const { status, stderr } = await sandbox.microbuild([
      'sign',
      'root-hash',
      ...args(),
      ...output,
    ]);
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining(says) });
  });
});

describe('microbuild sign fsverity', () => {
  test.each([
    ['its defaults', 'rsa', []],
    ['all options', 'rsa-4096', ['--hash-alg=sha512', '--block-size=1024', '--salt=0badcafe']],
  ] as const)('gives the bytes of fsverity sign with %s', async (_what, name, options) => {
    const theirs = runTool('fsverity', [
      'sign',
      file('data'),
      file('theirs.sig'),
      ...options,
      ...keyArgs(name),
    ]);
    expect(theirs).toMatchObject({ status: 0 });
    const args = ['sign', 'fsverity', file('data'), ...keyArgs(name), '-o', file('ours.sig')];
    expect(await sandbox.microbuild([...args, ...options])).toMatchObject({ status: 0 });
    expect(bytesOf('ours.sig')).toEqual(bytesOf('theirs.sig'));
  });

  it('signs several files with an EC key, each to a file of its own, and verifies theirs', async () => {
    writeFileSync(file('other'), 'x');
    const args = ['sign', 'fsverity', file('data'), file('other'), ...keyArgs('p256')];
    const { stdout } = await sandbox.microbuild([...args, '--json']);
    const signed = JSON.parse(stdout) as { path: string; output: string; digest: string }[];
    expect(signed.map(({ output }) => output)).toEqual([
      `${file('data')}.fsverity-sig`,
      `${file('other')}.fsverity-sig`,
    ]);
    const trusted = [certificateOf('p256')];
    for (const { path, output, digest } of signed) {
      const [theirs = ''] = runTool('fsverity', ['digest', '--compact', path]).stdout.split('\n');
      expect(digest).toBe(theirs);
      const measured = { algorithm: 'sha256', digest: fromHex(digest) } as const;
      const signature = new Uint8Array(readFileSync(output));
      expect(verifyFsVerity(measured, signature, trusted)).toEqual(trusted[0]);
    }
  });
});

describe('microbuild verity verify and microbuild verify', () => {
  const trust = (name: KeyName): readonly string[] => ['--trust', file(`${name}.crt`)];

  it('say who signed the root digest that veritysetup and openssl made', async () => {
    const { stdout } = runTool('veritysetup', ['format', file('data'), file('tree')]);
    const [, rootHash = ''] = /^Root hash:\s+([0-9a-f]+)$/m.exec(stdout) ?? [];
    writeFileSync(file('digits'), rootHash);
    openssl(`
      smime -sign -in ${file('digits')} -nocerts -noattr -binary -outform der
      -inkey ${file('p256.pem')} -signer ${file('p256.crt')} -out ${file('digits.p7s')}
    `);
    const args = ['verity', 'verify', file('data'), file('tree'), rootHash];
    const signature = ['--root-hash-signature', file('digits.p7s')];
    const good = await sandbox.microbuild([...args, ...signature, ...trust('p256'), '--json']);
    expect(good.status).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({
      intact: true,
      rootHashSigner: `sha256:${toHex(sha256(certificateOf('p256')))}`,
    });
    expect(await sandbox.microbuild([...args, ...signature, ...trust('rsa')])).toMatchObject({
      status: 3,
    });
    expect(await sandbox.microbuild([...args, ...signature])).toMatchObject({ status: 2 });
    expect(await sandbox.microbuild([...args, ...trust('rsa')])).toMatchObject({ status: 2 });
  });

  it('say who signed a file with fsverity sign, and that he did not sign another', async () => {
    runTool('fsverity', ['sign', file('data'), file('data.fsverity-sig'), ...keyArgs('rsa')]);
    const args = ['verify', file('data.fsverity-sig'), ...trust('rsa')];
    expect(await sandbox.microbuild(args)).toMatchObject({ status: 0 });
    const another = [...args, '--file', file('root-hash')];
    expect(await sandbox.microbuild(another)).toMatchObject({ status: 3 });
  });
});

describe('keys that never leave a token', () => {
  const PIN = '5550-secret';
  let conf: string;
  const tokenArgs = (name: KeyName): readonly string[] => [
    '--key',
    `pkcs11:token=release;object=${name}?module-path=${SOFTHSM_MODULE}`,
    '--cert',
    file(`${name}.crt`),
    '--key-pass=env:PIN',
  ];
  const signWith = async (name: KeyName, what: readonly string[], output: string) => {
    const args = ['sign', ...what, ...tokenArgs(name), '-o', file(output)];
    const result = await sandbox.microbuild(args, { SOFTHSM2_CONF: conf, PIN });
    expect(result).toMatchObject({ status: 0 });
    expect(result.stdout + result.stderr).not.toContain(PIN);
    return bytesOf(output);
  };

  beforeAll(() => {
    const hsm = createSoftHsm(sandbox.folder);
    ({ conf } = hsm);
    hsm.initToken('release', PIN);
    for (const [index, name] of (['rsa', 'p256'] as const).entries()) {
      const path = file(`${name}.pem`);
      hsm.importKey('release', PIN, { path, object: name, id: `0${index + 1}` });
    }
  });

  it('sign root hashes: RSA the bytes of the key file, EC what openssl takes', async () => {
    const expected = await signRootHash(fromHex(ROOT_HASH), {
      signer: signerOf('rsa'),
      certificate: certificateOf('rsa'),
    });
    expect(await signWith('rsa', ['root-hash', ROOT_HASH], 'token.p7s')).toEqual(expected);
    await signWith('p256', ['root-hash', ROOT_HASH], 'token.p7s');
    expect(opensslVerifies('p256', 'token.p7s')).toBe(true);
  });

  it('sign files: RSA the bytes of fsverity sign, EC what verifies', async () => {
    runTool('fsverity', ['sign', file('data'), file('theirs.sig'), ...keyArgs('rsa')]);
    expect(await signWith('rsa', ['fsverity', file('data')], 'token.sig')).toEqual(
      bytesOf('theirs.sig'),
    );
    const signature = await signWith('p256', ['fsverity', file('data')], 'token.sig');
    const [digest = ''] = runTool('fsverity', ['digest', '--compact', file('data')]).stdout.split(
      '\n',
    );
    const measured = { algorithm: 'sha256', digest: fromHex(digest) } as const;
    const trusted = [certificateOf('p256')];
    expect(verifyFsVerity(measured, signature, trusted)).toEqual(trusted[0]);
  });
});
