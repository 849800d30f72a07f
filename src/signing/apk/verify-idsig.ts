/**
 * Verifies an idsig against its APK: the v4 signature, that it speaks of this APK and this signer, and
 * every byte of the Merkle tree.
 *
 * @see https://source.android.com/docs/security/features/apksigning/v4#verification
 */

import { equalBytes, toHex } from '../../core/digest.ts';
import { VerificationError, type VerificationCode } from '../../core/errors.ts';
import { findSignatureAlgorithm } from '../../formats/apk/algorithms.ts';
import { encodeV4SignedData, readIdsig, type Idsig } from '../../formats/apk/idsig.ts';
import { sliceSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import type { BlockHasher } from '../../verity/block-hasher.ts';
import { computeHashTree } from '../../verity/hash-tree.ts';
import { readCertificateKey } from '../x509.ts';
import { exportSpki, isSignatureValid, readPublicKey } from './public-key.ts';
import { asLink, verifyApkV3, type VerifiedApk, type VerifyApkOptions } from './verify.ts';

export interface VerifyIdsigOptions extends VerifyApkOptions {
  /** What `verifyApkV3` proved of the same APK, best with its tree; left out, it is verified here. */
  readonly apk?: VerifiedApk;
  /**
   * Whether one that was made without the signer's key will do. Its root hash is computed from the same bytes
   * as the content digest that the APK's signer has signed. Default false.
   */
  readonly allowUnsigned?: boolean | undefined;
}

export interface VerifiedIdsig {
  /** The root of the Merkle tree: of dm-verity's table for this APK. */
  readonly rootHash: Uint8Array;
  readonly treeOffset: number;
  readonly treeSize: number;
  readonly apk: VerifiedApk;
}

const LINK = 'idsig';

function fail(
  code: VerificationCode,
  message: string,
  expected?: Uint8Array,
  actual?: Uint8Array,
): VerificationError {
  return new VerificationError(LINK, code, `Cannot trust idsig: ${message}`, {
    ...(expected && { expected: toHex(expected) }),
    ...(actual && { actual: toHex(actual) }),
  });
}

/** As the guest: nothing of a signature is there. */
const isUnsigned = ({ signing }: Idsig): boolean =>
  [signing.signature, signing.certificate, signing.publicKey].every(({ length }) => length === 0);

function checkSignature({ hashing, signing }: Idsig, apk: VerifiedApk): void {
  if (signing.signature.length === 0 || signing.certificate.length === 0) {
    throw fail('unsigned', 'it is not signed');
  }
  const algorithm = findSignatureAlgorithm(signing.signatureAlgorithm);
  const key = readPublicKey(signing.publicKey);
  const data = encodeV4SignedData(apk.size, hashing, signing);
  if (
    algorithm === undefined ||
    // As in v3, the guest knows no DSA.
    algorithm.scheme === 'dsa' ||
    algorithm.contentDigest === 'verity-sha256' ||
    key === undefined ||
    !isSignatureValid(algorithm, key, data, signing.signature)
  ) {
    throw fail('bad-signature', 'its signature is invalid');
  }
  if (!equalBytes(exportSpki(readCertificateKey(signing.certificate)), signing.publicKey)) {
    throw fail('public-key-mismatch', 'its certificate is not of its public key');
  }
}

/** It must name the signer of this APK. */
function checkSigner({ signing }: Idsig, apk: VerifiedApk): void {
  const [certificate] = apk.signerCertificates;
  if (certificate === undefined || !equalBytes(certificate, signing.certificate)) {
    throw fail(
      'certificate-mismatch',
      'its certificate is not the one of the APK',
      certificate,
      signing.certificate,
    );
  }
}

/** It must name this APK. */
function checkSubject({ hashing, signing }: Idsig, apk: VerifiedApk): void {
  if (hashing.salt.length > 0) {
    // dm-verity and fs-verity hash a salt differently, and nobody writes one.
    throw fail('unsupported', 'it has a salt');
  }
  if (!apk.signedDigests.some(({ digest }) => equalBytes(digest, signing.apkDigest))) {
    throw fail(
      'digest-mismatch',
      'its digest is not the one of the APK',
      apk.contentDigest,
      signing.apkDigest,
    );
  }
}

async function checkTree(
  source: ByteSource,
  idsigSource: ByteSource,
  idsig: Idsig,
  apk: VerifiedApk,
  hasher: BlockHasher | undefined,
): Promise<void> {
  const { rootDigest, tree } =
    apk.tree ??
    (await computeHashTree(sliceSource(source, 0, apk.size), {
      algorithm: 'sha256',
      blockSize: 4096,
      ...(hasher && { hasher }),
    }));
  if (!equalBytes(rootDigest, idsig.hashing.rawRootHash)) {
    throw fail(
      'root-mismatch',
      'its root hash is not the one of the APK',
      idsig.hashing.rawRootHash,
      rootDigest,
    );
  }
  if (tree.length !== idsig.treeSize) {
    throw fail('tree-mismatch', `its tree is ${idsig.treeSize} bytes, not ${tree.length}`);
  }
  let at = 0;
  for await (const chunk of streamOf(idsigSource, idsig.treeOffset, idsig.treeSize)) {
    if (!equalBytes(chunk, tree.subarray(at, at + chunk.length))) {
      throw fail('tree-mismatch', 'its tree is not the one of the APK');
    }
    at += chunk.length;
  }
}

/**
 * Verifies an APK together with its idsig.
 *
 * @throws {VerificationError} link `idsig`, or `payload-signature` when the APK itself fails.
 */
export async function verifyIdsig(
  source: ByteSource,
  idsigSource: ByteSource,
  options: VerifyIdsigOptions = {},
): Promise<VerifiedIdsig> {
  const apk = options.apk ?? (await verifyApkV3(source, { ...options, tree: true }));
  return asLink(LINK, async () => {
    const idsig = await readIdsig(idsigSource);
    if (!(options.allowUnsigned === true && isUnsigned(idsig))) {
      checkSignature(idsig, apk);
      checkSigner(idsig, apk);
    }
    checkSubject(idsig, apk);
    await checkTree(source, idsigSource, idsig, apk, options.hasher);
    const { treeOffset, treeSize, hashing } = idsig;
    return { rootHash: hashing.rawRootHash, treeOffset, treeSize, apk };
  });
}
