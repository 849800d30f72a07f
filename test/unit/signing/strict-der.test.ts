/** What verifies takes DER: one text of each key, certificate and signature, and no other that BER would read alike. */

import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../src/core/errors.ts';
import { readPublicKey } from '../../../src/signing/apk/public-key.ts';
import { isSignatureOf, keySigner } from '../../../src/signing/signer.ts';
import { createSelfSignedCertificate, readCertificate } from '../../../src/signing/x509.ts';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const data = Buffer.from('what is signed');

/** The same value with the outermost length in a form that only BER has. */
function berForms(der: Uint8Array): readonly (readonly [form: string, bytes: Buffer])[] {
  const bytes = Buffer.from(der);
  const isLong = bytes[1] === 0x82;
  const head = isLong ? 4 : 2;
  const length = bytes.subarray(isLong ? 2 : 1, head);
  const contents = bytes.subarray(head);
  const longer = Uint8Array.of(0x30, isLong ? 0x83 : 0x81, ...(isLong ? [0] : []));
  return [
    ['a longer length', Buffer.concat([longer, length, contents])],
    ['no length', Buffer.concat([Uint8Array.of(0x30, 0x80), contents, Uint8Array.of(0, 0)])],
    ['more bytes behind it', Buffer.concat([bytes, Uint8Array.of(0)])],
  ];
}

describe('DER', () => {
  test('is the only form of a certificate, inside as well', async () => {
    const der = await createSelfSignedCertificate(keySigner(rsa.privateKey), {
      subject: [{ name: 'CN', value: 'strict' }],
    });
    expect(readCertificate(der).subject).toBe('CN=strict');
    for (const [, bytes] of berForms(der)) {
      expect(() => readCertificate(bytes)).toThrow(FormatError);
    }
    // The certificate’s content in one byte more than its length needs, which OpenSSL keeps as it is.
    const [outer, inner] = [der.subarray(0, 4), der.subarray(4)];
    expect([outer[1], inner[1]]).toEqual([0x82, 0x82]);
    const padded = Buffer.concat([outer, Uint8Array.of(0x30, 0x83, 0), inner.subarray(2)]);
    padded.writeUInt16BE(padded.readUInt16BE(2) + 1, 2);
    expect(() => readCertificate(padded)).toThrow('it is not DER: ');
  });

  test.each([
    ['RSA', rsa.publicKey],
    ['EC', ec.publicKey],
  ])('is the only form of a public key: %s', (_type, key) => {
    const der = new Uint8Array(key.export({ type: 'spki', format: 'der' }));
    expect(readPublicKey(der)?.equals(key)).toBe(true);
    const taken = berForms(der).filter(([, bytes]) => readPublicKey(bytes) !== undefined);
    expect(taken).toEqual([]);
  });

  test('is the only form of an ECDSA signature', () => {
    const kind = { hash: 'sha256', scheme: 'ecdsa' } as const;
    const signature = sign('sha256', data, ec.privateKey);
    expect(isSignatureOf(ec.publicKey, data, kind, signature)).toBe(true);
    const taken = berForms(signature).filter(([, bytes]) =>
      isSignatureOf(ec.publicKey, data, kind, bytes),
    );
    expect(taken).toEqual([]);
  });
});
