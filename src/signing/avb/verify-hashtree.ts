/**
 * The host's check of what the guest's init and kernel check again: vbmeta_a against its pinned digest,
 * and every block of a partition against the hash tree of its descriptor.
 */

import { equalBytes, sha256, toHex } from '../../core/digest.ts';
import { FormatError, VerificationError } from '../../core/errors.ts';
import type { HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { BlockHasher, TreeAlgorithm } from '../../verity/block-hasher.ts';
import { verifyHashTree } from '../../verity/verify-hash-tree.ts';
import type { AvbErrorCode } from './verify.ts';

function refuse(link: string, code: AvbErrorCode, message: string, cause?: unknown): never {
  throw new VerificationError(link, code, `Cannot verify ${link}: ${message}`, { cause });
}

const TREE_ALGORITHMS: readonly string[] = ['sha1', 'sha256', 'sha512', 'blake2b-256'];

/** Whether AVB takes hash trees with this algorithm. */
export const isTreeAlgorithm = (
  name: string,
): name is Extract<TreeAlgorithm, 'sha1' | 'sha256' | 'sha512' | 'blake2b-256'> =>
  TREE_ALGORITHMS.includes(name);

/** Data and tree must tile without overlap inside the partition; which blocks lie where is the tree's own matter. */
function checkGeometry(image: ByteSource, descriptor: HashtreeDescriptor, link: string): void {
  const { dmVerityVersion, imageSize, treeOffset, treeSize } = descriptor;
  const { dataBlockSize, hashBlockSize } = descriptor;
  if (dmVerityVersion !== 1) {
    refuse(link, 'InvalidMetadata', `its dm-verity version is ${dmVerityVersion}`);
  }
  const isBlockSize = dataBlockSize >= 512 && Math.log2(dataBlockSize) % 1 === 0;
  if (!isBlockSize || dataBlockSize !== hashBlockSize || dataBlockSize > 1 << 16) {
    refuse(link, 'InvalidMetadata', `its blocks are ${dataBlockSize} and ${hashBlockSize} bytes`);
  }
  if (imageSize === 0 || imageSize % dataBlockSize !== 0) {
    refuse(link, 'InvalidMetadata', `its tree covers ${imageSize} bytes, not whole blocks`);
  }
  if (treeOffset < imageSize || treeOffset % dataBlockSize !== 0) {
    refuse(link, 'InvalidMetadata', `its tree at ${treeOffset} overlaps the data`);
  }
  if (treeOffset + treeSize > image.size) {
    refuse(link, 'InvalidMetadata', `its tree ends behind the partition of ${image.size} bytes`);
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
  checkGeometry(image, descriptor, link);
  if (!isTreeAlgorithm(hashAlgorithm)) {
    return refuse(link, 'InvalidMetadata', `its hash algorithm is "${hashAlgorithm}"`);
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
    return refuse(link, 'InvalidMetadata', cause.message, cause);
  }
  const first = report.corrupt[0];
  const stray = report.strayBytes[0];
  if (first === undefined && stray !== undefined) {
    return refuse(
      link,
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
    `Cannot verify ${link}: ${block} ${first.index} is corrupt${more}`,
    { expected: toHex(first.expected), actual: toHex(first.actual) },
  );
}

/** What bootconfig pins, and the partitions it pins. */
export interface SystemImages {
  /** The partition `vbmeta_a`, which may be padded. */
  readonly vbmeta: Uint8Array;
  /** `androidboot.vbmeta.digest` and `.size`. */
  readonly vbmetaDigest: Uint8Array;
  readonly vbmetaSize: number;
  /** The partition `system_a`. */
  readonly system: ByteSource;
  /** Hashes the blocks. Default: node:crypto on this thread. */
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds the one hashtree descriptor of a vbmeta that is pinned by digest, by the rules of the guest's
 * init: flags 0, exactly one hashtree descriptor, for the partition `system`, and beside it nothing but
 * properties of different names.
 *
 * @throws {VerificationError} with link `vbmeta`.
 */
export function verifyPinnedVbmeta(
  images: Pick<SystemImages, 'vbmeta' | 'vbmetaDigest' | 'vbmetaSize'>,
): { readonly vbmeta: Vbmeta; readonly system: HashtreeDescriptor } {
  const link = 'vbmeta';
  if (images.vbmetaSize > images.vbmeta.length) {
    refuse(
      link,
      'InvalidMetadata',
      `bootconfig pins ${images.vbmetaSize} bytes, the partition has less`,
    );
  }
  const bytes = images.vbmeta.subarray(0, images.vbmetaSize);
  const digest = sha256(bytes);
  if (!equalBytes(digest, images.vbmetaDigest)) {
    throw new VerificationError(
      link,
      'Verification',
      'Cannot verify vbmeta: its digest is not the one that bootconfig pins',
      { expected: toHex(images.vbmetaDigest), actual: toHex(digest) },
    );
  }
  let vbmeta: Vbmeta;
  try {
    vbmeta = decodeVbmeta(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    return refuse(link, 'InvalidMetadata', cause.message, cause);
  }
  if (vbmeta.size !== bytes.length) refuse(link, 'InvalidMetadata', 'bytes follow its last block');
  if (vbmeta.flags !== 0) {
    refuse(link, 'Verification', `its flags are ${vbmeta.flags}, which switch checks off`);
  }
  const trees = vbmeta.descriptors.filter((descriptor) => descriptor.kind === 'hashtree');
  const [system] = trees;
  if (system === undefined || trees.length !== 1 || system.partitionName !== 'system') {
    const names = trees.map((tree) => `"${tree.partitionName}"`).join(', ');
    return refuse(
      link,
      'InvalidDescriptors',
      `one hashtree descriptor for "system" is needed, found ${names === '' ? 'none' : names}`,
    );
  }
  checkOthers(vbmeta, link);
  return { vbmeta, system };
}

/** Whoever signs a descriptor counts on its being followed, and of these a guest follows none. */
function checkOthers({ descriptors }: Vbmeta, link: string): void {
  const keys = new Set<string>();
  for (const descriptor of descriptors) {
    if (descriptor.kind === 'hashtree') continue;
    if (descriptor.kind !== 'property') {
      refuse(link, 'InvalidDescriptors', `no guest looks at its ${descriptor.kind} descriptor`);
    } else if (keys.has(descriptor.key)) {
      refuse(link, 'InvalidDescriptors', `it has two properties ${JSON.stringify(descriptor.key)}`);
    } else {
      keys.add(descriptor.key);
    }
  }
}

/**
 * Proves `vbmeta_a` and every block of `system_a`.
 *
 * @throws {VerificationError} with link `vbmeta` or `system`.
 */
export async function verifySystem(images: SystemImages): Promise<HashtreeDescriptor> {
  const { system } = verifyPinnedVbmeta(images);
  const { hasher, signal } = images;
  await verifyHashtreeImage(images.system, system, 'system', { hasher, signal });
  return system;
}
