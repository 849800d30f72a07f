/**
 * `META-INF/*.RSA`, `.DSA` and `.EC`: whether a signature file is signed by the certificate in its
 * block, for a range of Android releases.
 *
 * They disagree: before Android 7 only the first signer of a block counts, and the content type of
 * signed attributes does not; before 4.4 signed attributes protect nothing.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { FormatError } from '../../../core/errors.ts';
import { oidOf, octetsOf } from '../../../formats/der/values.ts';
import type { Element } from '../../../formats/der/element.ts';
import {
  findHash,
  findSignatureAlgorithm,
  formatAlgorithm,
  OID_CONTENT_TYPE,
  OID_MESSAGE_DIGEST,
} from '../../cms/algorithms.ts';
import {
  allowsSignatures,
  certificateKey,
  decodeCertificate,
  hasKnownKey,
  type Certificate,
} from '../../cms/certificate.ts';
import { checkSignature } from '../../cms/check-signature.ts';
import { isSameName } from '../../cms/name.ts';
import {
  decodeSignedData,
  readSignedAttributes,
  signedAttributesInput,
  type SignedData,
  type SignerInfo,
} from '../../cms/signed-data.ts';
import type { IssueLog } from '../verifier/issue.ts';
import { unsupportedLevels } from './api-levels.ts';
import type { SdkRange } from './digest-attributes.ts';

/** Android 4.4: the first release whose signed attributes protect anything. */
const SDK_SIGNED_ATTRIBUTES = 19;
/** Android 7: the first one that looks at all signers of a block, and at content types. */
const SDK_ALL_SIGNERS = 24;

/** A signature that cannot be checked, which ends the verification, unlike one that does not verify. */
class UncheckableError extends Error {}

export interface SignatureBlock {
  /** Entry names. */
  readonly block: string;
  readonly file: string;
  readonly blockBytes: Uint8Array;
  readonly fileBytes: Uint8Array;
}

/** Critical extensions that Java's library knows; with others a certificate is not to be used. */
const KNOWN_EXTENSIONS: ReadonlySet<string> = new Set([
  ...[14, 15, 16, 17, 18, 19, 20, 21, 27, 28, 29, 30, 31, 32, 33, 35, 36, 37, 46, 54].map(
    (arc) => `2.5.29.${arc}`,
  ),
  '2.16.840.1.113730.1.1',
  '1.3.6.1.5.5.7.1.1',
  '1.3.6.1.5.5.7.1.11',
  '1.3.6.1.5.5.7.48.1.5',
]);

function signingCertificate(
  certificates: readonly Certificate[],
  { issuerAndSerialNumber: id }: SignerInfo,
): Certificate {
  const found = certificates.find(
    ({ serialNumber, issuer }) =>
      id !== undefined && serialNumber === id.serialNumber && isSameName(issuer, id.issuer),
  );
  if (found === undefined) {
    throw new UncheckableError('the certificate of the signer is not in the block');
  }
  const unknown = found.extensions.find(
    ({ oid, critical }) => critical && !KNOWN_EXTENSIONS.has(oid),
  );
  if (unknown !== undefined) {
    throw new UncheckableError(`the certificate has the unknown critical extension ${unknown.oid}`);
  }
  if (!allowsSignatures(found)) {
    throw new UncheckableError('the key usage of the certificate does not allow signatures');
  }
  return found;
}

function attributesOf(signedAttributes: Element): ReadonlyMap<string, readonly Element[]> {
  try {
    return readSignedAttributes(signedAttributes);
  } catch (cause) {
    if (!(cause instanceof FormatError) || cause.code === 'duplicate') throw cause;
    throw new UncheckableError('the signed attributes are malformed', { cause });
  }
}

/** The one value of a signed attribute; undefined when the attribute is missing. */
function singleValue(
  attributes: ReadonlyMap<string, readonly Element[]>,
  oid: string,
): Element | undefined {
  const values = attributes.get(oid) ?? [];
  if (values.length > 1) {
    throw new FormatError(
      'der',
      'duplicate',
      `Cannot read DER: attribute ${oid} has several values`,
    );
  }
  return values[0];
}

/** Whether the signed attributes are those of this signature file. */
function attributesMatch(
  signedAttributes: Element,
  signer: SignerInfo,
  contentType: string,
  file: Uint8Array,
  { minSdk, maxSdk }: SdkRange,
): boolean {
  if (minSdk < SDK_SIGNED_ATTRIBUTES) {
    throw new UncheckableError(
      `signed attributes protect nothing on API levels below ${SDK_SIGNED_ATTRIBUTES}`,
    );
  }
  const attributes = attributesOf(signedAttributes);
  if (maxSdk >= SDK_ALL_SIGNERS) {
    const type = singleValue(attributes, OID_CONTENT_TYPE);
    if (type === undefined) {
      throw new UncheckableError('the signed attributes have no content type');
    }
    if (oidOf(type, 'contentType') !== contentType) return false;
  }
  const digest = singleValue(attributes, OID_MESSAGE_DIGEST);
  if (digest === undefined) {
    throw new UncheckableError('the signed attributes have no message digest');
  }
  const hash = findHash(signer.digestAlgorithm);
  if (hash === undefined) throw new UncheckableError('the digest algorithm is unknown');
  const actual = createHash(hash).update(file).digest();
  return actual.equals(octetsOf(digest, 'messageDigest'));
}

