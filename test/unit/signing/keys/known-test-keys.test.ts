import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../../../src/core/digest.ts';
import { avbPublicKey } from '../../../../src/signing/avb/public-key.ts';
import { knownTestDigest, knownTestKey } from '../../../../src/signing/keys/known-test-keys.ts';
import { KNOWN_TEST_KEYS } from '../../../../src/signing/keys/known-test-keys-table.ts';
import { decodeCertificatePem, readCertificateKey } from '../../../../src/signing/x509.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

interface ListedKey {
  readonly name: string;
  readonly cert_sha256?: string;
  readonly spki_sha256: string;
  readonly avbpubkey_sha1?: string;
  readonly avbpubkey_sha256?: string;
}

test('a fresh key is none', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  expect(knownTestKey(publicKey)).toBeUndefined();
  expect(knownTestDigest(new Uint8Array(32))).toBeUndefined();
});

test('each digest of the table is one, of one key only', () => {
  const digests = KNOWN_TEST_KEYS.flatMap(({ publicKey, certificates = [], avb = [] }) => [
    publicKey,
    ...certificates,
    ...avb,
  ]);
  expect(new Set(digests).size).toBe(digests.length);
  expect(digests.filter((digest) => !/^(?:[0-9a-f]{64}|[0-9a-f]{40})$/.test(digest))).toEqual([]);
});

describe.skipIf(corpus === undefined)('of the published keys', () => {
  const listed = (): readonly ListedKey[] => {
    const path = corpusPath('sig-known-test-keys', 'known-test-keys.json');
    return (JSON.parse(readFileSync(path, 'utf8')) as { keys: readonly ListedKey[] }).keys;
  };

  test('each digest of the list is recognised: of public key, certificate and AVB key', () => {
    const missed = listed().flatMap((key) =>
      [key.spki_sha256, key.cert_sha256, key.avbpubkey_sha256, key.avbpubkey_sha1]
        .filter((digest) => digest !== undefined)
        .filter((digest) => knownTestDigest(Buffer.from(digest, 'hex')) === undefined)
        .map((digest) => `${key.name} ${digest}`),
    );
    expect(listed().length).toBeGreaterThan(10);
    expect(missed).toEqual([]);
  });

  test('those of AVB are recognised as key and by their encoding', () => {
    const names = readdirSync(corpusPath('avb/keys')).filter((name) => name.endsWith('.pem'));
    const missed = names.filter((name) => {
      const key = createPublicKey(readFileSync(corpusPath('avb/keys', name)));
      const found = knownTestKey(key);
      return (
        found?.startsWith('AOSP ') !== true || knownTestDigest(sha256(avbPublicKey(key))) !== found
      );
    });
    expect(missed).toEqual([]);
    expect(names.length).toBeGreaterThan(0);
  });

  test('those of apksig are recognised as key and by their certificate', () => {
    const folder = corpusPath('sig-apksig/keys');
    const names = readdirSync(folder).filter((name) => name.endsWith('.x509.pem'));
    const found = names.map((name) => {
      const [der = new Uint8Array(0)] = decodeCertificatePem(
        readFileSync(`${folder}/${name}`, 'latin1'),
      );
      return [knownTestKey(readCertificateKey(der)), knownTestDigest(sha256(der))];
    });
    const expected = names.map((name) => `AOSP apksig ${name.replace('.x509.pem', '')}`);
    expect(found).toEqual(expected.map((name) => [name, name]));
    expect(names.length).toBeGreaterThan(0);
  });
});
