/**
 * One signer of scheme v2, v3 or v3.1: its signatures over the signed data, and what that data says.
 * The digests of the content are compared later.
 *
 * Nothing is read of the signed data before a signature over it holds.
 */

import { toHex } from '../../../core/digest.ts';
import { FormatError } from '../../../core/errors.ts';
import {
  findSignatureAlgorithm,
  formatSignatureAlgorithm,
  type SignatureAlgorithm,
} from '../../../formats/apk/algorithms.ts';
import type { Cursor } from '../../../formats/apk/length-prefixed.ts';
import { cursor } from '../../../formats/apk/length-prefixed.ts';
import type { LineageNode } from '../../../formats/apk/lineage.ts';
import type { AlgorithmDigest, SdkRange } from '../../../formats/apk/signer-block.ts';
import { certificateSpki, readAnyCertificate, type ReadCertificate } from './certificate.ts';
import type { IssueLog } from './issue.ts';
import { judgeSignature } from './signature.ts';

/** Newer releases of Android than this know all algorithms there are. */
const SDK_N = 24;
const SDK_P = 28;

/** Far more records than anybody writes: each costs a finding. */
const MAX_RECORDS = 1024;
/** Those who issued a certificate are a few. */
const MAX_CERTIFICATES = 64;

export interface SchemeSigner {
  readonly index: number;
  readonly log: IssueLog;
  /** Releases the signer is for. Undefined in v2. */
  readonly sdk: SdkRange | undefined;
  /** As far as they could be read; the first is the signer's. */
  readonly certificates: readonly ReadCertificate[];
  readonly digests: readonly AlgorithmDigest[];
  readonly attributeIds: readonly number[];
  /** Whose signatures hold. */
  readonly verified: readonly SignatureAlgorithm[];
  /** Empty when it has none. */
  readonly lineage: readonly LineageNode[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };
export type SignerDraft = Mutable<SchemeSigner>;

/** What v2 and v3 do differently. */
export interface SignerRules {
  readonly prefix: 'V2' | 'V3';
  /** Of the releases that would verify the signer; v3 signers bring their own. */
  readonly sdk: SdkRange;
  /**
   * Reads an attribute.
   *
   * @throws {FormatError} when its value is too short for what it should say.
   */
  attribute(signer: SignerDraft, id: number, value: Cursor): void;
}

interface Signature {
  readonly id: number;
  readonly algorithm: SignatureAlgorithm | undefined;
  readonly bytes: Uint8Array;
}

/** The element of a sequence that is malformed. */
interface BadRecord {
  /** Counted from 1. */
  readonly number: number;
  readonly reason: string;
}

/** Reads each element of a sequence; a `FormatError` ends it, and is told. */
function readRecords(
  records: Cursor,
  field: string,
  read: (element: Cursor) => void,
): BadRecord | undefined {
  for (let number = 1; records.left > 0; number++) {
    try {
      if (number > MAX_RECORDS) return { number, reason: `more than ${MAX_RECORDS} are there` };
      read(records.nested(field));
    } catch (error) {
      if (error instanceof FormatError) return { number, reason: error.message };
      throw error;
    }
  }
  return undefined;
}

/** The first release that verifies signatures of an algorithm in these schemes. */
const firstSdk = ({ contentDigest }: SignatureAlgorithm): number =>
  contentDigest === 'verity-sha256' ? SDK_P : SDK_N;

const STRENGTH = { 'chunked-sha256': 0, 'verity-sha256': 1, 'chunked-sha512': 2 } as const;

/**
 * The signatures that at least one release in the range would verify: each takes the strongest it knows.
 *
 * @param firstSdkOf From which release on an algorithm is known.
 * @returns the reason when the oldest release knows none.
 */
export function signaturesToVerify<S extends { readonly algorithm: SignatureAlgorithm }>(
  signatures: readonly S[],
  sdk: SdkRange,
  firstSdkOf: (algorithm: SignatureAlgorithm) => number = firstSdk,
): readonly S[] | { readonly reason: string } {
  const best = new Map<number, S>();
  for (const signature of signatures) {
    const first = firstSdkOf(signature.algorithm);
    if (first > sdk.max) continue;
    const other = best.get(first);
    const strength = STRENGTH[signature.algorithm.contentDigest];
    if (other === undefined || strength > STRENGTH[other.algorithm.contentDigest]) {
      best.set(first, signature);
    }
  }
  if (best.size === 0) return { reason: 'none is of a known algorithm' };
  const oldest = Math.min(...best.keys());
  if (sdk.min < oldest) {
    return { reason: `they are known from SDK version ${oldest} on, not in version ${sdk.min}` };
  }
  return [...best.values()].sort((a, b) => a.algorithm.id - b.algorithm.id);
}

const isSupported = (
  signature: Signature,
): signature is Signature & { readonly algorithm: SignatureAlgorithm } =>
  signature.algorithm !== undefined;

function readSignatures(records: Cursor, { prefix }: SignerRules, log: IssueLog) {
  const signatures: Signature[] = [];
  const bad = readRecords(records, 'signature', (element) => {
    const id = element.u32('signature algorithm');
    const bytes = element.prefixed('signature');
    const algorithm = findSignatureAlgorithm(id);
    signatures.push({ id, algorithm, bytes });
    if (algorithm === undefined) {
      log.warning(`${prefix}_SIG_UNKNOWN_SIG_ALGORITHM`, { id: formatSignatureAlgorithm(id) });
    }
  });
  if (bad !== undefined) log.error(`${prefix}_SIG_MALFORMED_SIGNATURE`, { ...bad });
  else if (signatures.length === 0) log.error(`${prefix}_SIG_NO_SIGNATURES`);
  return signatures;
}

function verifySignatures(
  signer: SignerDraft,
  rules: SignerRules,
  signatures: readonly Signature[],
  publicKey: Uint8Array,
  signedData: Uint8Array,
): void {
  const { log } = signer;
  const { prefix } = rules;
  const chosen = signaturesToVerify(signatures.filter(isSupported), signer.sdk ?? rules.sdk);
  if ('reason' in chosen) {
    if (prefix === 'V3') log.error('V3_SIG_NO_SUPPORTED_SIGNATURES');
    else log.error('V2_SIG_NO_SUPPORTED_SIGNATURES', { reason: chosen.reason });
    return;
  }
  for (const { algorithm, bytes } of chosen) {
    const finding = judgeSignature(algorithm, publicKey, signedData, bytes);
    const { name } = algorithm;
    if (finding.kind === 'valid') {
      signer.verified.push(algorithm);
      continue;
    }
    if (finding.kind === 'mismatch') log.error(`${prefix}_SIG_DID_NOT_VERIFY`, { algorithm: name });
    else if (finding.kind === 'bad-key') {
      log.error(`${prefix}_SIG_MALFORMED_PUBLIC_KEY`, { reason: finding.reason });
    } else {
      log.error(`${prefix}_SIG_VERIFY_EXCEPTION`, { algorithm: name, reason: finding.reason });
    }
    return;
  }
}

function readCertificates(
  signer: SignerDraft,
  { prefix }: SignerRules,
  records: Cursor,
  publicKey: Uint8Array,
): void {
  const { log, certificates } = signer;
  // A certificate that is cut off makes the signer malformed, so that error is not caught here.
  for (let number = 1; records.left > 0; number++) {
    const read = readAnyCertificate(records.prefixed('certificate'));
    if ('problem' in read || number > MAX_CERTIFICATES) {
      const reason = 'problem' in read ? read.problem : `more than ${MAX_CERTIFICATES} are there`;
      log.error(`${prefix}_SIG_MALFORMED_CERTIFICATE`, { number, reason });
      return;
    }
    certificates.push(read);
  }
  const [own] = certificates;
  if (own === undefined) {
    log.error(`${prefix}_SIG_NO_CERTIFICATES`);
    return;
  }
  const spki = certificateSpki(own);
  if (!Buffer.from(spki).equals(publicKey)) {
    log.error(`${prefix}_SIG_PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD`, {
      certificateKey: toHex(spki),
      recordKey: toHex(publicKey),
    });
  }
}

function readDigests(
  signer: SignerDraft,
  { prefix }: SignerRules,
  records: Cursor,
  signatures: readonly Signature[],
): void {
  const { log, digests } = signer;
  const bad = readRecords(records, 'digest', (element) => {
    const algorithm = element.u32('digest algorithm');
    digests.push({ algorithm, digest: element.prefixed('digest') });
  });
  if (bad !== undefined) {
    log.error(`${prefix}_SIG_MALFORMED_DIGEST`, { ...bad });
    return;
  }
  const claimed = signatures.map(({ id }) => formatSignatureAlgorithm(id)).join(', ');
  const signed = digests.map(({ algorithm }) => formatSignatureAlgorithm(algorithm)).join(', ');
  if (claimed !== signed) {
    log.error(`${prefix}_SIG_SIG_ALG_MISMATCH_BETWEEN_SIGNATURES_AND_DIGESTS_RECORDS`, {
      signatures: claimed,
      digests: signed,
    });
  }
}

function readAttributes(signer: SignerDraft, rules: SignerRules, records: Cursor): void {
  const bad = readRecords(records, 'attribute', (element) => {
    const id = element.u32('attribute id');
    signer.attributeIds.push(id);
    rules.attribute(signer, id, element);
  });
  if (bad !== undefined) {
    signer.log.error(`${rules.prefix}_SIG_MALFORMED_ADDITIONAL_ATTRIBUTE`, { ...bad });
  }
}

/** Versions are signed numbers: huge ones are negative. */
const readSdk = (from: Cursor): SdkRange => ({
  min: from.u32('minSdk') | 0,
  max: from.u32('maxSdk') | 0,
});

function checkSdk(signer: SignerDraft, signedData: SdkRange): void {
  const { log, sdk } = signer;
  if (sdk === undefined) return;
  if (sdk.min !== signedData.min) {
    log.error('V3_MIN_SDK_VERSION_MISMATCH_BETWEEN_SIGNER_AND_SIGNED_DATA_RECORD', {
      signer: sdk.min,
      signedData: signedData.min,
    });
  }
  if (sdk.max !== signedData.max) {
    log.error('V3_MAX_SDK_VERSION_MISMATCH_BETWEEN_SIGNER_AND_SIGNED_DATA_RECORD', {
      signer: sdk.max,
      signedData: signedData.max,
    });
  }
}

/**
 * Verifies a signer; what is wrong is in its log.
 *
 * @throws {FormatError} when it is cut off: nobody can tell where the next signer starts.
 */
export function verifySigner(block: Cursor, signer: SignerDraft, rules: SignerRules): void {
  const { log } = signer;
  // Behind its length.
  const signedDataOffset = block.offset + 4;
  const signedData = block.prefixed('signed data');
  if (rules.prefix === 'V3') {
    const sdk = readSdk(block);
    signer.sdk = sdk;
    if (sdk.min < 0 || sdk.min > sdk.max) log.error('V3_SIG_INVALID_SDK_VERSIONS', { ...sdk });
  }
  const signatureRecords = block.nested('signatures');
  const publicKey = block.prefixed('public key');

  // Each step stands on the one before it: an error ends the signer.
  const before = (): number => log.issues.filter(({ severity }) => severity === 'error').length;
  let errors = before();
  const failed = (): boolean => before() > errors;
  const signatures = readSignatures(signatureRecords, rules, log);
  if (failed()) return;
  verifySignatures(signer, rules, signatures, publicKey, signedData);
  if (failed()) return;

  const data = cursor(signedData, signedDataOffset);
  const digestRecords = data.nested('digests');
  const certificateRecords = data.nested('certificates');
  if (rules.prefix === 'V3') checkSdk(signer, readSdk(data));
  const attributeRecords = data.nested('attributes');
  errors = before();
  readCertificates(signer, rules, certificateRecords, publicKey);
  if (failed()) return;
  readDigests(signer, rules, digestRecords, signatures);
  if (failed()) return;
  readAttributes(signer, rules, attributeRecords);
}

/** A signer about which nothing is known yet. */
export const draftSigner = (index: number, log: IssueLog): SignerDraft => ({
  index,
  log,
  sdk: undefined,
  certificates: [],
  digests: [],
  attributeIds: [],
  verified: [],
  lineage: [],
});
