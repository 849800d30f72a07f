import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import { encryptPrivateKey } from '../../../../src/signing/keys/encrypt-private-key.ts';
import { openKey, type OpenKeyOptions } from '../../../../src/signing/keys/open-key.ts';
import { readSecret } from '../../../../src/signing/keys/secret.ts';
import { isSignatureOf, keySigner } from '../../../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../../../src/signing/x509.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');

const PHRASE = 'correct horse';
/** Set-up installs it, as test/support/tools.ts says of all tools; what it writes is not text. */
const OPENSSL = 'openssl';
const env = { PHRASE, WRONG: 'battery staple' };

function file(content: string | Uint8Array, mode = 0o600): string {
  const path = join(tmpDir(), 'key');
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const open = (path: string, options: Partial<OpenKeyOptions> = {}): ReturnType<typeof openKey> =>
  openKey(path, { env, ...options });

async function refusal(opened: Promise<unknown>): Promise<UsageError> {
  const error = await opened.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UsageError);
  const { message, hint, cause } = error as UsageError;
  for (const secret of Object.values(env)) {
    expect(`${message}${hint}${String(cause)}`).not.toContain(secret);
  }
  return error as UsageError;
}

const openssl = (args: readonly string[], input: string | Uint8Array): Buffer =>
  execFileSync(OPENSSL, args, {
    input,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
  });

const pem = (key: KeyObject, type: 'pkcs8' | 'pkcs1' | 'sec1'): string =>
  key.export({ type, format: 'pem' }) as string;

describe('a key file', () => {
  const forms = [
    ['RSA', 'pkcs8', rsa],
    ['RSA', 'pkcs1', rsa],
    ['EC', 'pkcs8', ec],
    ['EC', 'sec1', ec],
    ['Ed25519', 'pkcs8', ed],
  ] as const;

  test.each(forms)('%s as %s opens from PEM and from DER', async (_, type, pair) => {
    const der = pair.privateKey.export({ type: type as 'pkcs8', format: 'der' });
    for (const content of [pem(pair.privateKey, type), der]) {
      const key = await open(file(content));
      expect(key.signer.publicKey.equals(pair.publicKey)).toBe(true);
      expect(key.certificates).toEqual([]);
      await key.close();
    }
  });

  const encrypted: [string, () => string | Buffer | Promise<string>][] = [
    ['by us', () => encryptPrivateKey(rsa.privateKey, Buffer.from(PHRASE))],
    [
      'as openssl does',
      () => openssl(['pkcs8', '-topk8', '-passout', 'env:PHRASE'], pem(rsa.privateKey, 'pkcs8')),
    ],
    [
      'in DER',
      () =>
        openssl(
          ['pkcs8', '-topk8', '-passout', 'env:PHRASE', '-outform', 'DER'],
          pem(rsa.privateKey, 'pkcs8'),
        ),
    ],
    [
      'with scrypt',
      () =>
        openssl(
          ['pkcs8', '-topk8', '-scrypt', '-passout', 'env:PHRASE'],
          pem(rsa.privateKey, 'pkcs8'),
        ),
    ],
    [
      'with 3DES of PKCS#12',
      () =>
        openssl(
          ['pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES', '-passout', 'env:PHRASE'],
          pem(rsa.privateKey, 'pkcs8'),
        ),
    ],
    [
      'in the old way of PEM',
      () =>
        openssl(
          ['rsa', '-traditional', '-aes256', '-passout', 'env:PHRASE'],
          pem(rsa.privateKey, 'pkcs8'),
        ),
    ],
  ];

  test.each(encrypted)('encrypted %s opens with its pass phrase only', async (_, make) => {
    const path = file(await make());
    const key = await open(path, { passphrase: 'env:PHRASE' });
    expect(key.signer.publicKey.equals(rsa.publicKey)).toBe(true);
    expect((await refusal(open(path, { passphrase: 'env:WRONG' }))).message).toMatch(/is wrong/);
    const without = await refusal(open(path));
    expect(without.message).toContain('without the pass phrase');
    expect(without.hint).toContain('--key-pass env:NAME');
  });

  test('what openssl opens: a key that we encrypted', async () => {
    for (const pair of [rsa, ec, ed]) {
      const text = await encryptPrivateKey(pair.privateKey, Buffer.from(PHRASE));
      const plain = openssl(['pkey', '-passin', 'env:PHRASE', '-pubout', '-outform', 'DER'], text);
      expect(plain).toEqual(pair.publicKey.export({ type: 'spki', format: 'der' }));
    }
  });

  test('opens also after keys of two types were compared', async () => {
    const path = file(pem(rsa.privateKey, 'pkcs8'));
    expect(ec.publicKey.equals(ed.publicKey)).toBe(false);
    expect((await open(path)).signer.publicKey.equals(rsa.publicKey)).toBe(true);
  });

  test('that is not encrypted asks nobody for a pass phrase', async () => {
    const key = await open(file(pem(rsa.privateKey, 'pkcs8')), { passphrase: 'env:ABSENT' });
    expect(key.signer.publicKey.equals(rsa.publicKey)).toBe(true);
  });

  test('in DER must end where the key ends, and be one', async () => {
    const der = rsa.privateKey.export({ type: 'pkcs8', format: 'der' });
    for (const content of [
      Buffer.concat([der, Buffer.of(0)]),
      der.subarray(0, -1),
      Buffer.of(0x30, 0),
      Buffer.of(0x30, 0x80, 0, 0),
      rsa.publicKey.export({ type: 'spki', format: 'der' }),
    ]) {
      expect((await refusal(open(file(content)))).message).toMatch(/no private key|not parse/);
    }
  });

  test('that is no plain file is refused at once, whatever it is', async () => {
    const folder = tmpDir();
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', ['-m', '600', fifo]);
    mkdirSync(join(folder, 'dir'), { mode: 0o700 });
    for (const path of [fifo, '/dev/zero', '/dev/null', join(folder, 'dir')]) {
      for (const kind of ['file', 'p12', 'jks']) {
        expect((await refusal(open(`${kind}:${path}`))).message).toContain('not a plain file');
      }
      expect(
        (await refusal(open(file(pem(rsa.privateKey, 'pkcs8')), { certificate: path }))).message,
      ).toContain('not a plain file');
    }
  });

  test('that is larger than keys are is refused unread', async () => {
    const path = file('x');
    truncateSync(path, 2 ** 40);
    expect((await refusal(open(path))).message).toContain('more than 65536 bytes');
    expect((await refusal(open(`p12:${path}`))).message).toContain('bytes');
  });

  test('that others may read is refused, also through a link', async () => {
    const path = file(pem(rsa.privateKey, 'pkcs8'), 0o644);
    const link = join(tmpDir(), 'link');
    symlinkSync(path, link);
    expect((await refusal(open(link))).message).toContain('0644');
  });
});

