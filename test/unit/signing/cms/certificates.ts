/** Certificates for tests, put together value by value so that each can be wrong in one place. */

import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { encodeValue } from '../../../../src/formats/der/write.ts';
import {
  bitString,
  boolean,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../../../src/formats/der/write.ts';
import { TAG } from '../../../../src/formats/der/element.ts';
import { keySigner, type Signer } from '../../../../src/signing/signer.ts';

export interface TestExtension {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

export interface CertificateParts {
  readonly subject?: string;
  readonly issuer?: Uint8Array;
  readonly serialNumber?: bigint;
  readonly publicKeyInfo?: Uint8Array;
  readonly extensions?: readonly TestExtension[];
  readonly notBefore?: Uint8Array;
  /** Of the unsigned part, whose signature algorithm must be that of the signed one. */
  readonly outerAlgorithm?: Uint8Array;
}

const COMMON_NAME = '2.5.4.3';

export const utf8String = (text: string): Uint8Array =>
  encodeValue(0, false, TAG.UTF8_STRING, Buffer.from(text, 'utf8'));
export const printableString = (text: string): Uint8Array =>
  encodeValue(0, false, TAG.PRINTABLE_STRING, Buffer.from(text, 'latin1'));

/** A `Name` of one attribute. */
export const nameOf = (value: Uint8Array, oid = COMMON_NAME): Uint8Array =>
  sequence(setOf([sequence(objectIdentifier(oid), value)]));

/** A time of the universal class. */
export const time = (text: string, tag: number = TAG.UTC_TIME): Uint8Array =>
  encodeValue(0, false, tag, Buffer.from(text, 'latin1'));

const extension = ({ oid, critical = false, value }: TestExtension): Uint8Array =>
  sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value));

export const spkiOf = (key: KeyObject): Uint8Array =>
  Uint8Array.from(key.export({ type: 'spki', format: 'der' }));

/** A certificate that is signed by `key`, with the public key of the same unless told. */
function certificateFor(
  key: Signer,
  privateKey: KeyObject,
  parts: CertificateParts = {},
): Uint8Array {
  const subject = nameOf(utf8String(parts.subject ?? 'test'));
  const algorithm = sequence(objectIdentifier('1.2.840.113549.1.1.11'), nullValue());
  const extensions = parts.extensions ?? [];
  const tbs = sequence(
    explicit(0, integer(2n)),
    integer(parts.serialNumber ?? 7n),
    algorithm,
    parts.issuer ?? subject,
    sequence(parts.notBefore ?? time('200101000000Z'), time('491231235959Z')),
    subject,
    parts.publicKeyInfo ?? spkiOf(key.publicKey),
    ...(extensions.length === 0 ? [] : [explicit(3, sequence(...extensions.map(extension)))]),
  );
  return sequence(
    tbs,
    parts.outerAlgorithm ?? algorithm,
    bitString(sign('sha256', tbs, privateKey)),
  );
}

export interface Identity {
  readonly signer: Signer;
  readonly privateKey: KeyObject;
  certificate(parts?: CertificateParts): Uint8Array;
}

function identityOf(privateKey: KeyObject): Identity {
  const signer = keySigner(privateKey);
  return {
    signer,
    privateKey,
    certificate: (parts = {}) => certificateFor(signer, privateKey, parts),
  };
}

export const rsaIdentity = (modulusLength = 1024): Identity =>
  identityOf(generateKeyPairSync('rsa', { modulusLength }).privateKey);

export const ecIdentity = (namedCurve = 'P-256'): Identity =>
  identityOf(generateKeyPairSync('ec', { namedCurve }).privateKey);

export const dsaIdentity = (): Identity =>
  identityOf(generateKeyPairSync('dsa', { modulusLength: 1024, divisorLength: 160 }).privateKey);

/** The same value with one more byte in its outermost length than it needs: BER and not DER. */
export function withLongLength(value: Uint8Array): Uint8Array {
  const first = value[1] ?? 0;
  const size = first < 0x80 ? 0 : first & 0x7f;
  const digits = size === 0 ? Uint8Array.of(first) : value.subarray(2, 2 + size);
  return new Uint8Array(
    Buffer.concat([
      value.subarray(0, 1),
      Uint8Array.of(0x80 | (digits.length + 1), 0),
      digits,
      value.subarray(2 + size),
    ]),
  );
}
