/**
 * Writes X.509 certificates: the part that is signed, and the whole.
 *
 * FORMAT: `Certificate { tbsCertificate, signatureAlgorithm, signature }`. The first holds version,
 * serial number, signature algorithm, issuer, validity, subject, public key and extensions.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280, rfc5758 (ECDSA), rfc8410 (Ed25519)
 */

import { createHash } from 'node:crypto';
import { CLASS_UNIVERSAL, readElement, TAG } from '../formats/der/element.ts';
import { fieldsOf } from '../formats/der/fields.ts';
import { bitsOf } from '../formats/der/values.ts';
import {
  bitString,
  boolean,
  encodeValue,
  explicit,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../formats/der/write.ts';
import type { SubjectAttribute } from './x509-subject.ts';

/** ASN.1 text of other kinds than the universal tags that are read. */
const IA5_STRING = 22;

const ATTRIBUTES: Readonly<
  Record<SubjectAttribute['name'], { readonly oid: string; readonly tag: number }>
> = {
  CN: { oid: '2.5.4.3', tag: TAG.UTF8_STRING },
  C: { oid: '2.5.4.6', tag: TAG.PRINTABLE_STRING },
  L: { oid: '2.5.4.7', tag: TAG.UTF8_STRING },
  ST: { oid: '2.5.4.8', tag: TAG.UTF8_STRING },
  O: { oid: '2.5.4.10', tag: TAG.UTF8_STRING },
  OU: { oid: '2.5.4.11', tag: TAG.UTF8_STRING },
  emailAddress: { oid: '1.2.840.113549.1.9.1', tag: IA5_STRING },
};

const OID = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
  codeSigning: '1.3.6.1.5.5.7.3.3',
} as const;

/** How certificates are signed, by the name that we give the algorithm. */
const SIGNATURE_ALGORITHMS = {
  'sha256-rsa': sequence(objectIdentifier('1.2.840.113549.1.1.11'), nullValue()),
  'sha256-ecdsa': sequence(objectIdentifier('1.2.840.10045.4.3.2')),
  'sha384-ecdsa': sequence(objectIdentifier('1.2.840.10045.4.3.3')),
  'sha512-ecdsa': sequence(objectIdentifier('1.2.840.10045.4.3.4')),
  ed25519: sequence(objectIdentifier('1.3.101.112')),
} as const;

export type CertificateAlgorithm = keyof typeof SIGNATURE_ALGORITHMS;

export interface TbsCertificate {
  /** Big-endian, positive. */
  readonly serialNumber: Uint8Array;
  readonly algorithm: CertificateAlgorithm;
  /** Of issuer and subject, which are the same. */
  readonly subject: readonly SubjectAttribute[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /**
   * `code-signing`: the key signs, and signs code only; it issues no certificates. `none` says nothing,
   * as keytool's certificates for Android do.
   */
  readonly extensions: 'none' | 'code-signing';
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const name = (subject: readonly SubjectAttribute[]): Uint8Array =>
  sequence(
    ...subject.map((attribute) => {
      const { oid, tag } = ATTRIBUTES[attribute.name];
      const value = encodeValue(CLASS_UNIVERSAL, false, tag, text(attribute.value));
      return setOf([sequence(objectIdentifier(oid), value)]);
    }),
  );

/** UTCTime until 2049, GeneralizedTime from 2050 on. */
function time(date: Date): Uint8Array {
  // 20191231T235959Z, of which UTCTime leaves the century away.
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  const year = date.getUTCFullYear();
  return year >= 1950 && year < 2050
    ? encodeValue(CLASS_UNIVERSAL, false, TAG.UTC_TIME, text(digits.slice(2)))
    : encodeValue(CLASS_UNIVERSAL, false, TAG.GENERALIZED_TIME, text(digits));
}

const extension = (oid: string, isCritical: boolean, value: Uint8Array): Uint8Array =>
  sequence(objectIdentifier(oid), ...(isCritical ? [boolean(true)] : []), octetString(value));

/** SHA-1 of the key's own bits, as RFC 5280, 4.2.1.2 proposes; it names the key and protects nothing. */
function keyIdentifier(publicKey: Uint8Array): Uint8Array {
  const fields = fieldsOf(readElement(publicKey), 'SubjectPublicKeyInfo');
  fields.next(TAG.SEQUENCE, 'algorithm');
  const { bytes } = bitsOf(fields.next(TAG.BIT_STRING, 'subjectPublicKey'), 'subjectPublicKey');
  return new Uint8Array(createHash('sha1').update(bytes).digest());
}

/** The bit digitalSignature, of which the seven bits behind it are left away. */
const DIGITAL_SIGNATURE = encodeValue(
  CLASS_UNIVERSAL,
  false,
  TAG.BIT_STRING,
  Uint8Array.of(7, 0x80),
);

const codeSigningExtensions = (publicKey: Uint8Array): Uint8Array =>
  sequence(
    extension(OID.basicConstraints, true, sequence()),
    extension(OID.keyUsage, true, DIGITAL_SIGNATURE),
    extension(OID.extendedKeyUsage, false, sequence(objectIdentifier(OID.codeSigning))),
    extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(publicKey))),
  );

/** The part of a certificate that is signed. */
export function encodeTbsCertificate(certificate: TbsCertificate): Uint8Array {
  const { subject, publicKey, notBefore, notAfter, algorithm } = certificate;
  const serial = BigInt(`0x${Buffer.from(certificate.serialNumber).toString('hex')}`);
  return sequence(
    // Version 3 is written as 2.
    explicit(0, integer(2n)),
    integer(serial),
    SIGNATURE_ALGORITHMS[algorithm],
    name(subject),
    sequence(time(notBefore), time(notAfter)),
    name(subject),
    publicKey,
    ...(certificate.extensions === 'none' ? [] : [explicit(3, codeSigningExtensions(publicKey))]),
  );
}

/** A certificate of its parts. */
export const encodeCertificate = (
  tbs: Uint8Array,
  algorithm: CertificateAlgorithm,
  signature: Uint8Array,
): Uint8Array => sequence(tbs, SIGNATURE_ALGORITHMS[algorithm], bitString(signature));
