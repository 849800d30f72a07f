/** Keys in SoftHSM: what its tools put there signs what node:crypto and other people's tools verify. */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCryptoki } from '../../src/native/pkcs11.ts';
import { openPkcs11Key } from '../../src/signing/keys/pkcs11.ts';
import type { KeyMaterial, OpenKeyOptions } from '../../src/signing/keys/open-key.ts';
import {
  isSignatureOf,
  keySigner,
  signChecked,
  type SignatureOptions,
} from '../../src/signing/signer.ts';
import { createSelfSignedCertificate, encodeCertificatePem } from '../../src/signing/x509.ts';
import { createSoftHsm, SOFTHSM_MODULE, type SoftHsm } from '../support/softhsm.ts';

const PIN = '7391-correct';
const FIXTURE = 'test/fixtures/apk-rsa-2048.TEST_KEY_DO_NOT_USE.key';
const QUERY = `?module-path=${SOFTHSM_MODULE}`;
const data = Buffer.from('what is signed');

let folder: string;
let hsm: SoftHsm;

const options = (more: Partial<OpenKeyOptions> = {}): OpenKeyOptions => ({
  env: { PIN },
  passphrase: 'env:PIN',
  loadCryptoki: openCryptoki,
  ...more,
});

async function withKey<T>(
  path: string,
  work: (key: KeyMaterial) => Promise<T>,
  more: Partial<OpenKeyOptions> = {},
): Promise<T> {
  const key = await openPkcs11Key(`pkcs11:${path}${QUERY}`, options(more));
  try {
    return await work(key);
  } finally {
    await key.close();
  }
}

/** What opening says; fails when it says nothing. */
async function refusal(uri: string, more: Partial<OpenKeyOptions> = {}): Promise<string> {
  const error: unknown = await openPkcs11Key(uri, options(more)).then(
    async (key) => {
      await key.close();
      throw new Error('the key was opened');
    },
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: 'UsageError', code: 'key' });
  const { message, hint } = error as { message: string; hint?: string };
  expect(`${message} ${hint}`).not.toContain(PIN);
  return `${message} | ${hint}`;
}

