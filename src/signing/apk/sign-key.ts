/**
 * The keys that an APK is signed with, and which algorithms a key signs with: those that apksig takes,
 * so that RSA signatures are always PKCS#1 v1.5 and can be made again.
 */

import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import {
  findSignatureAlgorithm,
  SIGNATURE_DSA_SHA256,
  SIGNATURE_ECDSA_SHA256,
  SIGNATURE_ECDSA_SHA512,
  SIGNATURE_RSA_PKCS1_SHA256,
  SIGNATURE_RSA_PKCS1_SHA512,
  SIGNATURE_VERITY_DSA_SHA256,
  SIGNATURE_VERITY_ECDSA_SHA256,
  SIGNATURE_VERITY_RSA_PKCS1_SHA256,
  type SignatureAlgorithm,
} from '../../formats/apk/algorithms.ts';
import type { LineageNode } from '../../formats/apk/lineage.ts';
import { signChecked, type SignaturePurpose, type Signer } from '../signer.ts';
import { readCertificateKey } from '../x509.ts';
import { exportSpki } from './public-key.ts';

/** One of those who sign an APK. */
export interface ApkSigner {
  readonly signer: Signer;
  /** X.509 DER: of the signer's key, then any that it is issued by. */
  readonly certificates: readonly Uint8Array[];
  /** What the files of a JAR signature are called. Default `CERT`. */
  readonly name?: string;
  /** The first release that this signer signs for, at least 28; left out, all that no other does. */
  readonly minSdk?: number;
  /** How this signer came to sign; only with `minSdk`. */
  readonly lineage?: readonly LineageNode[];
}

/** A signer whose key and certificate belong together. */
export interface SigningKey extends ApkSigner {
  /** The first of the certificates. */
  readonly certificate: Uint8Array;
  /** SubjectPublicKeyInfo DER. */
  readonly publicKey: Uint8Array;
}

/** @throws {UsageError} `key` when the first certificate is not of the signer's key. */
export function signingKey(signer: ApkSigner): SigningKey {
  const [certificate] = signer.certificates;
  if (certificate === undefined) {
    throw new UsageError('key', 'Cannot sign APK: the key has no certificate', {
      hint: 'Name its certificate with --cert',
    });
  }
  const publicKey = exportSpki(signer.signer.publicKey);
  if (!equalBytes(exportSpki(readCertificateKey(certificate)), publicKey)) {
    throw new UsageError('key', 'Cannot sign APK: the certificate is not of the signing key');
  }
  return { ...signer, certificate, publicKey };
}

/** Keys above these need a hash as strong. */
const MAX_SHA256_MODULUS_BITS = 3072;
/** Larger ones are refused by those who verify. */
const MAX_MODULUS_BITS = 16384;

const CURVE_ALGORITHMS: ReadonlyMap<string, readonly [number, number?]> = new Map([
  ['prime256v1', [SIGNATURE_ECDSA_SHA256, SIGNATURE_VERITY_ECDSA_SHA256]],
  ['secp384r1', [SIGNATURE_ECDSA_SHA512]],
  ['secp521r1', [SIGNATURE_ECDSA_SHA512]],
]);

/** The ids for a key: over chunks, and over a Merkle tree where there is one. */
function algorithmIds(key: KeyObject): readonly [number, number?] | undefined {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  if (type === 'dsa') return [SIGNATURE_DSA_SHA256, SIGNATURE_VERITY_DSA_SHA256];
  if (type === 'ec') return CURVE_ALGORITHMS.get(namedCurve ?? '');
  if (type !== 'rsa' || modulusLength === undefined || modulusLength > MAX_MODULUS_BITS) {
    return undefined;
  }
  return modulusLength <= MAX_SHA256_MODULUS_BITS
    ? [SIGNATURE_RSA_PKCS1_SHA256, SIGNATURE_VERITY_RSA_PKCS1_SHA256]
    : [SIGNATURE_RSA_PKCS1_SHA512];
}

/**
 * The algorithms that a key signs with in v2, v3 and v4: one over chunks, and if `verity`, one over a
 * Merkle tree where the key has one.
 *
 * @throws {UsageError} `key` for keys that no scheme knows.
 */
export function signatureAlgorithms(
  key: KeyObject,
  verity: boolean,
): readonly [SignatureAlgorithm, ...SignatureAlgorithm[]] {
  const [chunked, tree] = algorithmIds(key) ?? [];
  const first = chunked === undefined ? undefined : findSignatureAlgorithm(chunked);
  if (first === undefined) {
    const type = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType;
    throw new UsageError('key', `Cannot sign APK with a key of type ${type}: unsupported`, {
      hint: 'Use RSA of at most 16384 bits, or EC on P-256, P-384 or P-521',
    });
  }
  const second = verity && tree !== undefined ? findSignatureAlgorithm(tree) : undefined;
  return second === undefined ? [first] : [first, second];
}

/** Signs with an algorithm of APK signatures, and checks what came back. */
export const signWith = (
  key: SigningKey,
  algorithm: SignatureAlgorithm,
  data: Uint8Array,
  purpose: SignaturePurpose,
): Promise<Uint8Array> =>
  signChecked(key.signer, data, { hash: algorithm.hash, scheme: algorithm.scheme, purpose });
