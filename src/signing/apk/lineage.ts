/**
 * The rules of signing certificate lineages: that each certificate is signed by the key before it, and
 * how one grows.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#apk-key-rotation
 */

import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { FormatError, VerificationError, type VerificationCode } from '../../core/errors.ts';
import { findSignatureAlgorithm, formatSignatureAlgorithm } from '../../formats/apk/algorithms.ts';
import { encodeLineageSignedData, type LineageNode } from '../../formats/apk/lineage.ts';
import { isSignatureOf } from '../signer.ts';
import { readCertificateKey } from '../x509.ts';

const LINK = 'lineage';

const fail = (
  code: VerificationCode,
  message: string,
  detail: { cause?: unknown } = {},
): VerificationError =>
  new VerificationError(LINK, code, `Cannot trust lineage: ${message}`, detail);

/** @throws {FormatError} when the certificate, or its key, cannot be read. */
type KeyReader = (certificate: Uint8Array) => KeyObject;

function readKey(certificate: Uint8Array, number: number, keyOf: KeyReader): KeyObject {
  try {
    return keyOf(certificate);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw fail('bad-certificate', `certificate ${number} cannot be read`, { cause });
  }
}

/**
 * `parent` and its key must have signed `node`, the certificate of this number. With which algorithm is
 * for the parent to say, and the signature then covers what the node says of it.
 */
function checkNode(parent: LineageNode, key: KeyObject, node: LineageNode, number: number): void {
  const algorithm = findSignatureAlgorithm(parent.algorithm);
  if (algorithm === undefined) {
    throw fail(
      'unsupported',
      `certificate ${number} is signed with ${formatSignatureAlgorithm(parent.algorithm)}`,
    );
  }
  const data = encodeLineageSignedData(node.certificate, node.parentAlgorithm);
  if (!isSignatureOf(key, data, algorithm, node.signature)) {
    throw fail('bad-signature', `certificate ${number} is not signed by the one before`);
  }
  if (parent.algorithm !== node.parentAlgorithm) {
    throw fail(
      'algorithm-mismatch',
      `certificate ${number} is signed with ${formatSignatureAlgorithm(parent.algorithm)}, and says ${formatSignatureAlgorithm(node.parentAlgorithm)}`,
    );
  }
}

/**
 * Verifies that each certificate is signed by the key of the one before it, and that none occurs twice.
 * What the certificates say (dates, extensions) does not count.
 *
 * @param nodes Taken one by one, so that what is wrong with the first of them is what is told.
 * @param keyOf Default: of certificates in DER.
 * @returns the nodes.
 * @throws {VerificationError} link `lineage`: `bad-certificate`, `algorithm-mismatch`, `unsupported`,
 *   `bad-signature` or `duplicate`.
 */
export function verifyLineage(
  nodes: Iterable<LineageNode>,
  keyOf: KeyReader = readCertificateKey,
): readonly LineageNode[] {
  const verified: LineageNode[] = [];
  let parent: { readonly node: LineageNode; readonly key: KeyObject } | undefined;
  for (const node of nodes) {
    const number = verified.length + 1;
    if (parent !== undefined) checkNode(parent.node, parent.key, node, number);
    parent = { node, key: readKey(node.certificate, number, keyOf) };
    if (verified.some((other) => equalBytes(other.certificate, node.certificate))) {
      throw fail('duplicate', `certificate ${number} occurs twice`);
    }
    verified.push(node);
  }
  return verified;
}
