/**
 * X.509 certificates as signature formats need them: whose they are, who issued them, their key. Not
 * all of those that sign APKs are DER, so none of them is ever written anew: a certificate is its bytes.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5280
 */

import { createPublicKey, type KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { FormatError } from '../../core/errors.ts';
import {
  childrenOf,
  derError,
  readElement,
  TAG,
  type Element,
  type EncodingRules,
} from '../../formats/der/element.ts';
import { explicitValue, fieldsOf, type Fields } from '../../formats/der/fields.ts';
import { reencode } from '../../formats/der/reencode.ts';
import {
  bitsOf,
  booleanOf,
  integerOf,
  octetsOf,
  oidOf,
  smallIntegerOf,
} from '../../formats/der/values.ts';
import { bitString, integer, sequence } from '../../formats/der/write.ts';
import { OID_DSA, OID_EC_PUBLIC_KEY, OID_RSA } from './algorithms.ts';
import { checkCriticalExtension, checkName, checkValidity } from './certificate-fields.ts';

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

export interface Certificate {
  /** As it was given. */
  readonly encoded: Uint8Array;
  readonly serialNumber: bigint;
  /** A `Name`. */
  readonly issuer: Element;
  /** A `Name`. */
  readonly subject: Element;
  /** A `SubjectPublicKeyInfo`. */
  readonly publicKeyInfo: Element;
  readonly extensions: readonly Extension[];
}

const VERSION_3 = 2;

function readExtensions(tbs: Fields): readonly Extension[] {
  const tagged = tbs.context(3, 'extensions', true);
  if (tagged === undefined) return [];
  const list = explicitValue(tagged, 'extensions');
  const seen = new Set<string>();
  return childrenOf(list).map((each) => {
    const fields = fieldsOf(each, 'Extension');
    const oid = oidOf(fields.any('extnID'), 'extnID');
    if (seen.has(oid)) {
      throw derError('duplicate', `extension ${oid} is there twice`, { offset: each.offset });
    }
    seen.add(oid);
    const flag = fields.optional(TAG.BOOLEAN, 'critical');
    const critical = flag !== undefined && booleanOf(flag, 'critical');
    const value = octetsOf(fields.any('extnValue'), 'extnValue');
    fields.end();
    if (critical) checkCriticalExtension(oid, readElement(value, each.rules));
    return { oid, critical, value };
  });
}

/**
 * RFC 5280, 4.1.1.2: the algorithm outside is not signed, and must be the one inside. Android compares
 * no parameters.
 */
function isSameAlgorithm(inside: Element, outside: Element): boolean {
  if (inside.rules === 'der') return equalBytes(inside.encoded, outside.encoded);
  const [a, b] = [inside, outside].map((each) =>
    oidOf(fieldsOf(each, 'AlgorithmIdentifier').any('algorithm'), 'algorithm'),
  );
  return a === b;
}

/**
 * Takes a certificate apart.
 *
 * @param rules `ber` for what Android accepts; everything that is new is `der`.
 * @throws {FormatError} `der` when it is not built as RFC 5280 says.
 */
export function decodeCertificate(encoded: Uint8Array, rules: EncodingRules = 'der'): Certificate {
  const outer = fieldsOf(readElement(encoded, rules), 'Certificate');
  const tbs = fieldsOf(outer.any('tbsCertificate'), 'TBSCertificate');
  const signatureAlgorithm = outer.next(TAG.SEQUENCE, 'signatureAlgorithm');
  outer.next(TAG.BIT_STRING, 'signatureValue');
  outer.end();

  const versionTag = tbs.context(0, 'version', true);
  const version =
    versionTag === undefined ? 0 : smallIntegerOf(explicitValue(versionTag, 'version'), 'version');
  const serialNumber = integerOf(tbs.any('serialNumber'), 'serialNumber');
  const signature = tbs.next(TAG.SEQUENCE, 'signature');
  const issuer = tbs.any('issuer');
  if (checkName(issuer, 'issuer') === 0) {
    throw derError('bad-value', 'the issuer has no name', { offset: issuer.offset });
  }
  checkValidity(tbs.any('validity'));
  const subject = tbs.any('subject');
  checkName(subject, 'subject');
  const publicKeyInfo = tbs.next(TAG.SEQUENCE, 'subjectPublicKeyInfo');
  tbs.context(1, 'issuerUniqueID', false);
  tbs.context(2, 'subjectUniqueID', false);
  const extensions = readExtensions(tbs);
  tbs.end();
  if (!isSameAlgorithm(signature, signatureAlgorithm)) {
    throw derError('bad-value', 'the certificate names two signature algorithms', {
      offset: signatureAlgorithm.offset,
    });
  }
  if (version > VERSION_3 || (extensions.length > 0 && version < VERSION_3)) {
    throw new FormatError(
      'der',
      'bad-version',
      `Cannot read certificate: version ${version + 1} with ${extensions.length} extensions`,
    );
  }
  return { encoded, serialNumber, issuer, subject, publicKeyInfo, extensions };
}

/** Of keys that can sign. */
const KEY_OIDS: ReadonlySet<string> = new Set([OID_RSA, OID_DSA, OID_EC_PUBLIC_KEY]);

function keyAlgorithm(publicKeyInfo: Element): string {
  const info = fieldsOf(publicKeyInfo, 'SubjectPublicKeyInfo');
  const algorithm = fieldsOf(info.any('algorithm'), 'AlgorithmIdentifier');
  bitsOf(info.any('subjectPublicKey'), 'subjectPublicKey');
  info.end();
  return oidOf(algorithm.any('algorithm'), 'algorithm');
}

/** Whether the key is of a kind that somebody signs with: only then can anything be said about it. */
export const hasKnownKey = ({ publicKeyInfo }: Certificate): boolean =>
  KEY_OIDS.has(keyAlgorithm(publicKeyInfo));

/**
 * Some old certificates have an RSA modulus without the zero byte that makes it positive. Android
 * takes it for the number that was meant.
 */
function withPositiveModulus(publicKeyInfo: Element): Uint8Array {
  if (keyAlgorithm(publicKeyInfo) !== OID_RSA) return reencode(publicKeyInfo);
  const info = fieldsOf(publicKeyInfo, 'SubjectPublicKeyInfo');
  const algorithm = info.any('algorithm');
  const { bytes } = bitsOf(info.any('subjectPublicKey'), 'subjectPublicKey');
  const key = fieldsOf(readElement(bytes, publicKeyInfo.rules), 'RSAPublicKey');
  const number = key.any('modulus');
  const modulus = integerOf(number, 'modulus');
  if (modulus >= 0n) return reencode(publicKeyInfo);
  const positive = BigInt.asUintN(number.contents.length * 8, modulus);
  const exponent = integerOf(key.any('publicExponent'), 'publicExponent');
  return sequence(reencode(algorithm), bitString(sequence(integer(positive), integer(exponent))));
}

/**
 * The public key of a certificate.
 *
 * @throws {FormatError} `der` when it is none that node:crypto knows.
 */
export function certificateKey(certificate: Certificate): KeyObject {
  const key = Buffer.from(withPositiveModulus(certificate.publicKeyInfo));
  try {
    return createPublicKey({ key, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new FormatError('der', 'unsupported', 'Cannot read the public key of a certificate', {
      cause,
    });
  }
}

const OID_KEY_USAGE = '2.5.29.15';

/**
 * Whether the certificate may sign data: it says so, or says nothing about its use. What it says in a
 * way that nobody can read counts only if it is critical.
 *
 * @throws {FormatError} `der` when a critical key usage is malformed.
 */
export function allowsSignatures(certificate: Certificate): boolean {
  const usage = certificate.extensions.find(({ oid }) => oid === OID_KEY_USAGE);
  if (usage === undefined) return true;
  try {
    const { bytes } = bitsOf(readElement(usage.value, certificate.issuer.rules), 'keyUsage');
    // digitalSignature and nonRepudiation are the first two bits.
    return ((bytes[0] ?? 0) & 0xc0) !== 0;
  } catch (error) {
    if (error instanceof FormatError && !usage.critical) return true;
    throw error;
  }
}
