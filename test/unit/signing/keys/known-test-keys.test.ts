import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { isKnownTestKey, knownTestKey } from '../../../../src/signing/keys/known-test-keys.ts';
import { corpus, corpusPath } from '../../../support/corpus.ts';

describe('isKnownTestKey', () => {
  test('a fresh key is none', () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    expect(isKnownTestKey(publicKey)).toBe(false);
  });

  const pems =
    corpus === undefined
      ? []
      : readdirSync(corpusPath('avb/keys')).filter((name) => name.endsWith('.pem'));

  test.skipIf(corpus === undefined).each(pems)('%s of AOSP is one', (name) => {
    const key = createPublicKey(readFileSync(corpusPath('avb/keys', name)));
    expect(knownTestKey(key)).toMatch(/^AOSP /);
  });
});
