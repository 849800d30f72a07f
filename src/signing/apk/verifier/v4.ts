/**
 * APK Signature Scheme v4: a signature, in a file of its own, over the Merkle tree of the whole APK.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v4#verification
 */

import { toHex } from '../../../core/digest.ts';
import { FormatError } from '../../../core/errors.ts';
import {
  findSignatureAlgorithm,
  formatSignatureAlgorithm,
  type SignatureAlgorithm,
} from '../../../formats/apk/algorithms.ts';
import {
  encodeV4SignedData,
  readIdsig,
  type HashingInfo,
  type Idsig,
  type SigningInfo,
} from '../../../formats/apk/idsig.ts';
import { streamOf, type ByteSource } from '../../../io/byte-source.ts';
import type { HashTree } from '../../../verity/hash-tree.ts';
import { certificateSpki, readAnyCertificate, type ReadCertificate } from './certificate.ts';
import type { IssueLog } from './issue.ts';
import { judgeSignature } from './signature.ts';

export interface V4Signer {
  readonly index: number;
  readonly log: IssueLog;
  readonly certificate: ReadCertificate | undefined;
  /** The content digest that the signature is about. */
  readonly apkDigest: Uint8Array;
  readonly verified: SignatureAlgorithm | undefined;
}

export interface V4Result {
  readonly log: IssueLog;
  readonly signers: readonly V4Signer[];
  readonly rootHash: Uint8Array | undefined;
  /** Whether the idsig holds a tree, all of which was compared. */
  readonly hasTree: boolean;
}

function verifyInfo(
  info: SigningInfo,
  hashing: HashingInfo,
  apkSize: number,
  log: IssueLog,
): Pick<V4Signer, 'certificate' | 'verified'> {
  const nothing = { certificate: undefined, verified: undefined };
  if (info.signature.length === 0 && info.certificate.length === 0) {
    log.error('V4_SIG_NO_SIGNATURES');
    return nothing;
  }
  const algorithm = findSignatureAlgorithm(info.signatureAlgorithm);
  if (algorithm === undefined) {
    const id = formatSignatureAlgorithm(info.signatureAlgorithm);
    log.error('V4_SIG_UNKNOWN_SIG_ALGORITHM', { id });
    return nothing;
  }
  const data = encodeV4SignedData(apkSize, hashing, info);
  const finding = judgeSignature(algorithm, info.publicKey, data, info.signature);
  if (finding.kind !== 'valid') {
    const { name } = algorithm;
    if (finding.kind === 'mismatch') log.error('V4_SIG_DID_NOT_VERIFY', { algorithm: name });
    else if (finding.kind === 'bad-key') {
      log.error('V4_SIG_MALFORMED_PUBLIC_KEY', { reason: finding.reason });
    } else log.error('V4_SIG_VERIFY_EXCEPTION', { algorithm: name, reason: finding.reason });
    return nothing;
  }
  if (info.certificate.length === 0) {
    log.error('V4_SIG_NO_CERTIFICATE');
    return { ...nothing, verified: algorithm };
  }
  const certificate = readAnyCertificate(info.certificate);
  if ('problem' in certificate) {
    log.error('V4_SIG_MALFORMED_CERTIFICATE', { reason: certificate.problem });
    return { ...nothing, verified: algorithm };
  }
  const spki = certificateSpki(certificate);
  if (!Buffer.from(spki).equals(info.publicKey)) {
    log.error('V4_SIG_PUBLIC_KEY_MISMATCH_BETWEEN_CERTIFICATE_AND_SIGNATURES_RECORD', {
      certificateKey: toHex(spki),
      recordKey: toHex(info.publicKey),
    });
  }
  return { certificate, verified: algorithm };
}

async function verifyTree(
  source: ByteSource,
  idsig: Idsig,
  { rootDigest, tree }: HashTree,
  log: IssueLog,
): Promise<void> {
  const expected = idsig.hashing.rawRootHash;
  if (!Buffer.from(expected).equals(rootDigest)) {
    log.error('V4_SIG_APK_ROOT_DID_NOT_VERIFY', {
      expected: toHex(expected),
      actual: toHex(rootDigest),
    });
    return;
  }
  if (idsig.treeSize === 0) return;
  if (idsig.treeSize !== tree.length) {
    const reason = `it is ${idsig.treeSize} bytes, not ${tree.length}`;
    log.error('V4_SIG_APK_TREE_DID_NOT_VERIFY', { reason });
    return;
  }
  let at = 0;
  for await (const chunk of streamOf(source, idsig.treeOffset, idsig.treeSize)) {
    if (!Buffer.from(chunk).equals(tree.subarray(at, at + chunk.length))) {
      const reason = `it differs within ${chunk.length} bytes from offset ${at}`;
      log.error('V4_SIG_APK_TREE_DID_NOT_VERIFY', { reason });
      return;
    }
    at += chunk.length;
  }
}

/**
 * Verifies an idsig; whether its signers are those of the APK is compared later.
 *
 * @param tree Of the whole APK.
 */
export async function verifyV4(
  source: ByteSource,
  apkSize: number,
  tree: HashTree,
  log: IssueLog,
): Promise<V4Result> {
  let idsig: Idsig;
  try {
    idsig = await readIdsig(source, { hasTree: false });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    log.error('V4_SIG_MALFORMED_SIGNERS', { reason: error.message });
    return { log, signers: [], rootHash: undefined, hasTree: false };
  }
  const { hashing } = idsig;
  const signers = [idsig.signing, ...idsig.signingBlocks].map((info, index) => {
    const own = log.of({ scheme: 'v4', index });
    const verified = verifyInfo(info, hashing, apkSize, own);
    return { index, log: own, apkDigest: info.apkDigest, ...verified };
  });
  await verifyTree(source, idsig, tree, log);
  return { log, signers, rootHash: hashing.rawRootHash, hasTree: idsig.treeSize > 0 };
}
