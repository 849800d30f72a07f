/**
 * `ContentInfo` with `SignedData`, version 1: PKCS #7, which CMS reads as its own.
 *
 * FORMAT:
 * ContentInfo      SEQUENCE { contentType, [0] EXPLICIT SignedData }
 * SignedData       SEQUENCE { version, SET OF digestAlgorithm, encapContentInfo,
 *                    [0] IMPLICIT SET OF certificate OPTIONAL, [1] IMPLICIT crls OPTIONAL,
 *                    SET OF SignerInfo }
 * SignerInfo       SEQUENCE { version, sid, digestAlgorithm, [0] IMPLICIT signedAttrs OPTIONAL,
 *                    signatureAlgorithm, OCTET STRING signature, [1] IMPLICIT unsignedAttrs OPTIONAL }
 *
 * @see https://www.rfc-editor.org/rfc/rfc2315
 * @see https://www.rfc-editor.org/rfc/rfc5652#section-5
 */

import {
  childrenOf,
  derError,
  readElement,
  readFirstElement,
  TAG,
  type Element,
  type EncodingRules,
} from '../../formats/der/element.ts';
import { explicitValue, fieldsOf } from '../../formats/der/fields.ts';
import { expectForm, expectNull, integerOf, octetsOf, oidOf } from '../../formats/der/values.ts';
import {
  explicit,
  implicitSetOf,
  integer,
  nullValue,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../formats/der/write.ts';
import { OID_DATA, OID_SIGNED_DATA } from './algorithms.ts';

/** By whom a signature is. */
export interface IssuerAndSerialNumber {
  /** A `Name`. */
  readonly issuer: Element;
  readonly serialNumber: bigint;
}

export interface SignerInfo {
  /** Undefined for signers that are named by the id of their key. */
  readonly issuerAndSerialNumber: IssuerAndSerialNumber | undefined;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
  /** OIDs. */
  readonly digestAlgorithm: string;
  readonly signatureAlgorithm: string;
  /** `[0] IMPLICIT SET OF Attribute`. */
  readonly signedAttributes: Element | undefined;
  readonly signature: Uint8Array;
}

export interface SignedData {
  /** OIDs. */
  readonly digestAlgorithms: readonly string[];
  /** OID. */
  readonly contentType: string;
  /** Undefined when what is signed is elsewhere. */
  readonly content: Uint8Array | undefined;
  /** As they are in the input. */
  readonly certificates: readonly Uint8Array[];
  readonly signers: readonly SignerInfo[];
}

/** Those who sign are a few; each costs a signature to check. */
const MAX_SIGNERS = 64;
const MAX_CERTIFICATES = 256;

function partsOf(list: Element, maximum: number, field: string): readonly Element[] {
  const parts = childrenOf(list);
  if (parts.length <= maximum) return parts;
  throw derError('too-large', `${field} has ${parts.length} parts, ${maximum} are allowed`, {
    offset: list.offset,
    field,
  });
}

/** Android wants a number, whatever it is. */
function expectVersion(element: Element, known: readonly number[], field: string): void {
  const version = integerOf(element, field);
  const isKnown =
    element.rules === 'ber'
      ? BigInt.asIntN(32, version) === version
      : known.some((each) => BigInt(each) === version);
  if (isKnown) return;
  throw derError('bad-version', `${field} is ${version}`, { offset: element.offset, field });
}

function algorithmOf(element: Element, field: string): string {
  const fields = fieldsOf(element, field);
  const oid = oidOf(fields.any('algorithm'), `${field}.algorithm`);
  if (fields.peek() !== undefined) {
    const parameters = fields.any('parameters');
    // None of the algorithms has any; what else stands here would be a second form of one signature.
    if (element.rules === 'der') expectNull(parameters, `${field}.parameters`);
  }
  fields.end();
  return oid;
}

function signerInfoOf(element: Element): SignerInfo {
  const fields = fieldsOf(element, 'SignerInfo');
  const version = fields.any('version');
  const keyId = fields.context(0, 'sid', false);
  expectVersion(version, [keyId === undefined ? 1 : 3], 'SignerInfo.version');
  let issuerAndSerialNumber: IssuerAndSerialNumber | undefined;
  if (keyId === undefined) {
    const name = fieldsOf(fields.any('sid'), 'IssuerAndSerialNumber');
    const issuer = name.any('issuer');
    const serialNumber = integerOf(name.any('serialNumber'), 'SignerInfo.serialNumber');
    issuerAndSerialNumber = { issuer, serialNumber };
    name.end();
  }
  const digestAlgorithm = algorithmOf(fields.any('digestAlgorithm'), 'digestAlgorithm');
  const signedAttributes = fields.context(0, 'signedAttrs', true);
  const signatureAlgorithm = algorithmOf(fields.any('signatureAlgorithm'), 'signatureAlgorithm');
  const signature = octetsOf(fields.any('signature'), 'SignerInfo.signature');
  fields.context(1, 'unsignedAttrs', true);
  fields.end();
  return {
    issuerAndSerialNumber,
    subjectKeyIdentifier: keyId?.contents,
    digestAlgorithm,
    signatureAlgorithm,
    signedAttributes,
    signature,
  };
}

/**
 * Takes a signature apart.
 *
 * @param rules `ber` reads what Android reads in APKs, and passes over bytes that follow.
 * @throws {FormatError} `der` when it is no `SignedData`.
 */
export function decodeSignedData(bytes: Uint8Array, rules: EncodingRules = 'der'): SignedData {
  const outer = rules === 'der' ? readElement(bytes) : readFirstElement(bytes, rules);
  const contentInfo = fieldsOf(outer, 'ContentInfo');
  const type = oidOf(contentInfo.any('contentType'), 'ContentInfo.contentType');
  if (type !== OID_SIGNED_DATA) {
    throw derError('bad-magic', `content of type ${type} is no signed data`, {
      offset: outer.contentsOffset,
    });
  }
  const tagged = contentInfo.context(0, 'content', true);
  if (tagged === undefined) throw derError('truncated', 'ContentInfo has no content');
  contentInfo.end();

  const fields = fieldsOf(explicitValue(tagged, 'ContentInfo.content'), 'SignedData');
  expectVersion(fields.any('version'), [1, 3], 'SignedData.version');
  const digestAlgorithms = partsOf(
    fields.next(TAG.SET, 'digestAlgorithms'),
    MAX_SIGNERS,
    'digestAlgorithms',
  ).map((each) => algorithmOf(each, 'digestAlgorithms'));
  const encapsulated = fieldsOf(fields.any('encapContentInfo'), 'EncapsulatedContentInfo');
  const contentType = oidOf(encapsulated.any('eContentType'), 'eContentType');
  const content = encapsulated.context(0, 'eContent', true);
  encapsulated.end();
  const certificates = fields.context(0, 'certificates', true);
  fields.context(1, 'crls', true);
  const signers = fields.next(TAG.SET, 'signerInfos');
  fields.end();
  return {
    digestAlgorithms,
    contentType,
    content: content && octetsOf(explicitValue(content, 'eContent'), 'eContent'),
    certificates: certificates
      ? partsOf(certificates, MAX_CERTIFICATES, 'certificates').map(({ encoded }) => encoded)
      : [],
    signers: partsOf(signers, MAX_SIGNERS, 'signerInfos').map(signerInfoOf),
  };
}

/**
 * The signed attributes of a signer, by their OIDs: the values of each, and what is signed in place of
 * the content.
 *
 * @throws {FormatError} `der` when one is there twice.
 */
export function readSignedAttributes(element: Element): ReadonlyMap<string, readonly Element[]> {
  expectForm(element, true, 'signedAttrs');
  const attributes = new Map<string, readonly Element[]>();
  for (const each of childrenOf(element)) {
    const fields = fieldsOf(each, 'Attribute');
    const oid = oidOf(fields.any('attrType'), 'attrType');
    const values = childrenOf(fields.next(TAG.SET, 'attrValues'));
    fields.end();
    if (attributes.has(oid)) {
      throw derError('duplicate', `attribute ${oid} is there twice`, { offset: each.offset });
    }
    attributes.set(oid, values);
  }
  return attributes;
}

/**
 * What a signature with attributes is over: the attributes as they stand, under the tag of a SET. Who
 * wrote them in another order than DER's has signed that order.
 */
export function signedAttributesInput(element: Element): Uint8Array {
  const input = Uint8Array.from(element.encoded);
  input[0] = 0x20 | TAG.SET;
  return input;
}

/** An algorithm with its parameters: none at all, or NULL. */
export interface AlgorithmIdentifier {
  readonly oid: string;
  readonly parameters: 'none' | 'null';
}

export interface SignedDataFields {
  readonly digestAlgorithm: AlgorithmIdentifier;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  /** DER of the signer's issuer. */
  readonly issuer: Uint8Array;
  readonly serialNumber: bigint;
  readonly signature: Uint8Array;
  /** Left out when empty. */
  readonly certificates: readonly Uint8Array[];
}

const VERSION_1 = 1n;

const algorithmIdentifier = ({ oid, parameters }: AlgorithmIdentifier): Uint8Array =>
  sequence(objectIdentifier(oid), ...(parameters === 'null' ? [nullValue()] : []));

/** Puts a signature over content that is elsewhere together: one signer, no attributes. */
export function encodeSignedData(fields: SignedDataFields): Uint8Array {
  const digestAlgorithm = algorithmIdentifier(fields.digestAlgorithm);
  const signerInfo = sequence(
    integer(VERSION_1),
    sequence(fields.issuer, integer(fields.serialNumber)),
    digestAlgorithm,
    algorithmIdentifier(fields.signatureAlgorithm),
    octetString(fields.signature),
  );
  const { certificates } = fields;
  const signedData = sequence(
    integer(VERSION_1),
    setOf([digestAlgorithm]),
    sequence(objectIdentifier(OID_DATA)),
    ...(certificates.length === 0 ? [] : [implicitSetOf(0, certificates)]),
    setOf([signerInfo]),
  );
  return sequence(objectIdentifier(OID_SIGNED_DATA), explicit(0, signedData));
}