const fileKey = createPrivateKey(readFileSync(FIXTURE));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'microbuild-hsm-'));
  hsm = createSoftHsm(folder);
  process.env['SOFTHSM2_CONF'] = hsm.conf;
  hsm.initToken('release', PIN);
  const tool = (...args: string[]): void => hsm.tool('release', PIN, ...args);
  const pkcs8 = join(folder, 'rsa.pem');
  writeFileSync(pkcs8, fileKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  hsm.importKey('release', PIN, { path: pkcs8, object: 'apk', id: '01' });
  tool('--keypairgen', '--key-type', 'rsa:4096', '--label', 'image', '--id', '02');
  tool('--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'p256', '--id', '03');
  tool('--keypairgen', '--key-type', 'EC:secp384r1', '--label', 'p384', '--id', '04');
  tool('--keypairgen', '--key-type', 'EC:secp521r1', '--label', 'p521', '--id', '05');
  tool('--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'twin', '--id', '06');
  tool('--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'twin', '--id', '07');
  const certificate = await createSelfSignedCertificate(keySigner(fileKey), {
    subject: [{ name: 'CN', value: 'token' }],
  });
  const der = join(folder, 'apk.der');
  writeFileSync(der, certificate);
  writeFileSync(join(folder, 'apk.pem'), encodeCertificatePem(certificate));
  tool('--write-object', der, '--type', 'cert', '--id', '01', '--label', 'apk');
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a key of SoftHSM', () => {
  test.each<[string, SignatureOptions]>([
    ['apk', { scheme: 'rsa-pkcs1', hash: 'sha256' }],
    ['apk', { scheme: 'rsa-pkcs1', hash: 'sha512' }],
    ['apk', { scheme: 'rsa-pkcs1', hash: 'sha1' }],
    ['apk', { scheme: 'rsa-pss', hash: 'sha256' }],
    ['image', { scheme: 'rsa-pkcs1', hash: 'sha256' }],
    ['image', { scheme: 'rsa-pkcs1', hash: 'sha384' }],
    ['image', { scheme: 'rsa-pss', hash: 'sha512' }],
    ['p256', { scheme: 'ecdsa', hash: 'sha256' }],
    ['p256', { scheme: 'ecdsa', hash: 'sha512' }],
    ['p384', { scheme: 'ecdsa', hash: 'sha256' }],
    ['p384', { scheme: 'ecdsa', hash: 'sha512' }],
    ['p521', { scheme: 'ecdsa', hash: 'sha512' }],
  ])('%s signs with %o, as node:crypto verifies', async (object, kind) => {
    await withKey(`token=release;object=${object}`, async ({ signer }) => {
      const signature = await signer.sign(data, kind);
      expect(isSignatureOf(signer.publicKey, data, kind, signature)).toBe(true);
      expect(isSignatureOf(signer.publicKey, Buffer.from('other'), kind, signature)).toBe(false);
    });
  });

  test('signs with RSA PKCS#1 the very bytes that the key file signs', async () => {
    const kind = { scheme: 'rsa-pkcs1', hash: 'sha256' } as const;
    const wanted = await keySigner(fileKey).sign(data, kind);
    await withKey('token=release;id=%01', async ({ signer, reference }) => {
      expect(await signer.sign(data, kind)).toEqual(wanted);
      expect(signer.publicKey.equals(createPublicKey(fileKey))).toBe(true);
      expect(reference).toBe('pkcs11:token=release;object=apk;id=%01');
    });
  });

  test('brings its certificate, and none where the token has none', async () => {
    const own = readFileSync(join(folder, 'apk.der'));
    await withKey('object=apk', async ({ certificates }) =>
      expect(certificates.map((der) => Buffer.from(der))).toEqual([own]),
    );
    await withKey('object=image', async ({ certificates }) => expect(certificates).toEqual([]));
  });

  test('takes a certificate from a file, and refuses another key’s', async () => {
    const certificate = join(folder, 'apk.pem');
    await withKey('object=apk', async ({ certificates }) => expect(certificates).toHaveLength(1), {
      certificate,
    });
    const said = await refusal(`pkcs11:object=image${QUERY}`, { certificate });
    expect(said).toContain('it is not of key pkcs11:token=release;object=image;id=%02');
  });

  test('signs many things that are asked for at once, with several keys of a token', async () => {
    const kind = { scheme: 'ecdsa', hash: 'sha256' } as const;
    const signed = await withKey('object=p256', (one) =>
      withKey('object=p384', async (other) => {
        const all = Array.from({ length: 20 }, (_, index) => Buffer.from(`${index}`));
        return Promise.all(
          all.flatMap((each) => [one, other].map(({ signer }) => signChecked(signer, each, kind))),
        );
      }),
    );
    expect(signed).toHaveLength(40);
  });

  test('still signs with one key after another of its token is closed', async () => {
    const kind = { scheme: 'ecdsa', hash: 'sha256' } as const;
    await withKey('object=p256', async ({ signer }) => {
      await withKey('object=p384', async (other) => signChecked(other.signer, data, kind));
      expect(await signChecked(signer, data, kind)).toBeInstanceOf(Uint8Array);
    });
  });

  test('reads the PIN from the file of pin-source, if nobody else may', async () => {
    const pinFile = join(folder, 'pin');
    writeFileSync(pinFile, `${PIN}\n`, { mode: 0o600 });
    const uri = `pkcs11:object=p256${QUERY}&pin-source=file:${pinFile}`;
    const key = await openPkcs11Key(uri, options({ passphrase: undefined }));
    await key.close();
    writeFileSync(join(folder, 'open-pin'), PIN, { mode: 0o644 });
    const open = `pkcs11:object=p256${QUERY}&pin-source=${folder}/open-pin`;
    expect(await refusal(open, { passphrase: undefined })).toContain('0644');
    expect(await refusal(open)).toContain('two sources');
  });

  test('is found by a module that is named without its path, or by the environment', async () => {
    const named = await openPkcs11Key('pkcs11:object=p256?module-name=softhsm2', options());
    await named.close();
    const env = { PIN, MICROBUILD_PKCS11_MODULE: SOFTHSM_MODULE };
    const byEnvironment = await openPkcs11Key('pkcs11:object=p256', options({ env }));
    await byEnvironment.close();
    expect(await refusal('pkcs11:object=p256')).toContain('MICROBUILD_PKCS11_MODULE');
  });

  test('signs with Ed25519 the bytes that RFC 8032 says', async () => {
    const make = ['--keypairgen', '--key-type', 'EC:edwards25519', '--label', 'ed', '--id', '08'];
    hsm.tool('release', PIN, ...make);
    const kind = { scheme: 'ed25519', hash: 'sha512' } as const;
    await withKey('object=ed', async ({ signer }) => {
      expect(signer.publicKey.asymmetricKeyType).toBe('ed25519');
      const signature = await signChecked(signer, data, kind);
      expect(await signer.sign(data, kind)).toEqual(signature);
    });
  });

  test('that asks for the PIN at each signature is given it, and a wrong one only once', async () => {
    const make = [
      '--keypairgen',
      '--key-type',
      'EC:prime256v1',
      '--label',
      'careful',
      '--id',
      '09',
    ];
    hsm.tool('release', PIN, ...make, '--always-auth');
    const kind = { scheme: 'ecdsa', hash: 'sha256' } as const;
    await withKey('object=careful', async ({ signer }) => {
      expect(await signChecked(signer, data, kind)).toBeInstanceOf(Uint8Array);
      expect(await signChecked(signer, data, kind)).toBeInstanceOf(Uint8Array);
    });
  });

  test('makes no signature of a kind that is not its own', async () => {
    await withKey('object=p256', async ({ signer }) => {
      await expect(signer.sign(data, { scheme: 'rsa-pkcs1', hash: 'sha256' })).rejects.toThrow(
        TypeError,
      );
    });
  });
});

describe('what cannot be opened', () => {
  test('a wrong PIN is one attempt, for all keys that are opened at once', async () => {
    hsm.initToken('strict', PIN);
    hsm.tool(
      'strict',
      PIN,
      '--keypairgen',
      '--key-type',
      'EC:prime256v1',
      '--label',
      'a',
      '--id',
      '01',
    );
    let attempts = 0;
    const loadCryptoki: OpenKeyOptions['loadCryptoki'] = async (path, more) => {
      const cryptoki = await openCryptoki(path, more);
      return {
        ...cryptoki,
        login: (...args) => {
          attempts += 1;
          return cryptoki.login(...args);
        },
      };
    };
    const wrong = { env: { PIN: 'wrong-pin' }, loadCryptoki };
    const uri = `pkcs11:token=strict;object=a${QUERY}`;
    const said = await Promise.all([refusal(uri, wrong), refusal(uri, wrong)]);
    expect(attempts).toBe(1);
    expect(said[0]).toContain('C_Login: CKR_PIN_INCORRECT');
    expect(said[0]).toContain('tried once');
    expect(said.join()).not.toContain('wrong-pin');
    // The right one still opens it.
    await withKey('token=strict;object=a', async () => undefined);
  });

  test('a token or key that is not there is told with those that are', async () => {
    expect(await refusal(`pkcs11:token=nightly${QUERY}`)).toContain('pkcs11:token=release;serial=');
    const said = await refusal(`pkcs11:token=release;object=nothing${QUERY}`);
    expect(said).toContain('pkcs11:object=image;id=%02 (RSA)');
    expect(said).toContain('pkcs11:object=p384;id=%04 (EC)');
  });

  test('several keys that fit are listed, and an id chooses', async () => {
    const said = await refusal(`pkcs11:token=release;object=twin${QUERY}`);
    expect(said).toContain('2 private keys');
    expect(said).toContain('object=twin;id=%06');
    expect(said).toContain('object=twin;id=%07');
    await withKey('token=release;object=twin;id=%07', async () => undefined);
  });

  test('several tokens that fit are listed', async () => {
    expect(await refusal(`pkcs11:object=a${QUERY}`)).toMatch(
      /2 tokens: pkcs11:token=.*serial=.*, pkcs11:token=.*serial=/,
    );
  });

  test('a module that is missing, or is none', async () => {
    expect(await refusal('pkcs11:token=a?module-path=/nowhere/at-all.so')).toContain(
      'no such file',
    );
    expect(await refusal('pkcs11:token=a?module-path=/etc/hostname')).toContain('PKCS#11 module');
    const libc = '/lib/x86_64-linux-gnu/libc.so.6';
    expect(await refusal(`pkcs11:token=a?module-path=${libc}`)).toContain('PKCS#11 module');
    expect(await refusal('pkcs11:token=a?module-name=snakeoil')).toContain('libsnakeoil.so');
  });

  test('a token that goes away while it is in use', async () => {
    hsm.initToken('gone', PIN);
    hsm.tool(
      'gone',
      PIN,
      '--keypairgen',
      '--key-type',
      'EC:prime256v1',
      '--label',
      'b',
      '--id',
      '01',
    );
    const kind = { scheme: 'ecdsa', hash: 'sha256' } as const;
    const away = join(folder, 'away');
    const key = await openPkcs11Key(`pkcs11:token=gone;object=b${QUERY}`, options());
    await key.signer.sign(data, kind);
    renameSync(hsm.tokens, away);
    try {
      await expect(key.signer.sign(data, kind)).rejects.toMatchObject({ code: 'key' });
    } finally {
      renameSync(away, hsm.tokens);
    }
    await key.close();
    expect(existsSync(hsm.tokens)).toBe(true);
  });
});
