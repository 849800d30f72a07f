/** The certificates, attributes and credentials among AOSP's test data, made anew from the same keys. */

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  decodeCertificate,
  encodeCertificateMetadata,
  encodePermanentAttributes,
} from '../../src/formats/avb/certificate.ts';
import { avbPublicKey } from '../../src/signing/avb/public-key.ts';
import { makeCertificate, makeUnlockCredential } from '../../src/signing/avb/sign-certificate.ts';
import { keySigner, type Signer } from '../../src/signing/signer.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

const read = (name: string): Uint8Array => new Uint8Array(readFileSync(corpusPath('avb', name)));

const signerOf = (name: string): Signer =>
  keySigner(createPrivateKey(readFileSync(corpusPath('avb/keys', `testkey_cert_${name}.pem`))));

const keyOf = (name: string): Uint8Array => avbPublicKey(signerOf(name).publicKey);

const KEY_VERSION = 42n;

describe.skipIf(corpus === undefined)('AOSP test data of libavb_cert', () => {
  const certify = (
    subject: string,
    authority: string,
    who: Uint8Array,
    more: { isIntermediateAuthority?: boolean; usage?: string } = {},
  ): Promise<Uint8Array> =>
    makeCertificate({
      subjectKey: keyOf(subject),
      subject: who,
      keyVersion: KEY_VERSION,
      isIntermediateAuthority: false,
      authority: signerOf(authority),
      ...more,
    });

  test('the intermediate key is certified by the root key', async () => {
    const who = new TextEncoder().encode('fake PIK subject');
    const made = await certify('pik', 'prk', who, { isIntermediateAuthority: true });
    expect(Buffer.compare(made, read('cert_pik_certificate.bin'))).toBe(0);
  });

  test('the signing key is certified by the intermediate key', async () => {
    const made = await certify('psk', 'pik', read('cert_product_id.bin'));
    expect(Buffer.compare(made, read('cert_psk_certificate.bin'))).toBe(0);
  });

  test('the unlock key is certified for its own use', async () => {
    const made = await certify('puk', 'pik', read('cert_product_id.bin'), {
      usage: 'com.google.android.things.vboot.unlock',
    });
    expect(Buffer.compare(made, read('cert_puk_certificate.bin'))).toBe(0);
  });

  test('without authority the signature is left out', async () => {
    const made = await makeCertificate({
      subjectKey: keyOf('psk'),
      subject: read('cert_product_id.bin'),
      keyVersion: KEY_VERSION,
      isIntermediateAuthority: false,
    });
    expect(Buffer.compare(made, read('cert_psk_certificate.bin').subarray(0, 1108))).toBe(0);
  });

  test('metadata, attributes and credential are put together', async () => {
    const [pik, psk, puk] = ['pik', 'psk', 'puk'].map((name) =>
      read(`cert_${name}_certificate.bin`),
    );
    if (pik === undefined || psk === undefined || puk === undefined) throw new Error('No data');
    const metadata = encodeCertificateMetadata(pik, psk);
    expect(Buffer.compare(metadata, read('cert_metadata.bin'))).toBe(0);
    const attributes = encodePermanentAttributes(keyOf('prk'), read('cert_product_id.bin'));
    expect(Buffer.compare(attributes, read('cert_permanent_attributes.bin'))).toBe(0);
    const credential = await makeUnlockCredential({
      intermediate: pik,
      unlock: puk,
      answer: { challenge: read('cert_unlock_challenge.bin'), signer: signerOf('puk') },
    });
    expect(Buffer.compare(credential, read('cert_unlock_credential.bin'))).toBe(0);
    const { keyVersion } = decodeCertificate(pik);
    expect(keyVersion).toBe(KEY_VERSION);
  });

  test('a key of another size signs nothing', async () => {
    const small = keySigner(
      createPrivateKey(readFileSync(corpusPath('avb/keys', 'testkey_rsa2048.pem'))),
    );
    const made = makeCertificate({
      subjectKey: keyOf('psk'),
      subject: new Uint8Array(1),
      keyVersion: KEY_VERSION,
      isIntermediateAuthority: false,
      authority: small,
    });
    await expect(made).rejects.toThrow(/RSA-4096/);
  });
});
