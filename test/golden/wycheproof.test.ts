/**
 * Signatures that are wrong in all the ways that implementations have been wrong about, judged by each of our
 * functions that verifies. What a file is about is told by its fields, not by its name.
 */

import { createHash, createPublicKey } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AvbAlgorithmName } from '../../src/formats/avb/algorithm.ts';
import type { Vbmeta } from '../../src/formats/avb/vbmeta.ts';
import { avbPublicKey } from '../../src/signing/avb/public-key.ts';
import { verifySignature } from '../../src/signing/avb/verify.ts';
import { isSignatureValid, readPublicKey } from '../../src/signing/apk/public-key.ts';
import {
  isSignatureOf,
  type SignatureHash,
  type SignatureScheme,
} from '../../src/signing/signer.ts';
import { corpus, corpusPath } from '../support/corpus.ts';

interface Group {
  readonly type: string;
  readonly publicKeyDer: string;
  readonly sha?: string;
  readonly mgf?: string;
  readonly mgfSha?: string;
  readonly sLen?: number;
  readonly tests: readonly {
    readonly tcId: number;
    readonly comment: string;
    readonly msg: string;
    readonly sig: string;
    readonly result: 'valid' | 'invalid' | 'acceptable';
  }[];
}

/** Says yes or no to a signature. */
type Judge = (data: Uint8Array, signature: Uint8Array) => boolean;

const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  RsassaPkcs1Verify: 'rsa-pkcs1',
  RsassaPssVerify: 'rsa-pss',
  EcdsaVerify: 'ecdsa',
  EddsaVerify: 'ed25519',
  DsaVerify: 'dsa',
};
const HASHES: Readonly<Record<string, SignatureHash>> = {
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
};
const HASH_SIZES: Readonly<Record<SignatureHash, number>> = {
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** What of ours verifies the signatures of a group; empty for what nothing of ours takes. */
function judgesOf(group: Group): ReadonlyMap<string, Judge> {
  const judges = new Map<string, Judge>();
  const scheme = SCHEMES[group.type];
  const hash = scheme === 'ed25519' ? 'sha512' : HASHES[group.sha ?? ''];
  if (scheme === undefined || hash === undefined) return judges;
  if (scheme === 'rsa-pss' && (group.mgfSha !== group.sha || group.sLen !== HASH_SIZES[hash])) {
    return judges; // parameters that no format of ours has
  }
  const spki = Buffer.from(group.publicKeyDer, 'hex');
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  // Ed448, and RSA keys that are bound to parameters.
  const types = ['rsa', 'ec', 'dsa', 'ed25519'];
  if (!types.includes(key.asymmetricKeyType ?? '')) return judges;

  judges.set('isSignatureOf', (data, signature) =>
    isSignatureOf(key, data, { scheme, hash }, signature),
  );
  const read = readPublicKey(spki);
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const isApkCurve = curve === undefined || /^(prime256v1|secp384r1|secp521r1)$/.test(curve);
  const isApkHash = hash === 'sha256' || hash === 'sha512';
  if (read !== undefined && scheme !== 'ed25519' && isApkHash && isApkCurve) {
    const algorithm = { id: 0, name: '', scheme, hash, contentDigest: 'chunked-sha256' } as const;
    judges.set('APK', (data, signature) => isSignatureValid(algorithm, read, data, signature));
  }
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  const isAvb = isApkHash && [2048, 4096, 8192].includes(bits);
  if (scheme === 'rsa-pkcs1' && isAvb && key.asymmetricKeyDetails?.publicExponent === 65537n) {
    const publicKey = avbPublicKey(key);
    const algorithm = `${hash.toUpperCase()}_RSA${bits}` as AvbAlgorithmName;
    judges.set('AVB', (data, signature) =>
      isVbmetaSigned({ algorithm, publicKey, hash }, data, signature),
    );
  }
  return judges;
}

/** As if the data were the header of a vbmeta. */
function isVbmetaSigned(
  by: { algorithm: AvbAlgorithmName; publicKey: Uint8Array; hash: string },
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const digest = new Uint8Array(createHash(by.hash).update(data).digest());
  const parts = { header: data, auxiliaryBlock: new Uint8Array(0), hash: digest, signature };
  try {
    verifySignature({ ...by, ...parts } as unknown as Vbmeta, 'vbmeta');
    return true;
  } catch (error) {
    expect(error).toMatchObject({ name: 'VerificationError' });
    return false;
  }
}

const folder = corpus === undefined ? undefined : corpusPath('sig-wycheproof');
const files =
  folder === undefined ? [] : readdirSync(folder).filter((name) => name.endsWith('.json'));

describe.skipIf(corpus === undefined)('Wycheproof', () => {
  const judged = new Map<string, number>();

  test.each(files)('%s: no wrong verdict', (name) => {
    const { testGroups } = JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as {
      testGroups: readonly Group[];
    };
    const wrong: string[] = [];
    for (const group of testGroups) {
      const judges = judgesOf(group);
      for (const { tcId, comment, msg, sig, result } of group.tests) {
        if (result === 'acceptable') continue;
        for (const [judge, isValid] of judges) {
          const verdict = isValid(Buffer.from(msg, 'hex'), Buffer.from(sig, 'hex'));
          if (verdict !== (result === 'valid')) wrong.push(`${judge} ${tcId} ${comment}`);
          const kind = `${judge} ${group.type}`;
          judged.set(kind, (judged.get(kind) ?? 0) + 1);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('every function had something to judge', () => {
    expect([...judged.keys()]).toEqual(
      expect.arrayContaining([
        'isSignatureOf RsassaPkcs1Verify',
        'isSignatureOf RsassaPssVerify',
        'isSignatureOf EcdsaVerify',
        'isSignatureOf EddsaVerify',
        'APK RsassaPkcs1Verify',
        'APK RsassaPssVerify',
        'APK EcdsaVerify',
        'AVB RsassaPkcs1Verify',
      ]),
    );
    const total = [...judged.values()].reduce((sum, each) => sum + each, 0);
    expect(total).toBeGreaterThan(4000);
  });
});
