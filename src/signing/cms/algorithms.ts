/** Object identifiers of CMS, and what the algorithms among them stand for. */

export const OID_DATA = '1.2.840.113549.1.7.1';
export const OID_SIGNED_DATA = '1.2.840.113549.1.7.2';
export const OID_CONTENT_TYPE = '1.2.840.113549.1.9.3';
export const OID_MESSAGE_DIGEST = '1.2.840.113549.1.9.4';

export const OID_RSA = '1.2.840.113549.1.1.1';
export const OID_DSA = '1.2.840.10040.4.1';
export const OID_EC_PUBLIC_KEY = '1.2.840.10045.2.1';

export const OID_DSA_SHA256 = '2.16.840.1.101.3.4.3.2';

export type CmsHash = 'md5' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512';
export type CmsScheme = 'rsa' | 'dsa' | 'ecdsa';

export const HASH_OIDS: Readonly<Record<CmsHash, string>> = {
  md5: '1.2.840.113549.2.5',
  sha1: '1.3.14.3.2.26',
  sha224: '2.16.840.1.101.3.4.2.4',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
};

const HASH_NAMES: Readonly<Record<CmsHash, string>> = {
  md5: 'MD5',
  sha1: 'SHA-1',
  sha224: 'SHA-224',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
};

const hashes = new Map(Object.entries(HASH_OIDS).map(([hash, oid]) => [oid, hash as CmsHash]));

/** The hash of a digest algorithm, or undefined for one that nobody signs with. */
export const findHash = (oid: string): CmsHash | undefined => hashes.get(oid);

interface SignatureAlgorithm {
  readonly scheme: CmsScheme;
  /** Undefined where the digest algorithm of the signer says it. */
  readonly hash: CmsHash | undefined;
}

/** The OIDs of a scheme, by the hash that each one names. */
const SIGNATURE_OIDS = {
  rsa: [
    [undefined, OID_RSA],
    ['md5', '1.2.840.113549.1.1.4'],
    ['sha1', '1.2.840.113549.1.1.5'],
    ['sha224', '1.2.840.113549.1.1.14'],
    ['sha256', '1.2.840.113549.1.1.11'],
    ['sha384', '1.2.840.113549.1.1.12'],
    ['sha512', '1.2.840.113549.1.1.13'],
  ],
  dsa: [
    [undefined, OID_DSA],
    ['sha1', '1.2.840.10040.4.3'],
    ['sha224', '2.16.840.1.101.3.4.3.1'],
    ['sha256', OID_DSA_SHA256],
    ['sha384', '2.16.840.1.101.3.4.3.3'],
    ['sha512', '2.16.840.1.101.3.4.3.4'],
  ],
  ecdsa: [
    [undefined, OID_EC_PUBLIC_KEY],
    ['sha1', '1.2.840.10045.4.1'],
    ['sha224', '1.2.840.10045.4.3.1'],
    ['sha256', '1.2.840.10045.4.3.2'],
    ['sha384', '1.2.840.10045.4.3.3'],
    ['sha512', '1.2.840.10045.4.3.4'],
  ],
} as const satisfies Record<CmsScheme, readonly (readonly [CmsHash | undefined, string])[]>;

const signatures = new Map<string, SignatureAlgorithm>(
  Object.entries(SIGNATURE_OIDS).flatMap(([scheme, oids]) =>
    oids.map(([hash, oid]) => [oid, { scheme: scheme as CmsScheme, hash }] as const),
  ),
);

/** The scheme of a signature algorithm, or undefined for one that is not of ours. */
export const findSignatureAlgorithm = (oid: string): SignatureAlgorithm | undefined =>
  signatures.get(oid);

/** The OID that names scheme and hash at once: `ecdsa-with-SHA256`. */
export function combinedOid(scheme: CmsScheme, hash: CmsHash): string {
  const found = SIGNATURE_OIDS[scheme].find(([each]) => each === hash);
  if (found === undefined) throw new TypeError(`${scheme} has no identifier with ${hash}`);
  return found[1];
}

/** How messages name an algorithm: `SHA-256`, `SHA-1 with DSA`, `RSA`; or its OID. */
export function formatAlgorithm(oid: string): string {
  const hash = findHash(oid);
  if (hash !== undefined) return HASH_NAMES[hash];
  const signature = findSignatureAlgorithm(oid);
  if (signature === undefined) return oid;
  const scheme = signature.scheme.toUpperCase();
  return signature.hash === undefined ? scheme : `${HASH_NAMES[signature.hash]} with ${scheme}`;
}
