/**
 * The rules of signing certificate lineages: that each certificate is signed by the key before it, and
 * how one grows.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v3#apk-key-rotation
 */

import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import { findSignatureAlgorithm, formatSignatureAlgorithm } from '../../formats/apk/algorithms.ts';
import { encodeLineageSignedData, type LineageNode } from '../../formats/apk/lineage.ts';
import { isSignatureOf } from '../signer.ts';
import { readCertificateKey } from '../x509.ts';

const LINK = 'lineage';

const fail = (code: string, message: string, detail: { cause?: unknown } = {}): VerificationError =>
  new VerificationError(LINK, code, `Cannot trust lineage: ${message}`, detail);

function readKey(certificate: Uint8Array, number: number): KeyObject {
  try {
    return readCertificateKey(certificate);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw fail('bad-certificate', `certificate ${number} cannot be read`, { cause });
  }
}

/** `parent` and its key must have signed `node`, the certificate of this number. */
function checkNode(parent: LineageNode, key: KeyObject, node: LineageNode, number: number): void {
  if (parent.algorithm !== node.parentAlgorithm) {
    throw fail(
      'algorithm-mismatch',
      `certificate ${number} is signed with ${formatSignatureAlgorithm(node.parentAlgorithm)}, the one before says ${formatSignatureAlgorithm(parent.algorithm)}`,
    );
  }
  const algorithm = findSignatureAlgorithm(node.parentAlgorithm);
  if (algorithm === undefined) {
    throw fail(
      'unsupported',
      `certificate ${number} is signed with ${formatSignatureAlgorithm(node.parentAlgorithm)}`,
    );
  }
  const data = encodeLineageSignedData(node.certificate, node.parentAlgorithm);
  if (!isSignatureOf(key, data, algorithm, node.signature)) {
    throw fail('bad-signature', `certificate ${number} is not signed by the one before`);
  }
}

/**
 * Verifies that each certificate is signed by the key of the one before it, and that none occurs twice.
 * What the certificates say (dates, extensions) does not count.
 *
 * @throws {VerificationError} link `lineage`: `bad-certificate`, `algorithm-mismatch`, `unsupported`,
 *   `bad-signature` or `duplicate`.
 */
export function verifyLineage(nodes: readonly LineageNode[]): void {
  let parent: { readonly node: LineageNode; readonly key: KeyObject } | undefined;
  for (const [index, node] of nodes.entries()) {
    if (parent !== undefined) checkNode(parent.node, parent.key, node, index + 1);
    if (nodes.slice(0, index).some((other) => equalBytes(other.certificate, node.certificate))) {
      throw fail('duplicate', `certificate ${index + 1} occurs twice`);
    }
    parent = { node, key: readKey(node.certificate, index + 1) };
  }
}