/** Those that Java's library, and Android's, know. */
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

function keyOf(certificate: Certificate): KeyObject {
  let key: KeyObject;
  try {
    key = certificateKey(certificate);
  } catch (cause) {
    throw new UncheckableError('the public key of the certificate cannot be used', { cause });
  }
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (namedCurve === undefined || CURVES.has(namedCurve)) return key;
  throw new UncheckableError(`Android has no keys on curve ${namedCurve}`);
}

/** The certificate of a signer whose signature verifies, or undefined. */
function verifySigner(
  signer: SignerInfo,
  { contentType }: SignedData,
  certificates: readonly Certificate[],
  file: Uint8Array,
  range: SdkRange,
): Certificate | undefined {
  const certificate = signingCertificate(certificates, signer);
  const algorithm = findSignatureAlgorithm(signer.signatureAlgorithm);
  const hash = algorithm?.hash ?? findHash(signer.digestAlgorithm);
  if (algorithm === undefined || hash === undefined) {
    throw new UncheckableError('the signature algorithm is unknown');
  }
  const key = keyOf(certificate);
  const { signedAttributes } = signer;
  let input = file;
  if (signedAttributes !== undefined) {
    if (!attributesMatch(signedAttributes, signer, contentType, file, range)) return undefined;
    input = signedAttributesInput(signedAttributes);
  }
  const check = checkSignature(key, { scheme: algorithm.scheme, hash }, input, signer.signature);
  if (check === 'malformed') {
    throw new UncheckableError('the signature value is not one of the key of the certificate');
  }
  return check === 'valid' ? certificate : undefined;
}

/** Reads a certificate with its key: one whose key is malformed is malformed itself. */
function readCertificate(encoded: Uint8Array): Certificate {
  const certificate = decodeCertificate(encoded, 'ber');
  if (hasKnownKey(certificate)) certificateKey(certificate);
  return certificate;
}

/** A certificate and those that issued it, as far as the block holds them. */
function chainOf(certificates: readonly Certificate[], leaf: Certificate): readonly Uint8Array[] {
  const rest = certificates.filter((each) => each !== leaf);
  const chain = [leaf];
  for (let last = leaf; !isSameName(last.subject, last.issuer);) {
    const { issuer } = last;
    const index = rest.findIndex(({ subject }) => isSameName(subject, issuer));
    const [next] = index === -1 ? [] : rest.splice(index, 1);
    if (next === undefined) break;
    chain.push(next);
    last = next;
  }
  return chain.map(({ encoded }) => encoded);
}

function verifySigners(
  { block, file, blockBytes, fileBytes }: SignatureBlock,
  range: SdkRange,
  log: IssueLog,
): readonly Uint8Array[] | undefined {
  const signedData = decodeSignedData(blockBytes, 'ber');
  const [first] = signedData.signers;
  if (first === undefined) {
    log.error('JAR_SIG_NO_SIGNERS', { block });
    return undefined;
  }
  if (signedData.signers.some(({ issuerAndSerialNumber: id }) => id === undefined)) {
    throw new FormatError(
      'der',
      'unsupported',
      'A signer is not named by issuer and serial number',
    );
  }
  const candidates = range.minSdk < SDK_ALL_SIGNERS ? [first] : signedData.signers;
  const certificates = signedData.certificates.map(readCertificate);
  let verified: Certificate | undefined;
  for (const signer of candidates) {
    const { digestAlgorithm, signatureAlgorithm } = signer;
    const apiLevels = unsupportedLevels(
      digestAlgorithm,
      signatureAlgorithm,
      range.minSdk,
      range.maxSdk,
    );
    if (apiLevels !== undefined) {
      log.error('JAR_SIG_UNSUPPORTED_SIG_ALG', {
        block,
        digestOid: digestAlgorithm,
        signatureOid: signatureAlgorithm,
        apiLevels,
        digest: formatAlgorithm(digestAlgorithm),
        signature: formatAlgorithm(signatureAlgorithm),
      });
      return undefined;
    }
    // All of them are looked at: one that cannot be checked spoils the block.
    const certificate = verifySigner(signer, signedData, certificates, fileBytes, range);
    verified ??= certificate;
  }
  if (verified === undefined) {
    log.error('JAR_SIG_DID_NOT_VERIFY', { block, file });
    return undefined;
  }
  return chainOf(certificates, verified);
}

/**
 * Verifies a signature file against its block.
 *
 * @returns The certificate that signed and its issuers, as they are in the block; undefined when an
 *   error was logged.
 */
export function verifySignatureBlock(
  entry: SignatureBlock,
  range: SdkRange,
  log: IssueLog,
): readonly Uint8Array[] | undefined {
  const { block, file } = entry;
  try {
    return verifySigners(entry, range, log);
  } catch (error) {
    if (error instanceof UncheckableError) {
      log.error('JAR_SIG_VERIFY_EXCEPTION', { block, file, reason: error.message });
    } else if (error instanceof FormatError) {
      log.error('JAR_SIG_PARSE_EXCEPTION', { block, reason: error.message });
    } else {
      throw error;
    }
    return undefined;
  }
}
