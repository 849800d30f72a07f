/** Signs data that stays elsewhere: PKCS #7 without attributes, so that the same data gives the same bytes. */

import { UsageError } from '../../core/errors.ts';
import { reencode } from '../../formats/der/reencode.ts';
import { signChecked, type SignatureHash, type SignaturePurpose, type Signer } from '../signer.ts';
import {
  combinedOid,
  HASH_OIDS,
  OID_DSA,
  OID_DSA_SHA256,
  OID_EC_PUBLIC_KEY,
  OID_RSA,
} from './algorithms.ts';
import { certificateKey, decodeCertificate } from './certificate.ts';
import { encodeSignedData, type AlgorithmIdentifier } from './signed-data.ts';

/**
 * How the algorithms are named.
 *
 * - `apksig`: as apksigner writes `META-INF/*.RSA`: ECDSA by the type of the key, everything with NULL.
 * - `openssl`: as `openssl smime -sign` and `fsverity sign` write them, which is what Linux reads.
 */
export type SignedDataForm = 'apksig' | 'openssl';

export interface DetachedSignatureOptions {
  readonly signer: Signer;
  /** X.509, the signer's own first. */
  readonly certificates: readonly [Uint8Array, ...Uint8Array[]];
  readonly hash: SignatureHash;
  readonly form: SignedDataForm;
  /** Whether the certificates go into the signature. */
  readonly includeCertificates: boolean;
  readonly purpose: SignaturePurpose;
}

function signatureAlgorithm(
  type: string | undefined,
  hash: SignatureHash,
  form: SignedDataForm,
): AlgorithmIdentifier & { readonly scheme: 'rsa-pkcs1' | 'ecdsa' | 'dsa' } {
  if (type === 'rsa') return { scheme: 'rsa-pkcs1', oid: OID_RSA, parameters: 'null' };
  if (type === 'ec') {
    return form === 'apksig'
      ? { scheme: 'ecdsa', oid: OID_EC_PUBLIC_KEY, parameters: 'null' }
      : { scheme: 'ecdsa', oid: combinedOid('ecdsa', hash), parameters: 'none' };
  }
  if (type === 'dsa' && form === 'apksig') {
    // Android 5.0 knows SHA-256 only by the name that includes it.
    const oid = hash === 'sha256' ? OID_DSA_SHA256 : OID_DSA;
    return { scheme: 'dsa', oid, parameters: 'null' };
  }
  throw new UsageError('key', `Cannot sign with a key of type ${type}: PKCS #7 takes RSA or EC`, {
    hint: 'Use an RSA or EC key and its certificate',
  });
}

/**
 * Signs `content` and writes the signature as PKCS #7, DER.
 *
 * @throws {UsageError} `key` when the certificate is not the signer's, or its key cannot sign so.
 * @throws {FormatError} `der` when the certificate is none.
 */
export async function signDetached(
  content: Uint8Array,
  options: DetachedSignatureOptions,
): Promise<Uint8Array> {
  const { signer, certificates, hash, form } = options;
  // Old APKs go on being signed with their certificates, which need not be DER.
  const certificate = decodeCertificate(certificates[0], form === 'apksig' ? 'ber' : 'der');
  if (!certificateKey(certificate).equals(signer.publicKey)) {
    throw new UsageError('key', 'Cannot sign: the certificate is not of the signing key', {
      hint: 'Give the certificate of the key that signs',
    });
  }
  const algorithm = signatureAlgorithm(signer.publicKey.asymmetricKeyType, hash, form);
  const signature = await signChecked(signer, content, {
    hash,
    scheme: algorithm.scheme,
    purpose: options.purpose,
  });
  return encodeSignedData({
    digestAlgorithm: { oid: HASH_OIDS[hash], parameters: 'null' },
    signatureAlgorithm: algorithm,
    issuer: reencode(certificate.issuer),
    serialNumber: certificate.serialNumber,
    signature,
    certificates: options.includeCertificates ? certificates : [],
  });
}
