/**
 * Source stamps: who distributes the APK. A stamp that does not hold is a warning, as it is for Android;
 * who depends on stamps asks for one.
 */

import { sha256, toHex } from '../../../core/digest.ts';
import { FormatError, VerificationError } from '../../../core/errors.ts';
import {
  findSignatureAlgorithm,
  formatSignatureAlgorithm,
  type SignatureAlgorithm,
} from '../../../formats/apk/algorithms.ts';
import { cursor, type Cursor } from '../../../formats/apk/length-prefixed.ts';
import { lineageNodes } from '../../../formats/apk/lineage.ts';
import type { AlgorithmSignature, SdkRange } from '../../../formats/apk/signer-block.ts';
import type { PlacedPair } from '../../../formats/apk/signing-block.ts';
import {
  decodeSourceStamp,
  encodeStampDigests,
  STAMP_ROTATION_ATTRIBUTE_ID,
  STAMP_TIME_ATTRIBUTE_ID,
  type SourceStamp,
  type StampDigests,
  type StampedScheme,
} from '../../../formats/apk/source-stamp.ts';
import { verifyLineage } from '../lineage.ts';
import {
  certificateSpki,
  readAnyCertificate,
  readAnyCertificateKey,
  type ReadCertificate,
} from './certificate.ts';
import type { IssueLog } from './issue.ts';
import { judgeSignature } from './signature.ts';
import { signaturesToVerify } from './signers.ts';

export interface StampResult {
  readonly verified: boolean;
  readonly log: IssueLog;
  readonly certificate: ReadCertificate | undefined;
  /** X.509 DER, oldest first; empty when the stamp's key was never rotated. */
  readonly lineage: readonly Uint8Array[];
  /** Seconds since 1970. */
  readonly time: bigint | undefined;
}

/** From which release on Android's own cryptography knows an algorithm. */
function firstSdk({ scheme }: SignatureAlgorithm): number {
  if (scheme === 'rsa-pss') return 23;
  return scheme === 'ecdsa' ? 11 : 1;
}

const isSupported = (signature: {
  readonly algorithm: SignatureAlgorithm | undefined;
}): signature is { readonly algorithm: SignatureAlgorithm; readonly bytes: Uint8Array } =>
  signature.algorithm !== undefined;

function verifySignatures(
  signatures: readonly AlgorithmSignature[],
  data: Uint8Array,
  spki: Uint8Array,
  sdk: SdkRange,
  log: IssueLog,
): void {
  const known = signatures.map(({ algorithm: id, signature: bytes }) => {
    const algorithm = findSignatureAlgorithm(id);
    if (algorithm === undefined) {
      log.info('SOURCE_STAMP_UNKNOWN_SIG_ALGORITHM', { id: formatSignatureAlgorithm(id) });
    }
    return { algorithm, bytes };
  });
  const supported = known.filter(isSupported);
  if (supported.length === 0) {
    log.warning('SOURCE_STAMP_NO_SIGNATURE');
    return;
  }
  const chosen = signaturesToVerify(supported, sdk, firstSdk);
  if ('reason' in chosen) {
    const names = supported.map(({ algorithm }) => algorithm.name).join(', ');
    const { reason } = chosen;
    log.warning('SOURCE_STAMP_NO_SUPPORTED_SIGNATURE', { signatures: names, reason });
    return;
  }
  for (const { algorithm, bytes } of chosen) {
    const finding = judgeSignature(algorithm, spki, data, bytes);
    if (finding.kind === 'valid') continue;
    const { name } = algorithm;
    if (finding.kind === 'mismatch') {
      log.warning('SOURCE_STAMP_DID_NOT_VERIFY', { algorithm: name });
    } else {
      const { reason } = finding;
      log.warning('SOURCE_STAMP_VERIFY_EXCEPTION', { algorithm: name, reason });
    }
    return;
  }
}

function readLineage(
  value: Uint8Array,
  certificate: Uint8Array,
  log: IssueLog,
): readonly Uint8Array[] {
  try {
    const nodes = verifyLineage(lineageNodes(value), readAnyCertificateKey);
    const certificates = nodes.map((node) => node.certificate);
    if (!Buffer.from(certificates.at(-1) ?? new Uint8Array(0)).equals(certificate)) {
      log.warning('SOURCE_STAMP_POR_CERT_MISMATCH');
    }
    return certificates;
  } catch (error) {
    if (error instanceof FormatError) {
      if (error.code === 'bad-version') log.warning('SOURCE_STAMP_POR_CERT_MISMATCH');
      else log.warning('SOURCE_STAMP_MALFORMED_LINEAGE');
    } else if (error instanceof VerificationError) {
      if (error.code === 'unsupported') log.warning('SOURCE_STAMP_MALFORMED_LINEAGE');
      else log.warning('SOURCE_STAMP_POR_DID_NOT_VERIFY');
    } else throw error;
    return [];
  }
}

