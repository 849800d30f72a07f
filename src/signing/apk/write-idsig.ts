/**
 * Makes the `.idsig` of an APK without its signer's key, as a host does that starts a virtual machine: it holds
 * the tree and the digest that the APK's signer has signed, and no signature of its own.
 */

import {
  encodeIdsigHeader,
  IDSIG_HASH_SHA256,
  IDSIG_LOG2_BLOCK_SIZE,
} from '../../formats/apk/idsig.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import type { WrittenIdsig } from './sign-idsig.ts';
import { verifyPayload, type VerifiedApk, type VerifyApkOptions } from './verify.ts';

/**
 * Verifies the APK as a payload, and writes its idsig.
 *
 * @throws {VerificationError} link `payload-signature` or `payload-zip`.
 */
export async function writeUnsignedIdsig(
  apk: ByteSource,
  sink: ImageSink,
  options: VerifyApkOptions = {},
): Promise<WrittenIdsig & { readonly apk: VerifiedApk }> {
  const verified = await verifyPayload(apk, { ...options, tree: true });
  if (verified.tree === undefined) throw new TypeError('The tree was asked for');
  const { rootDigest, tree } = verified.tree;
  const nothing = new Uint8Array(0);
  const header = encodeIdsigHeader(
    {
      hashing: {
        hashAlgorithm: IDSIG_HASH_SHA256,
        log2BlockSize: IDSIG_LOG2_BLOCK_SIZE,
        salt: nothing,
        rawRootHash: rootDigest,
      },
      signing: {
        apkDigest: verified.contentDigest,
        certificate: nothing,
        additionalData: nothing,
        publicKey: nothing,
        signatureAlgorithm: verified.signatureAlgorithm.id,
        signature: nothing,
      },
      signingBlocks: [],
    },
    tree.length,
  );
  await sink.write(0, header);
  await sink.write(header.length, tree);
  const size = header.length + tree.length;
  await sink.truncate(size);
  return { size, rootHash: rootDigest, apk: verified };
}
