import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sha256, toHex } from '../../../../src/core/digest.ts';
import { isTrustedSigner, readTrustedSigners } from '../../../../src/signing/apk/trusted-signer.ts';
import { certificateDigest, encodeCertificatePem } from '../../../../src/signing/x509.ts';
import { tmpDir } from '../../../support/tmp-dir.ts';
import { testKey } from './fixtures.ts';

let certificate: Uint8Array;
let spki: { readonly der: Buffer; readonly pem: string };
let folder: string;
beforeAll(async () => {
  const { signer, certificateDer } = await testKey();
  certificate = certificateDer;
  spki = {
    der: signer.publicKey.export({ type: 'spki', format: 'der' }),
    pem: signer.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
});
beforeEach(() => {
  folder = tmpDir();
});

const file = (content: string | Uint8Array): string => {
  const path = join(folder, 'trusted');
  writeFileSync(path, content);
  return path;
};

const isTrusted = async (text: string): Promise<boolean> =>
  isTrustedSigner(certificate, await readTrustedSigners(text));

describe('readTrustedSigners', () => {
  test('takes digests of certificates as tools print them', async () => {
    const hex = toHex(sha256(certificate));
    const colons = hex.replaceAll(/..(?=.)/g, '$&:').toUpperCase();
    for (const text of [hex, colons, `sha256:${hex}`, `SHA256:${colons}`]) {
      expect(await isTrusted(text)).toBe(true);
    }
    const long = toHex(certificateDigest(certificate, 'sha512'));
    for (const text of [long, `sha512:${long}`]) expect(await isTrusted(text)).toBe(true);
    expect(await isTrusted(toHex(sha256(certificate).toReversed()))).toBe(false);
  });

  test('takes certificates and public keys, PEM and DER, and several in a file', async () => {
    const pem = encodeCertificatePem(certificate);
    for (const content of [certificate, pem, spki.der, spki.pem]) {
      expect(await isTrusted(file(content))).toBe(true);
    }
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const other = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    expect(await isTrusted(file(other))).toBe(false);
    expect(await isTrusted(file(`${other}\n${pem}`))).toBe(true);
  });

  test('takes nothing else', async () => {
    const hex = toHex(sha256(certificate));
    for (const text of [`sha512:${hex}`, `sha256:${hex.slice(2)}`]) {
      await expect(readTrustedSigners(text)).rejects.toMatchObject({ code: 'usage' });
    }
    for (const text of [
      'no-such-file',
      hex.slice(2),
      file('text'),
      file(new Uint8Array(300_000)),
      folder,
    ]) {
      await expect(readTrustedSigners(text)).rejects.toMatchObject({ code: 'key' });
    }
  });

  test('takes no private key', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const path = file(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    await expect(readTrustedSigners(path)).rejects.toMatchObject({
      message: expect.stringContaining('private key') as string,
    });
  });
});
