/**
 * Verifies PKCS #7 over data that is elsewhere, strictly: DER, current algorithms, and a signer whose
 * certificate is trusted itself. What Linux takes for dm-verity and fs-verity, and less.
 */

import { createHash } from 'node:crypto';
import { FormatError, VerificationError } from '../../core/errors.ts';
import { assertDer } from '../../formats/der/check.ts';
import { childrenOf, readElement, type Element } from '../../formats/der/element.ts';
import { octetsOf, oidOf } from '../../formats/der/values.ts';
import { equalBytes } from '../../core/digest.ts';
import {
  findHash,
  findSignatureAlgorithm,
  formatAlgorithm,
  OID_CONTENT_TYPE,
  OID_DATA,
  OID_MESSAGE_DIGEST,
  type CmsHash,
} from './algorithms.ts';
import { certificateKey, decodeCertificate, type Certificate } from './certificate.ts';
import { checkSignature } from './check-signature.ts';
import { isSameName } from './name.ts';
import {
  decodeSignedData,
  readSignedAttributes,
  signedAttributesInput,
  type SignerInfo,
} from './signed-data.ts';

export interface VerifyDetachedOptions {
  /** X.509, DER: those who may sign. */
  readonly trusted: readonly Uint8Array[];
  /** The link of the chain of trust that a refusal names. */
  readonly link: string;
}

/** Of which nobody has found two of the same digest. */
const STRONG_HASHES: ReadonlySet<CmsHash> = new Set(['sha256', 'sha384', 'sha512']);

const OID_SUBJECT_KEY_IDENTIFIER = '2.5.29.14';

function isOf(certificate: Certificate, signer: SignerInfo): boolean {
  const { issuerAndSerialNumber: id, subjectKeyIdentifier: keyId } = signer;
  if (id !== undefined) {
    return (
      certificate.serialNumber === id.serialNumber && isSameName(certificate.issuer, id.issuer)
    );
  }
  const extension = certificate.extensions.find(({ oid }) => oid === OID_SUBJECT_KEY_IDENTIFIER);
  if (extension === undefined || keyId === undefined) return false;
  return equalBytes(octetsOf(readElement(extension.value), 'subjectKeyIdentifier'), keyId);
}

function oneValue(attributes: ReadonlyMap<string, readonly Element[]>, oid: string): Element {
  const [value, ...more] = attributes.get(oid) ?? [];
  if (value !== undefined && more.length === 0) return value;
  throw new FormatError(
    'der',
    'bad-value',
    `Cannot read PKCS #7: signed attribute ${oid} does not have one value`,
  );
}

/** DER writes a set in order, and an order that is not its own would be a second form of one signature. */
function expectOrder(signedAttributes: Element): void {
  const parts = childrenOf(signedAttributes).map(({ encoded }) => encoded);
  const isOrdered = parts.every(
    (part, index) => index === 0 || Buffer.compare(parts[index - 1] ?? part, part) < 0,
  );
  if (isOrdered) return;
  throw new FormatError(
    'der',
    'bad-value',
    'Cannot read PKCS #7: signed attributes are not in order',
    {
      offset: signedAttributes.offset,
    },
  );
}

/** What a signer signed: the content, or attributes with its digest. */
function signedInput(
  signer: SignerInfo,
  hash: CmsHash,
  content: Uint8Array,
): Uint8Array | undefined {
  const { signedAttributes } = signer;
  if (signedAttributes === undefined) return content;
  expectOrder(signedAttributes);
  const attributes = readSignedAttributes(signedAttributes);
  const type = oidOf(oneValue(attributes, OID_CONTENT_TYPE), 'contentType');
  const digest = octetsOf(oneValue(attributes, OID_MESSAGE_DIGEST), 'messageDigest');
  const isSame = equalBytes(createHash(hash).update(content).digest(), digest);
  return isSame && type === OID_DATA ? signedAttributesInput(signedAttributes) : undefined;
}

function verifySigner(
  signer: SignerInfo,
  certificate: Certificate,
  content: Uint8Array,
  link: string,
): void {
  const hash = findHash(signer.digestAlgorithm);
  const algorithm = findSignatureAlgorithm(signer.signatureAlgorithm);
  if (hash === undefined || algorithm === undefined || !STRONG_HASHES.has(hash)) {
    throw new VerificationError(
      link,
      'unsupported-algorithm',
      `Cannot trust signature: it uses ${formatAlgorithm(signer.digestAlgorithm)} with ${formatAlgorithm(signer.signatureAlgorithm)}`,
      { expected: 'SHA-256, SHA-384 or SHA-512 with RSA or ECDSA' },
    );
  }
  if (algorithm.hash !== undefined && algorithm.hash !== hash) {
    throw new FormatError(
      'der',
      'bad-value',
      `Cannot read PKCS #7: it names ${formatAlgorithm(signer.digestAlgorithm)}, and signs with ${formatAlgorithm(signer.signatureAlgorithm)}`,
    );
  }
  const input = signedInput(signer, hash, content);
  const check =
    input === undefined
      ? 'invalid'
      : checkSignature(
          certificateKey(certificate),
          { scheme: algorithm.scheme, hash },
          input,
          signer.signature,
        );
  if (check === 'valid') return;
  throw new VerificationError(
    link,
    'bad-signature',
    'Cannot trust signature: it is not over this data, or not by the key of its certificate',
  );
}

/**
 * Verifies a signature over `content`. Each signer who is trusted must have signed it; others, of whom
 * nothing is known, are passed over.
 *
 * @returns The certificate of the first trusted signer.
 * @throws {FormatError} `der` when the signature, or a trusted certificate, is not DER.
 * @throws {VerificationError} when nobody who is trusted signed, or the signature is not over this.
 */
export function verifyDetached(
  content: Uint8Array,
  signature: Uint8Array,
  { trusted, link }: VerifyDetachedOptions,
): Uint8Array {
  assertDer(signature);
  const signedData = decodeSignedData(signature);
  if (signedData.contentType !== OID_DATA || signedData.content !== undefined) {
    throw new FormatError(
      'der',
      'unsupported',
      'Cannot read PKCS #7: it is not a signature over plain data that is elsewhere',
    );
  }
  const certificates = trusted.map((each) => decodeCertificate(each));
  let first: Certificate | undefined;
  for (const signer of signedData.signers) {
    if (!signedData.digestAlgorithms.includes(signer.digestAlgorithm)) {
      throw new FormatError(
        'der',
        'bad-value',
        'Cannot read PKCS #7: the digest algorithm of a signer is not in its list',
      );
    }
    const certificate = certificates.find((each) => isOf(each, signer));
    if (certificate === undefined) continue;
    verifySigner(signer, certificate, content, link);
    first ??= certificate;
  }
  if (first !== undefined) return first.encoded;
  throw new VerificationError(
    link,
    'untrusted-signer',
    `Cannot trust signature: none of its ${signedData.signers.length} signers is among the ${trusted.length} trusted certificates`,
    { hint: 'Trust the certificate that signs, itself: issuers of it are not looked at' },
  );
}
