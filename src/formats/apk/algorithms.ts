/**
 * Signature algorithms of APK Signature Schemes v2, v3 and v4.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v2#signature-algorithm-ids
 */

/** Over which digest of the content an algorithm signs. */
export type ContentDigestAlgorithm = 'chunked-sha256' | 'chunked-sha512' | 'verity-sha256';

export interface SignatureAlgorithm {
  readonly id: number;
  readonly name: string;
  readonly hash: 'sha256' | 'sha512';
  readonly scheme: 'rsa-pss' | 'rsa-pkcs1' | 'ecdsa' | 'dsa';
  readonly contentDigest: ContentDigestAlgorithm;
}

export const SIGNATURE_RSA_PSS_SHA256 = 0x0101;
export const SIGNATURE_RSA_PSS_SHA512 = 0x0102;
export const SIGNATURE_RSA_PKCS1_SHA256 = 0x0103;
export const SIGNATURE_RSA_PKCS1_SHA512 = 0x0104;
export const SIGNATURE_ECDSA_SHA256 = 0x0201;
export const SIGNATURE_ECDSA_SHA512 = 0x0202;
export const SIGNATURE_DSA_SHA256 = 0x0301;
export const SIGNATURE_VERITY_RSA_PKCS1_SHA256 = 0x0421;
export const SIGNATURE_VERITY_ECDSA_SHA256 = 0x0423;
export const SIGNATURE_VERITY_DSA_SHA256 = 0x0425;

const all: readonly SignatureAlgorithm[] = (
  [
    [SIGNATURE_RSA_PSS_SHA256, 'rsa-pss', 'sha256', 'chunked-sha256'],
    [SIGNATURE_RSA_PSS_SHA512, 'rsa-pss', 'sha512', 'chunked-sha512'],
    [SIGNATURE_RSA_PKCS1_SHA256, 'rsa-pkcs1', 'sha256', 'chunked-sha256'],
    [SIGNATURE_RSA_PKCS1_SHA512, 'rsa-pkcs1', 'sha512', 'chunked-sha512'],
    [SIGNATURE_ECDSA_SHA256, 'ecdsa', 'sha256', 'chunked-sha256'],
    [SIGNATURE_ECDSA_SHA512, 'ecdsa', 'sha512', 'chunked-sha512'],
    [SIGNATURE_DSA_SHA256, 'dsa', 'sha256', 'chunked-sha256'],
    [SIGNATURE_VERITY_RSA_PKCS1_SHA256, 'rsa-pkcs1', 'sha256', 'verity-sha256'],
    [SIGNATURE_VERITY_ECDSA_SHA256, 'ecdsa', 'sha256', 'verity-sha256'],
    [SIGNATURE_VERITY_DSA_SHA256, 'dsa', 'sha256', 'verity-sha256'],
  ] as const
).map(([id, scheme, hash, contentDigest]) => ({
  id,
  scheme,
  hash,
  contentDigest,
  name: `${scheme}-${hash}${contentDigest === 'verity-sha256' ? '-verity' : ''}`,
}));

const byId = new Map(all.map((algorithm) => [algorithm.id, algorithm]));

/** The algorithm with this id, or undefined for one that nobody has defined. */
export const findSignatureAlgorithm = (id: number): SignatureAlgorithm | undefined => byId.get(id);

/** How errors and dumps name an id: `0x0103 rsa-pkcs1-sha256`. */
export function formatSignatureAlgorithm(id: number): string {
  const name = byId.get(id)?.name;
  return `0x${id.toString(16).padStart(4, '0')}${name === undefined ? '' : ` ${name}`}`;
}
