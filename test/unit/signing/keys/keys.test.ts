import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { UsageError } from '../../../../src/core/errors.ts';
import {
  ensureDevelopmentKeys,
  isDevelopmentKey,
} from '../../../../src/signing/keys/development.ts';
import { generateKeyFile } from '../../../../src/signing/keys/generate.ts';
import {
  parsePrivateKeyFile,
  readPrivateKey,
} from '../../../../src/signing/keys/private-key-file.ts';
import { keySigner } from '../../../../src/signing/signer.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';

let rsa: ReturnType<typeof generateKeyPairSync>;
let pkcs8: string;
beforeAll(() => {
  rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  pkcs8 = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
});

function keyFile(content: string, mode = 0o600): string {
  const path = join(tmpDir(), 'key.pem');
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

async function refusal(path: string): Promise<UsageError> {
  const error: unknown = await readPrivateKey(path).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UsageError);
  return error as UsageError;
}

describe('readPrivateKey', () => {
  test('reads PKCS#8 and PKCS#1', async () => {
    const pkcs1 = rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string;
    for (const pem of [pkcs8, pkcs1]) {
      const key = await readPrivateKey(keyFile(pem));
      expect(createPublicKey(key).equals(rsa.publicKey)).toBe(true);
    }
  });

  test.each([0o640, 0o604, 0o660, 0o644, 0o601])(
    'refuses a file with mode %o and says how to repair it',
    async (mode) => {
      const path = keyFile(pkcs8, mode);
      const error = await refusal(path);
      expect(error.code).toBe('key');
      expect(error.message).toContain(`0${mode.toString(8)}`);
      expect(error.hint).toBe(`Run: chmod 600 ${path}`);
    },
  );

  test('names a missing file', async () => {
    const error = await refusal(join(tmpDir(), 'absent.pem'));
    expect(error.message).toContain('ENOENT');
  });

  test('never quotes the file, whatever is wrong with it', async () => {
    const lines = pkcs8.split('\n');
    const secret = lines[4] ?? '';
    const broken = [...lines.slice(0, 5), 'AAAA', ...lines.slice(6)].join('\n');
    const encrypted = rsa.privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    }) as string;
    for (const content of [broken, lines.slice(1).join('\n'), pkcs8 + pkcs8, encrypted, '']) {
      const error = await refusal(keyFile(content));
      expect(`${error.message} ${error.hint} ${String(error.cause)}`).not.toContain(secret);
      expect(error.code).toBe('key');
    }
  });

  test.each([
    ['-----BEGIN PUBLIC KEY-----\n', /found PUBLIC KEY/],
    ['-----BEGIN CERTIFICATE-----\n', /CERTIFICATE/],
    ['-----BEGIN OPENSSH PRIVATE KEY-----\n', /OpenSSH/],
    ['junk', /no PEM block/],
    ['\xfe\xed\xfe\xed', /Java KeyStore/],
    ['0\x05\x02\x01\x030\0', /PKCS#12/],
  ])('says what %j is instead', async (text, message) => {
    await expect(parsePrivateKeyFile(Buffer.from(text, 'latin1'), 'k')).rejects.toThrow(message);
  });
});

describe('generateKeyFile', () => {
  test('writes a key of the asked size with mode 0600 and never replaces one', async () => {
    const path = join(tmpDir(), 'new.pem');
    const old = process.umask(0);
    try {
      await generateKeyFile(path, 2048);
    } finally {
      process.umask(old);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const before = readFileSync(path, 'utf8');
    await expect(generateKeyFile(path, 2048)).rejects.toMatchObject({ code: 'output' });
    expect(readFileSync(path, 'utf8')).toBe(before);
    const key = await readPrivateKey(path);
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });
});

describe('ensureDevelopmentKeys', () => {
  const small = { imageBits: 2048, payloadBits: 2048 } as const;

  test('makes a private folder that git ignores, and keeps its keys', async () => {
    const folder = join(tmpDir(), 'keys');
    const first = await ensureDevelopmentKeys(folder, small);
    expect(first.created).toBe(true);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(readdirSync(folder).sort()).toEqual([
      '.gitignore',
      'README',
      'image.pem',
      'payload.pem',
    ]);
    expect(readFileSync(join(folder, '.gitignore'), 'utf8')).toBe('*\n');
    expect(readFileSync(join(folder, 'README'), 'utf8')).toContain('development keys');
    for (const name of ['image.pem', 'payload.pem']) {
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    }
    const second = await ensureDevelopmentKeys(folder, small);
    expect(second.created).toBe(false);
    expect(second.image.signer.publicKey.equals(first.image.signer.publicKey)).toBe(true);
    expect(first.image.signer.publicKey.equals(first.payload.signer.publicKey)).toBe(false);
  });

  test('gives builds that start at once the same keys', async () => {
    const folder = join(tmpDir(), 'keys');
    const all = await Promise.all([1, 2, 3].map(() => ensureDevelopmentKeys(folder, small)));
    const [first] = all;
    for (const keys of all) {
      expect(keys.image.signer.publicKey.equals(first!.image.signer.publicKey)).toBe(true);
      expect(keys.payload.signer.publicKey.equals(first!.payload.signer.publicKey)).toBe(true);
    }
    expect(readdirSync(folder)).toHaveLength(4);
  });

  test('makes RSA-4096 for images and RSA-2048 for payloads by default', async () => {
    const keys = await ensureDevelopmentKeys(join(tmpDir(), 'keys'));
    expect(keys.image.signer.publicKey.asymmetricKeyDetails?.modulusLength).toBe(4096);
    expect(keys.payload.signer.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });

  test('refuses a folder that others may enter', async () => {
    const folder = join(tmpDir(), 'keys');
    mkdirSync(folder);
    chmodSync(folder, 0o755);
    await expect(ensureDevelopmentKeys(folder, small)).rejects.toMatchObject({ code: 'key' });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('isDevelopmentKey knows its own keys only', async () => {
    const folder = join(tmpDir(), 'keys');
    expect(await isDevelopmentKey(rsa.publicKey, folder)).toBe(false);
    const { payload } = await ensureDevelopmentKeys(folder, small);
    expect(await isDevelopmentKey(payload.signer.publicKey, folder)).toBe(true);
    expect(await isDevelopmentKey(rsa.publicKey, folder)).toBe(false);
  });
});

describe('keySigner', () => {
  test('signs deterministically with rsa-pkcs1, and verifiably with each scheme', async () => {
    const data = new TextEncoder().encode('data');
    const signer = keySigner(rsa.privateKey);
    const options = { hash: 'sha256', scheme: 'rsa-pkcs1' } as const;
    const signature = await signer.sign(data, options);
    expect(await signer.sign(data, options)).toEqual(signature);
    expect(verify('sha256', data, rsa.publicKey, signature)).toBe(true);
    const pss = await signer.sign(data, { hash: 'sha512', scheme: 'rsa-pss' });
    const padding = { key: rsa.publicKey, padding: 6, saltLength: 64 };
    expect(verify('sha512', data, padding, pss)).toBe(true);
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const ecdsa = await keySigner(ec.privateKey).sign(data, { hash: 'sha256', scheme: 'ecdsa' });
    expect(verify('sha256', data, ec.publicKey, ecdsa)).toBe(true);
  });

  test('refuses a scheme that does not fit the key, and a key that cannot sign', async () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signer = keySigner(ec.privateKey);
    const signature = signer.sign(new Uint8Array(1), { hash: 'sha256', scheme: 'rsa-pss' });
    await expect(signature).rejects.toThrow(TypeError);
    expect(() => keySigner(rsa.publicKey)).toThrow(TypeError);
  });
});
