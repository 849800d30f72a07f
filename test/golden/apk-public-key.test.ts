/** Signature verification against Project Wycheproof's traps. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { fromHex } from '../../src/core/digest.ts';
import {
  findSignatureAlgorithm,
  SIGNATURE_ECDSA_SHA256,
  SIGNATURE_ECDSA_SHA512,
  SIGNATURE_RSA_PKCS1_SHA256,
  SIGNATURE_RSA_PKCS1_SHA512,
  SIGNATURE_RSA_PSS_SHA256,
  SIGNATURE_RSA_PSS_SHA512,
} from '../../src/formats/apk/algorithms.ts';
import { isSignatureValid, readPublicKey } from '../../src/signing/apk/public-key.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Vectors {
  readonly testGroups: readonly {
    readonly publicKeyDer: string;
    readonly tests: readonly {
      readonly tcId: number;
      readonly msg: string;
      readonly sig: string;
      readonly result: 'valid' | 'invalid' | 'acceptable';
    }[];
  }[];
}

describe.skipIf(corpus === undefined)('isSignatureValid', () => {
  test.each([
    ['rsa_signature_2048_sha256_test', SIGNATURE_RSA_PKCS1_SHA256],
    ['rsa_signature_4096_sha256_test', SIGNATURE_RSA_PKCS1_SHA256],
    ['rsa_signature_2048_sha512_test', SIGNATURE_RSA_PKCS1_SHA512],
    ['rsa_signature_4096_sha512_test', SIGNATURE_RSA_PKCS1_SHA512],
    ['rsa_pss_2048_sha256_mgf1_32_test', SIGNATURE_RSA_PSS_SHA256],
    ['rsa_pss_4096_sha512_mgf1_64_test', SIGNATURE_RSA_PSS_SHA512],
    ['ecdsa_secp256r1_sha256_test', SIGNATURE_ECDSA_SHA256],
    ['ecdsa_secp384r1_sha512_test', SIGNATURE_ECDSA_SHA512],
  ])('judges every case of %s', (name, id) => {
    const algorithm = findSignatureAlgorithm(id);
    if (algorithm === undefined) throw new Error('The algorithm is unknown');
    const path = corpusPath('sig-wycheproof', `${name}.json`);
    const { testGroups } = JSON.parse(readFileSync(path, 'utf8')) as Vectors;
    const wrong: number[] = [];
    for (const { publicKeyDer, tests } of testGroups) {
      const key = readPublicKey(fromHex(publicKeyDer));
      for (const { tcId, msg, sig, result } of tests) {
        const valid =
          key !== undefined && isSignatureValid(algorithm, key, fromHex(msg), fromHex(sig));
        if (result !== 'acceptable' && valid !== (result === 'valid')) wrong.push(tcId);
      }
    }
    expect(wrong).toEqual([]);
  });
});
