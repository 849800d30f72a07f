/** PKCS #7 signatures for tests, valid but for what they are told to do differently. */

import { constants, createHash, sign } from 'node:crypto';
import { TAG } from '../../../../src/formats/der/element.ts';
import {
  encodeValue,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../../../src/formats/der/write.ts';
import {
  HASH_OIDS,
  OID_CONTENT_TYPE,
  OID_DATA,
  OID_MESSAGE_DIGEST,
  OID_RSA,
  OID_SIGNED_DATA,
  type CmsHash,
} from '../../../../src/signing/cms/algorithms.ts';
import { nameOf, utf8String, type Identity } from './certificates.ts';

type Bytes = Uint8Array;

export interface ForgedSigner {
  readonly identity: Identity;
  readonly hash?: CmsHash;
  readonly digestOid?: string;
  readonly digestParameters?: Bytes;
  readonly signatureOid?: string;
  readonly sid?: Bytes;
  readonly version?: bigint;
  /** In the order in which they are signed and written. */
  readonly attributes?: readonly Bytes[];
  /** Changes the signature value. */
  readonly signature?: (valid: Bytes) => Bytes;
  readonly encodeSignature?: (value: Bytes) => Bytes;
  /** Behind the last part. */
  readonly extra?: readonly Bytes[];
}

export interface ForgedParts {
  readonly version?: bigint;
  readonly contentType?: string;
  readonly eContent?: Bytes;
  /** Undefined leaves the list out. */
  readonly certificates?: readonly Bytes[] | undefined;
  readonly extra?: readonly Bytes[];
}

export const sidOf = (name: Bytes = nameOf(utf8String('test')), serialNumber = 7n): Bytes =>
  sequence(name, integer(serialNumber));

export const attribute = (oid: string, ...values: readonly Bytes[]): Bytes =>
  sequence(objectIdentifier(oid), setOf(values));
export const typeAttribute = (type = OID_DATA): Bytes =>
  attribute(OID_CONTENT_TYPE, objectIdentifier(type));
export const digestAttribute = (content: Bytes, hash: CmsHash = 'sha256'): Bytes =>
  attribute(OID_MESSAGE_DIGEST, octetString(createHash(hash).update(content).digest()));

const digestAlgorithm = ({ hash = 'sha256', digestOid, digestParameters }: ForgedSigner): Bytes =>
  sequence(objectIdentifier(digestOid ?? HASH_OIDS[hash]), digestParameters ?? nullValue());

function signerInfo(content: Bytes, forged: ForgedSigner): Bytes {
  const { identity, hash = 'sha256', attributes, signature = (valid) => valid } = forged;
  const input = attributes === undefined ? content : encodeValue(0, true, TAG.SET, ...attributes);
  const key = identity.privateKey;
  const isRsa = key.asymmetricKeyType === 'rsa';
  const padded = isRsa ? { key, padding: constants.RSA_PKCS1_PADDING } : key;
  const value = signature(new Uint8Array(sign(hash, input, padded)));
  return sequence(
    integer(forged.version ?? 1n),
    forged.sid ?? sidOf(),
    digestAlgorithm(forged),
    ...(attributes === undefined ? [] : [encodeValue(2, true, 0, ...attributes)]),
    sequence(objectIdentifier(forged.signatureOid ?? OID_RSA), nullValue()),
    (forged.encodeSignature ?? octetString)(value),
    ...(forged.extra ?? []),
  );
}

export function forgeSignedData(
  content: Bytes,
  signers: readonly ForgedSigner[],
  { certificates, ...parts }: ForgedParts = {},
): Bytes {
  const signedData = sequence(
    integer(parts.version ?? 1n),
    setOf(signers.map(digestAlgorithm)),
    sequence(
      objectIdentifier(parts.contentType ?? OID_DATA),
      ...(parts.eContent === undefined ? [] : [explicit(0, octetString(parts.eContent))]),
    ),
    ...(certificates === undefined ? [] : [encodeValue(2, true, 0, ...certificates)]),
    // As they come: the first one counts on old releases.
    encodeValue(0, true, TAG.SET, ...signers.map((each) => signerInfo(content, each))),
    ...(parts.extra ?? []),
  );
  return sequence(objectIdentifier(OID_SIGNED_DATA), explicit(0, signedData));
}
