import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../src/core/digest.ts';
import { FormatError, UsageError } from '../../../src/core/errors.ts';
import { assertDer } from '../../../src/formats/der/check.ts';
import { parseSubject } from '../../../src/signing/x509-subject.ts';
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

  test.each([
    ['prime256v1', 'sha256'],
    ['secp384r1', 'sha384'],
    ['secp521r1', 'sha512'],
  ])('signs with ECDSA on %s and %s', async (namedCurve, hash) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
    const der = await createSelfSignedCertificate(keySigner(privateKey), { subject });
    const certificate = readCertificate(der);
    expect(certificate.verify(publicKey)).toBe(true);
    expect(readCertificateKey(der).equals(publicKey)).toBe(true);
    const oid = { sha256: '02', sha384: '03', sha512: '04' }[hash];
    // ecdsa-with-SHA2, once in what is signed and once beside the signature.
    expect(toHex(der).split(`06082a8648ce3d0403${oid}`)).toHaveLength(3);
    assertDer(der);
  });

  test('signs with Ed25519, the same way each time', async () => {
    const ed = keySigner(generateKeyPairSync('ed25519').privateKey);
    const der = await createSelfSignedCertificate(ed, { subject, extensions: 'code-signing' });
    expect(readCertificate(der).verify(ed.publicKey)).toBe(true);
    expect(await createSelfSignedCertificate(ed, { subject, extensions: 'code-signing' })).toEqual(
      der,
    );
    assertDer(der);
  });

  test('for code signing it says so, and issues nothing', async () => {
    const der = await createSelfSignedCertificate(signer, { subject, extensions: 'code-signing' });
    const certificate = readCertificate(der);
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.3']);
    expect(certificate.verify(signer.publicKey)).toBe(true);
    assertDer(der);
  });

  test('writes years before 2050 in two digits and later ones in four', async () => {
    const der = await createSelfSignedCertificate(signer, {
      subject,
      notBefore: new Date('1999-12-31T23:59:59Z'),
      notAfter: new Date('2050-06-01T01:02:03Z'),
    });
    const text = Buffer.from(der).toString('latin1');
    expect(text).toContain('\x17\x0d991231235959Z');
    expect(text).toContain('\x18\x0f20500601010203Z');
    expect(readCertificate(der).validTo).toBe('Jun  1 01:02:03 2050 GMT');
  });

  test('refuses keys of other types, an empty subject and a signature of another key', async () => {
    const x = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    await expect(
      createSelfSignedCertificate(keySigner(x.privateKey), { subject }),
    ).rejects.toMatchObject({ code: 'key' });
    await expect(createSelfSignedCertificate(signer, { subject: [] })).rejects.toThrow(RangeError);
    await expect(
      createSelfSignedCertificate(signer, { subject, notAfter: new Date(0) }),
    ).rejects.toThrow(RangeError);
    const lying = { ...signer, sign: () => Promise.resolve(new Uint8Array(256)) };
    await expect(createSelfSignedCertificate(lying, { subject })).rejects.toMatchObject({
      code: 'key',
    });
  });
});

describe('parseSubject', () => {
  test('takes names in the order in which they are given', () => {
    expect(parseSubject('CN=Release key, O=Example\\, Inc., c=DE')).toEqual([
      { name: 'CN', value: 'Release key' },
      { name: 'O', value: 'Example, Inc.' },
      { name: 'C', value: 'DE' },
    ]);
    expect(parseSubject('Größe')).toEqual([{ name: 'CN', value: 'Größe' }]);
  });

  test.each([
    '',
    '  ',
    'CN=',
    'CN=a,b',
    'X=1',
    'C=de',
    'C=Germany',
    `CN=${'x'.repeat(65)}`,
    'CN=a\u0000b',
    'emailAddress=ä@b',
  ])('refuses %j', (text) => {
    expect(() => parseSubject(text)).toThrow(UsageError);
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