describe('the certificate of a key', () => {
  const subject = [{ name: 'CN', value: 'test' }] as const;

  test('comes from a file, as PEM, as a chain or as DER, or from the file of the key', async () => {
    const own = await createSelfSignedCertificate(keySigner(ec.privateKey), { subject });
    const other = await createSelfSignedCertificate(keySigner(ed.privateKey), { subject });
    const key = pem(ec.privateKey, 'pkcs8');
    const chain = encodeCertificatePem(own) + encodeCertificatePem(other);
    for (const [certificate, expected] of [
      [file(encodeCertificatePem(own), 0o644), [own]],
      [file(chain, 0o644), [own, other]],
      [file(own, 0o644), [own]],
    ] as const) {
      expect((await open(file(key), { certificate })).certificates).toEqual(expected);
    }
    expect((await open(file(key + chain))).certificates).toEqual([own, other]);
  });

  test('must be its own, and stand first', async () => {
    const own = await createSelfSignedCertificate(keySigner(ec.privateKey), { subject });
    const other = await createSelfSignedCertificate(keySigner(ed.privateKey), { subject });
    const key = file(pem(ec.privateKey, 'pkcs8'));
    const wrong = file(encodeCertificatePem(other), 0o644);
    const turned = file(encodeCertificatePem(other) + encodeCertificatePem(own), 0o644);
    expect((await refusal(open(key, { certificate: wrong }))).message).toContain('not of key');
    expect((await refusal(open(key, { certificate: turned }))).hint).toContain('first');
    const junk = file('junk', 0o644);
    expect((await refusal(open(key, { certificate: junk }))).message).toContain('certificate');
    const damaged = encodeCertificatePem(own).replace('MII', 'MIX');
    const inKey = await refusal(open(file(pem(ec.privateKey, 'pkcs8') + damaged)));
    expect(inKey.message).toContain('certificate in key file');
    const both = file(pem(ec.privateKey, 'pkcs8') + encodeCertificatePem(other));
    expect((await refusal(open(both))).message).toContain('not of key');
  });
});

describe('Ed25519', () => {
  test('signs and verifies as any other key', async () => {
    const { signer } = await open(file(pem(ed.privateKey, 'pkcs8')));
    const data = createHash('sha256').update('x').digest();
    const options = { hash: 'sha512', scheme: 'ed25519' } as const;
    const signature = await signer.sign(data, options);
    expect(isSignatureOf(signer.publicKey, data, options, signature)).toBe(true);
    expect(isSignatureOf(signer.publicKey, Buffer.from('y'), options, signature)).toBe(false);
    await expect(signer.sign(data, { hash: 'sha256', scheme: 'ecdsa' })).rejects.toThrow(TypeError);
  });
});

describe('a pass phrase', () => {
  const read = (source: string | undefined): Promise<Buffer> =>
    readSecret({ source, option: '--key-pass', what: 'pass phrase', env });

  test('comes from the environment, which may hold an empty one', async () => {
    expect((await read('env:PHRASE')).toString()).toBe(PHRASE);
    const empty = await readSecret({ source: 'env:E', option: '-', what: 'x', env: { E: '' } });
    expect(empty).toHaveLength(0);
    expect((await refusal(read('env:ABSENT'))).message).toContain('ABSENT');
  });

  test.each([
    [`${PHRASE}\n`, PHRASE],
    [`${PHRASE}\r\nsecond line`, PHRASE],
    [PHRASE, PHRASE],
    ['\n', ''],
  ])('in a file is its first line: %j', async (content, expected) => {
    expect((await read(`file:${file(content)}`)).toString()).toBe(expected);
  });

  test('in a file that others may read, or that is no file, is refused', async () => {
    expect((await refusal(read(`file:${file(PHRASE, 0o640)}`))).hint).toContain('chmod 600');
    expect((await refusal(read('file:/dev/zero'))).message).toContain('plain file');
    expect((await refusal(read(`file:${file('x'.repeat(5000))}`))).message).toContain('4096');
  });

  test('is never taken from the command line, and never repeated', async () => {
    const lesson = await refusal(read(`pass:${PHRASE}`));
    expect(lesson.message).toContain('command line');
    expect(lesson.hint).toMatch(/env:NAME, file:PATH, stdin or prompt/);
    await refusal(read(PHRASE));
    await refusal(read('env:'));
    await refusal(read(''));
  });
});
