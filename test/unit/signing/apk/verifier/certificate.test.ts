/** Certificates of APKs are those that Java takes, on which apksig stands. */

import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { readAnyCertificate } from '../../../../../src/signing/apk/verifier/certificate.ts';
import { testKey } from '../fixtures.ts';

const { certificateDer } = await testKey();

const isRead = (bytes: Uint8Array): boolean => !('problem' in readAnyCertificate(bytes));

/** The certificate with one text in it changed, which nobody has signed anew: nobody looks. */
function altered(from: string, to: string): Uint8Array {
  const text = Buffer.from(certificateDer).toString('latin1');
  expect(text).toContain(from);
  return new Uint8Array(Buffer.from(text.replace(from, to), 'latin1'));
}

test('a certificate is known by its bytes, with those that follow it', () => {
  const longer = Uint8Array.of(...certificateDer, 0, 0, 0);
  expect(readAnyCertificate(longer)).toMatchObject({ bytes: longer });
});

test('a certificate with a time that is none is refused, though OpenSSL takes it', () => {
  const monthThirteen = altered('200101000000Z', '201301000000Z');
  const letters = altered('200101000000Z', '2001010000x0Z');
  expect(() => new X509Certificate(letters)).not.toThrow();
  expect([certificateDer, monthThirteen, letters].map(isRead)).toEqual([true, false, false]);
});

test('a certificate that names two signature algorithms is refused', () => {
  // The first of both is in the part that is signed.
  const sha256WithRsa = '\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b';
  const sha512WithRsa = '\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d';
  expect(isRead(altered(sha256WithRsa, sha512WithRsa))).toBe(false);
});

test('bytes that are no certificate are refused', () => {
  for (const bytes of ['', '0', 'hello', '\x30\x03\x02\x01\x01']) {
    expect(isRead(new Uint8Array(Buffer.from(bytes, 'latin1')))).toBe(false);
  }
});
