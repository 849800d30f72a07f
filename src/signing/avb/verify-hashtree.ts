/**
 * The host's check of what the guest's init and kernel check again: every block of a partition against the hash tree
 * of its descriptor.
 */

import { toHex } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import type { HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { BlockHasher, TreeAlgorithm } from '../../verity/block-hasher.ts';
import { verifyHashTree } from '../../verity/verify-hash-tree.ts';
import type { AvbErrorCode } from './verify.ts';

/** The link of the chain that is checked, and the partition that it is about. */
interface Subject {
  readonly link: string;
  readonly name: string;
}

function refuse(of: Subject, code: AvbErrorCode, message: string, cause?: unknown): never {
  throw new VerificationError(of.link, code, `Cannot verify ${of.name}: ${message}`, { cause });
}

const TREE_ALGORITHMS: readonly string[] = ['sha1', 'sha256', 'sha512', 'blake2b-256'];

/** Whether AVB takes hash trees with this algorithm. */
export const isTreeAlgorithm = (
  name: string,
): name is Extract<TreeAlgorithm, 'sha1' | 'sha256' | 'sha512' | 'blake2b-256'> =>
  TREE_ALGORITHMS.includes(name);

/** Data and tree must tile without overlap inside the partition; which blocks lie where is the tree's own matter. */
function checkGeometry(image: ByteSource, descriptor: HashtreeDescriptor, of: Subject): void {
  const { dmVerityVersion, imageSize, treeOffset, treeSize } = descriptor;
  const { dataBlockSize, hashBlockSize } = descriptor;
  if (dmVerityVersion !== 1) {
    refuse(of, 'InvalidMetadata', `its dm-verity version is ${dmVerityVersion}`);
  }
  const isBlockSize = dataBlockSize >= 512 && Math.log2(dataBlockSize) % 1 === 0;
  if (!isBlockSize || dataBlockSize !== hashBlockSize || dataBlockSize > 1 << 16) {
    refuse(of, 'InvalidMetadata', `its blocks are ${dataBlockSize} and ${hashBlockSize} bytes`);
  }
  if (imageSize === 0 || imageSize % dataBlockSize !== 0) {
    refuse(of, 'InvalidMetadata', `its tree covers ${imageSize} bytes, not whole blocks`);
  }
  if (treeOffset < imageSize || treeOffset % dataBlockSize !== 0) {
    refuse(of, 'InvalidMetadata', `its tree at ${treeOffset} overlaps the data`);
  }
  if (treeOffset + treeSize > image.size) {
    refuse(of, 'InvalidMetadata', `its tree ends behind the partition of ${image.size} bytes`);
  }
}

/**
 * Checks every block of a partition.
 *
 * @param image The partition: data, then the tree at the descriptor's offset.
 * @throws {VerificationError} that names the first corrupt block.
 */
export async function verifyHashtreeImage(
  image: ByteSource,
  descriptor: HashtreeDescriptor,
  link: string = descriptor.partitionName,
  options: {
    readonly hasher?: BlockHasher | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {},
): Promise<void> {
  const { hashAlgorithm, imageSize, treeOffset, treeSize, salt, rootDigest } = descriptor;
  const of: Subject = { link, name: descriptor.partitionName };
  checkGeometry(image, descriptor, of);
  if (!isTreeAlgorithm(hashAlgorithm)) {
    return refuse(of, 'InvalidMetadata', `its hash algorithm is "${hashAlgorithm}"`);
  }
  let report: Awaited<ReturnType<typeof verifyHashTree>>;
  try {
    report = await verifyHashTree(
      sliceSource(image, 0, imageSize),
      sliceSource(image, treeOffset, treeSize),
      {
        algorithm: hashAlgorithm,
        blockSize: descriptor.dataBlockSize,
        salt,
        rootDigest,
        ...options,
      },
    );
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return refuse(of, 'InvalidMetadata', cause.message, cause);
  }
  const first = report.corrupt[0];
  const stray = report.strayBytes[0];
  if (first === undefined && stray !== undefined) {
    return refuse(
      of,
      'Verification',
      `hash block ${stray.index} of level ${stray.level} holds more than digests`,
    );
  }
  if (first === undefined) return undefined;
  const block = first.level === 'data' ? 'data block' : `hash block of level ${first.level}`;
  const more = report.corruptBlocks === 1 ? '' : ` and ${report.corruptBlocks - 1} more`;
  throw new VerificationError(
    link,
    'Verification',
    `Cannot verify ${of.name}: ${block} ${first.index} is corrupt${more}`,
    { expected: toHex(first.expected), actual: toHex(first.actual) },
  );
}