interface Attributes {
  readonly lineage: readonly Uint8Array[];
  readonly time: bigint | undefined;
}

/** @throws {FormatError} when there is no list of attributes. */
function readAttributes(encoded: Uint8Array, certificate: Uint8Array, log: IssueLog): Attributes {
  const records = cursor(encoded).nested('attributes');
  let lineage: readonly Uint8Array[] = [];
  let hasLineage = false;
  let time: bigint | undefined;
  const read = (element: Cursor): void => {
    const id = element.u32('attribute id');
    if (id === STAMP_ROTATION_ATTRIBUTE_ID) {
      // Each costs many signature checks, and one says all.
      if (hasLineage) throw new FormatError('apk', 'duplicate', 'The stamp has two lineages');
      hasLineage = true;
      lineage = readLineage(element.rest(), certificate, log);
    } else if (id === STAMP_TIME_ATTRIBUTE_ID) {
      const value = element.bytes(8, 'time');
      const seconds = new DataView(value.buffer, value.byteOffset).getBigInt64(0, true);
      if (seconds > 0n) time = seconds;
      else log.warning('SOURCE_STAMP_INVALID_TIMESTAMP', { timestamp: String(seconds) });
    } else log.info('SOURCE_STAMP_UNKNOWN_ATTRIBUTE', { id: `0x${id.toString(16)}` });
  };
  for (let number = 1; records.left > 0; number++) {
    try {
      read(records.nested('attribute'));
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      log.warning('SOURCE_STAMP_MALFORMED_ATTRIBUTE', { number });
      break;
    }
  }
  return { lineage, time };
}

/**
 * Verifies a stamp.
 *
 * @param certificateDigest The content of the entry `stamp-cert-sha256`.
 * @param digests What the schemes signed that the APK is verified by.
 * @param sdk Releases that would verify the stamp.
 */
export function verifyStamp(
  { value, offset }: PlacedPair,
  certificateDigest: Uint8Array,
  digests: ReadonlyMap<StampedScheme, StampDigests>,
  sdk: SdkRange,
  log: IssueLog,
): StampResult {
  const refused = { verified: false, log, certificate: undefined, lineage: [], time: undefined };
  let stamp: SourceStamp;
  try {
    stamp = decodeSourceStamp(value, offset);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.warning('SOURCE_STAMP_MALFORMED_SIGNATURE', { reason: error.message });
    return refused;
  }
  const certificate = readAnyCertificate(stamp.certificate);
  if ('problem' in certificate) {
    log.warning('SOURCE_STAMP_MALFORMED_CERTIFICATE', { reason: certificate.problem });
    return refused;
  }
  const blockDigest = sha256(certificate.bytes);
  if (!Buffer.from(blockDigest).equals(certificateDigest)) {
    log.warning('SOURCE_STAMP_CERTIFICATE_MISMATCH_BETWEEN_SIGNATURE_BLOCK_AND_APK', {
      block: toHex(blockDigest),
      apk: toHex(certificateDigest.subarray(0, 64)),
    });
    return { ...refused, certificate };
  }
  const spki = certificateSpki(certificate);
  for (const [scheme, of] of [...digests].sort(([a], [b]) => a - b)) {
    // Of two parts for one scheme, readers take the last.
    const signed = stamp.schemes.findLast((each) => each.scheme === scheme);
    if (signed === undefined) log.warning('SOURCE_STAMP_NO_SIGNATURE');
    else verifySignatures(signed.signatures, encodeStampDigests(of), spki, sdk, log);
    if (log.has('warning')) return { ...refused, certificate };
  }
  if (stamp.attributes === undefined) {
    return { ...refused, verified: true, certificate };
  }
  const { encoded, signatures } = stamp.attributes;
  verifySignatures(signatures, encoded, spki, sdk, log);
  if (log.has('warning')) return { ...refused, certificate };
  try {
    const attributes = readAttributes(encoded, certificate.bytes, log);
    return { verified: !log.has('warning'), log, certificate, ...attributes };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.warning('SOURCE_STAMP_MALFORMED_SIGNATURE', { reason: error.message });
    return { ...refused, certificate };
  }
}
