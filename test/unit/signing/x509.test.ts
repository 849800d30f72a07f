import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../src/core/digest.ts';
import { FormatError } from '../../../src/core/errors.ts';
import { keySigner } from '../../../src/signing/signer.ts';
import {
  certificateDigest,
  createSelfSignedCertificate,
  decodeCertificatePem,
  encodeCertificatePem,
  readCertificate,
  readCertificateKey,
} from '../../../src/signing/x509.ts';
import { testKeyPath } from './apk/fixtures.ts';

const signer = keySigner(createPrivateKey(readFileSync(testKeyPath)));
const subject = [
  { name: 'C', value: 'DE' },
  { name: 'O', value: 'Größe & Söhne' },
  { name: 'CN', value: 'test' },
] as const;

describe('createSelfSignedCertificate', () => {
  test('is read by node:crypto, verifies with its own key and names the subject', async () => {
    const certificate = new X509Certificate(await createSelfSignedCertificate(signer, { subject }));
    expect(certificate.verify(signer.publicKey)).toBe(true);
    expect(certificate.checkIssued(certificate)).toBe(true);
    expect(certificate.subject.split('\n')).toEqual(['C=DE', 'O=Größe & Söhne', 'CN=test']);
    expect(certificate.publicKey.equals(signer.publicKey)).toBe(true);
    expect(certificate.validFrom).toBe('Jan  1 00:00:00 2020 GMT');
    expect(certificate.validTo).toBe('Jan  1 00:00:00 2050 GMT');
  });

  test('depends on key, subject and validity only', async () => {
    const first = await createSelfSignedCertificate(signer, { subject });
    const digest = createHash('sha256').update(first).digest('hex');
    expect(toHex(await createSelfSignedCertificate(signer, { subject }))).toBe(toHex(first));
    expect(toHex(certificateDigest(first, 'sha256'))).toBe(digest);
    expect(digest).toMatchInlineSnapshot(
      `"17c19a12fe73998a35c27b5e381a6d8c7aa74a6c471bf4b5244f06b27f41fcc8"`,
    );
    const notAfter = new Date(Date.UTC(2049, 11, 31));
    const other = await createSelfSignedCertificate(signer, { subject, notAfter });
    expect(new X509Certificate(other).validTo).toBe('Dec 31 00:00:00 2049 GMT');
  });

  test('its serial number is positive and has no leading zero', async () => {
    const { serialNumber } = new X509Certificate(
      await createSelfSignedCertificate(signer, { subject }),
    );
    expect(serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test('refuses keys of another type, an empty subject and a signature of another key', async () => {
    const ec = keySigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    await expect(createSelfSignedCertificate(ec, { subject })).rejects.toMatchObject({
      code: 'key',
    });
    await expect(createSelfSignedCertificate(signer, { subject: [] })).rejects.toThrow(RangeError);
    const lying = { ...signer, sign: () => Promise.resolve(new Uint8Array(256)) };
    await expect(createSelfSignedCertificate(lying, { subject })).rejects.toMatchObject({
      code: 'key',
    });
  });
});

describe('certificates', () => {
  test('PEM and DER are the same certificate', async () => {
    const der = await createSelfSignedCertificate(signer, { subject });
    const pem = encodeCertificatePem(der);
    expect(pem).toBe(new X509Certificate(der).toString());
    expect(decodeCertificatePem(`junk\n${pem}more\n${pem}`).map(toHex)).toEqual([
      toHex(der),
      toHex(der),
    ]);
    expect(readCertificateKey(der).equals(signer.publicKey)).toBe(true);
  });

  test('anything else is refused', async () => {
    const der = await createSelfSignedCertificate(signer, { subject });
    const pem = encodeCertificatePem(der);
    for (const bytes of [
      new Uint8Array(0),
      Uint8Array.of(0x30, 0x80),
      der.subarray(0, -1),
      Uint8Array.of(...der, 0),
      new TextEncoder().encode(pem),
    ]) {
      expect(() => readCertificate(bytes)).toThrow(FormatError);
    }
    for (const text of ['', 'x', pem.replace('MII', 'AII')]) {
      expect(() => decodeCertificatePem(text)).toThrow(FormatError);
    }
  });
});
