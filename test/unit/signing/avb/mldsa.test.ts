/**
 * ML-DSA is in Node from 24.7 on. Its keys and layout are read everywhere; signing needs it, and says so.
 */

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../../src/core/digest.ts';
import { EnvironmentError, FormatError } from '../../../../src/core/errors.ts';
import { avbAlgorithm } from '../../../../src/formats/avb/algorithm.ts';
import {
  decodeMldsaPublicKey,
  encodeMldsaPublicKey,
} from '../../../../src/formats/avb/public-key.ts';
import {
  decodeVbmeta,
  encodeUnsignedVbmeta,
  encodeVbmeta,
} from '../../../../src/formats/avb/vbmeta.ts';
import { mldsaSigner } from '../../../../src/signing/avb/mldsa.ts';
import { avbPublicKey, mldsaSpki, requireMldsa } from '../../../../src/signing/avb/public-key.ts';
import { signVbmeta } from '../../../../src/signing/avb/sign.ts';
import { verifySignature, verifyVbmeta } from '../../../../src/signing/avb/verify.ts';

const hasMldsa = ((): boolean => {
  try {
    requireMldsa();
    return true;
  } catch {
    return false;
  }
})();

const levels = [
  ['MLDSA65', 1952, 3309, '308207b2300b0609608648016503040312038207a100', 'ml-dsa-65'],
  ['MLDSA87', 2592, 4627, '30820a32300b060960864801650304031303820a2100', 'ml-dsa-87'],
] as const;

describe.each(levels)('%s', (name, rawSize, signatureSize, spkiHead, nodeName) => {
  const raw = Uint8Array.from({ length: rawSize }, (_, index) => index & 0xff);
  const blob = encodeMldsaPublicKey(raw);

  test('has its key behind its size, and in DER behind the head of RFC 9881', () => {
    expect(toHex(blob.subarray(0, 4))).toBe(rawSize.toString(16).padStart(8, '0'));
    expect(decodeMldsaPublicKey(blob)).toEqual({ algorithm: avbAlgorithm(name), raw });
    expect(toHex(mldsaSpki(blob).subarray(0, spkiHead.length / 2))).toBe(spkiHead);
  });

  test('stores no hash: the signature begins the authentication block', () => {
    const unsigned = encodeUnsignedVbmeta({
      algorithm: name,
      descriptors: [],
      publicKey: blob,
      publicKeyMetadata: new Uint8Array(0),
      rollbackIndex: 1n,
      rollbackIndexLocation: 0,
      flags: 0,
      releaseString: 'test',
    });
    const signature = new Uint8Array(signatureSize).fill(5);
    const bytes = encodeVbmeta(unsigned, new Uint8Array(0), signature);
    const vbmeta = decodeVbmeta(bytes);
    expect(vbmeta).toMatchObject({ algorithm: name, publicKey: blob, signature });
    expect(vbmeta.hash).toHaveLength(0);
    expect(bytes[256]).toBe(5);
    expect(vbmeta.authenticationBlock.length % 64).toBe(0);
    if (!hasMldsa) expect(() => verifySignature(vbmeta, 'vbmeta')).toThrow(EnvironmentError);
  });

  test.skipIf(!hasMldsa)('signs and verifies', async () => {
    const { privateKey, publicKey } = (
      generateKeyPairSync as unknown as (type: string) => {
        privateKey: KeyObject;
        publicKey: KeyObject;
      }
    )(nodeName);
    const signed = await signVbmeta({
      algorithm: name,
      signer: mldsaSigner(privateKey),
      descriptors: [],
    });
    const trustedKey = avbPublicKey(publicKey);
    expect(() => verifyVbmeta(signed, { trustedKey })).not.toThrow();
    signed[120] = 1;
    expect(() => verifyVbmeta(signed, { trustedKey })).toThrow(/signature/);
  });
});

test('a key of another size is refused', () => {
  expect(() => encodeMldsaPublicKey(new Uint8Array(1312))).toThrow(RangeError);
  for (const bytes of [new Uint8Array(0), new Uint8Array(3), new Uint8Array(1956)]) {
    expect(() => decodeMldsaPublicKey(bytes)).toThrow(FormatError);
  }
});

test.skipIf(hasMldsa)('without it, the refusal says what is needed', () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  expect(() => mldsaSigner(privateKey)).toThrow(EnvironmentError);
  expect(() => mldsaSigner(privateKey)).toThrow(/does not have it/);
});
