/**
 * `verify_image`: a vbmeta, and every partition image that it describes.
 *
 * Shares the codecs with what signs and nothing else. In contrast to avbtool, a chained image that is
 * followed must be signed by the key that its chain descriptor names.
 */

import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../core/digest.ts';
import { UsageError, VerificationError } from '../../core/errors.ts';

import type { AvbAlgorithmName } from '../../formats/avb/algorithm.ts';
import type {
  ChainPartitionDescriptor,
  Descriptor,
  HashDescriptor,
  HashtreeDescriptor,
} from '../../formats/avb/descriptor.ts';
import { readVbmeta } from '../../formats/avb/footer.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import { sliceSource, type ByteSource } from '../../io/byte-source.ts';
import type { BlockHasher } from '../../verity/block-hasher.ts';
import { writeHashTree } from '../../verity/write-hash-tree.ts';
import { isZeroedTree } from './change-footer.ts';
import type { ImageFinder } from './loaded-vbmeta.ts';
import { isTreeAlgorithm, verifyHashtreeImage } from './verify-hashtree.ts';
import { verifyHashDescriptor, verifySignature } from './verify.ts';

export interface ExpectedChain {
  readonly rollbackIndexLocation: number;
  /** AVB's encoding. */
  readonly publicKey: Uint8Array;
}

export interface VerifyImageOptions {
  /** AVB's encoding of the key that every vbmeta must be signed with; default the one it holds. */
  readonly key?: Uint8Array;
  /** How errors and reports call that key. */
  readonly keyName?: string;
  /** What the chain descriptors must say, by partition. */
  readonly expectedChains?: ReadonlyMap<string, ExpectedChain>;
  /** Verifies chained images too, and takes what the descriptors say of those not expected. */
  readonly followChains?: boolean;
  /** Does not mind that a tree was emptied; the data is proved all the same. */
  readonly acceptZeroedHashtree?: boolean;
  /** Partitions whose images are not looked at, and not reported: the caller tells of them. */
  readonly skip?: ReadonlySet<string>;
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What was proved, in order. */
export type VerifiedPart =
  | { readonly kind: 'image'; readonly image: string; readonly key: string | undefined }
  | {
      readonly kind: 'vbmeta';
      readonly image: string;
      readonly algorithm: AvbAlgorithmName;
      readonly hasFooter: boolean;
    }
  | {
      readonly kind: 'hash' | 'hashtree';
      readonly image: string;
      readonly partition: string;
      readonly hashAlgorithm: string;
      readonly imageSize: number;
      /** Whether the descriptor holds a digest; else the device keeps it and nothing was compared. */
      readonly hasDigest: boolean;
      /** The tree was emptied; the data was proved by the root digest. */
      readonly isZeroed: boolean;
    }
  | {
      readonly kind: 'chain';
      readonly partition: string;
      readonly rollbackIndexLocation: number;
      readonly publicKeySha1: string;
      /** Whether it was compared with what is expected. */
      readonly isExpected: boolean;
    };

function refuse(
  link: string,
  message: string,
  detail: { expected?: string; actual?: string; hint?: string } = {},
): never {
  throw new VerificationError(link, 'Verification', `Cannot verify ${link}: ${message}`, detail);
}

const keyDigest = (blob: Uint8Array): string =>
  blob.length === 0 ? 'none' : `sha256:${createHash('sha256').update(blob).digest('hex')}`;

/**
 * Verifies an image with footer, or a vbmeta image, and the partitions that it describes.
 *
 * An unsigned vbmeta is accepted unless a key is asked for, as avbtool does: the reports say NONE.
 *
 * @param report Told each part once it is proved.
 * @throws {FormatError} when an image is damaged.
 * @throws {VerificationError} when a part is not what was signed, or not by the key asked for.
 */
export async function verifyImage(
  path: string,
  finder: ImageFinder,
  options: VerifyImageOptions,
  report: (part: VerifiedPart) => void,
): Promise<void> {
  report({ kind: 'image', image: path, key: options.key && (options.keyName ?? 'given key') });
  const image = await finder.open(path);
  try {
    const vbmeta = await verifyOwnVbmeta(image, options, report);
    for (const descriptor of vbmeta.descriptors) {
      options.signal?.throwIfAborted();
      await verifyDescriptor(descriptor, image, finder, options, report);
    }
  } finally {
    await image.close();
  }
}

async function verifyOwnVbmeta(
  image: ByteSource,
  options: VerifyImageOptions,
  report: (part: VerifiedPart) => void,
): Promise<Vbmeta> {
  const { bytes, footer } = await readVbmeta(image);
  const vbmeta = decodeVbmeta(bytes);
  const { name } = image;
  if (footer !== undefined && footer.vbmetaSize !== vbmeta.size) {
    throw new VerificationError(
      name,
      'InvalidMetadata',
      `Cannot verify ${name}: its footer says ${footer.vbmetaSize} bytes of vbmeta, there are ${vbmeta.size}`,
    );
  }
  if (vbmeta.algorithm !== 'NONE') verifySignature(vbmeta, name);
  if (options.key !== undefined && !equalBytes(options.key, vbmeta.publicKey)) {
    throw new VerificationError(
      name,
      'PublicKeyRejected',
      `Cannot verify ${name}: the key it holds is not the one it must be signed with`,
      { expected: keyDigest(options.key), actual: keyDigest(vbmeta.publicKey) },
    );
  }
  report({
    kind: 'vbmeta',
    image: name,
    algorithm: vbmeta.algorithm,
    hasFooter: footer !== undefined,
  });
  return vbmeta;
}

async function verifyDescriptor(
  descriptor: Descriptor,
  image: ByteSource,
  finder: ImageFinder,
  options: VerifyImageOptions,
  report: (part: VerifiedPart) => void,
): Promise<void> {
  switch (descriptor.kind) {
    case 'property':
    case 'kernel-cmdline':
      return undefined;
    case 'hash':
    case 'hashtree': {
      const { partitionName } = descriptor;
      // A descriptor without a name is about the image that holds it.
      const own = partitionName === '';
      if (options.skip?.has(partitionName) === true) return undefined;
      const partition = own ? image : await openPartition(finder, partitionName);
      try {
        report(
          descriptor.kind === 'hash'
            ? await verifyHash(partition, descriptor, options)
            : await verifyHashtree(partition, descriptor, options),
        );
      } finally {
        if (!own) await partition.close();
      }
      return undefined;
    }
    case 'chain-partition':
      verifyChain(descriptor, options, report);
      return options.followChains === true
        ? followChain(descriptor, finder, options, report)
        : undefined;
  }
}

async function openPartition(finder: ImageFinder, partition: string): Promise<ByteSource> {
  const path = finder.pathOf(partition);
  try {
    return await finder.open(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new UsageError(
      'input',
      `Cannot verify partition "${partition}": ${path} does not exist`,
      {
        cause,
        hint: `Say where its image is: --partition_image ${partition}:PATH`,
      },
    );
  }
}

async function verifyHash(
  image: ByteSource,
  descriptor: HashDescriptor,
  { signal }: VerifyImageOptions,
): Promise<VerifiedPart> {
  const { hashAlgorithm, imageSize, digest, partitionName } = descriptor;
  if (digest.length === 0) {
    // The device keeps the digest: that the image has so many bytes is all there is to see.
    if (imageSize > image.size) refuse(image.name, `it is shorter than ${imageSize} bytes`);
  } else {
    await verifyHashDescriptor(image, descriptor, image.name, { sha1: true, signal });
  }
  return {
    kind: 'hash',
    image: image.name,
    partition: partitionName,
    hashAlgorithm,
    imageSize,
    hasDigest: digest.length > 0,
    isZeroed: false,
  };
}

async function verifyHashtree(
  image: ByteSource,
  descriptor: HashtreeDescriptor,
  options: VerifyImageOptions,
): Promise<VerifiedPart> {
  const { hashAlgorithm, imageSize, rootDigest, partitionName } = descriptor;
  const { hasher, signal } = options;
  const hasDigest = rootDigest.length > 0;
  const isZeroed = options.acceptZeroedHashtree === true && (await isZeroedTree(image, descriptor));
  if (isZeroed || !hasDigest) {
    const actual = await recomputeTree(image, descriptor, options, !isZeroed);
    if (hasDigest && !equalBytes(actual, rootDigest)) {
      refuse(image.name, 'its data is not what the root digest stands for', {
        expected: toHex(rootDigest),
        actual: toHex(actual),
      });
    }
  } else {
    await verifyHashtreeImage(image, descriptor, image.name, { hasher, signal });
  }
  return {
    kind: 'hashtree',
    image: image.name,
    partition: partitionName,
    hashAlgorithm,
    imageSize,
    hasDigest,
    isZeroed,
  };
}

/**
 * The root digest of the data, whatever the stored tree says.
 *
 * @param compare Whether the stored tree must be the one of the data.
 */
async function recomputeTree(
  image: ByteSource,
  descriptor: HashtreeDescriptor,
  { hasher, signal }: VerifyImageOptions,
  compare: boolean,
): Promise<Uint8Array> {
  const { hashAlgorithm, imageSize, treeOffset, treeSize, salt } = descriptor;
  const { dataBlockSize, hashBlockSize } = descriptor;
  const { name } = image;
  if (imageSize > image.size) refuse(name, `it is shorter than the ${imageSize} bytes of its tree`);
  if (!isTreeAlgorithm(hashAlgorithm)) {
    return refuse(name, `the hash algorithm of its tree is "${hashAlgorithm}"`);
  }
  if (imageSize === 0 || imageSize % dataBlockSize !== 0) {
    refuse(name, `its tree covers ${imageSize} bytes, not whole blocks of ${dataBlockSize}`);
  }
  const stored = {
    async write(offset: number, chunk: Uint8Array): Promise<void> {
      if (!compare) return;
      const at = treeOffset + offset;
      const found =
        offset + chunk.length <= treeSize && at + chunk.length <= image.size
          ? await image.read(at, chunk.length)
          : undefined;
      if (found === undefined || !equalBytes(found, chunk)) {
        refuse(name, `its hash tree is not that of its data, from byte ${at} on`);
      }
    },
  };
  try {
    const { rootDigest } = await writeHashTree(sliceSource(image, 0, imageSize), stored, {
      algorithm: hashAlgorithm,
      dataBlockSize,
      hashBlockSize,
      salt,
      hasher,
      signal,
    });
    return rootDigest;
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    return refuse(name, cause.message);
  }
}

function verifyChain(
  descriptor: ChainPartitionDescriptor,
  { expectedChains, followChains }: VerifyImageOptions,
  report: (part: VerifiedPart) => void,
): void {
  const { partitionName: partition, rollbackIndexLocation, publicKey } = descriptor;
  const expected = expectedChains?.get(partition);
  if (expected === undefined && followChains !== true) {
    refuse(partition, 'it is chained, and nothing says what to expect', {
      hint: 'Name it with --expected_chain_partition, or give --follow_chain_partitions',
    });
  }
  if (expected !== undefined && expected.rollbackIndexLocation !== rollbackIndexLocation) {
    refuse(partition, 'its chain descriptor has another rollback index location than expected', {
      expected: `${expected.rollbackIndexLocation}`,
      actual: `${rollbackIndexLocation}`,
    });
  }
  if (expected !== undefined && !equalBytes(expected.publicKey, publicKey)) {
    refuse(partition, 'its chain descriptor holds another key than expected', {
      expected: keyDigest(expected.publicKey),
      actual: keyDigest(publicKey),
    });
  }
  report({
    kind: 'chain',
    partition,
    rollbackIndexLocation,
    publicKeySha1: createHash('sha1').update(publicKey).digest('hex'),
    isExpected: expected !== undefined,
  });
}

async function followChain(
  descriptor: ChainPartitionDescriptor,
  finder: ImageFinder,
  options: VerifyImageOptions,
  report: (part: VerifiedPart) => void,
): Promise<void> {
  const { partitionName, publicKey } = descriptor;
  const path = finder.pathOf(partitionName);
  const image = await openPartition(finder, partitionName);
  try {
    const { publicKey: actual } = decodeVbmeta((await readVbmeta(image)).bytes);
    if (!equalBytes(actual, publicKey)) {
      refuse(path, 'it is signed with another key than its chain descriptor names', {
        expected: keyDigest(publicKey),
        actual: keyDigest(actual),
      });
    }
  } finally {
    await image.close();
  }
  // A chained vbmeta must not chain further: nobody said what to expect of it.
  const { expectedChains: _chains, followChains: _follow, ...rest } = options;
  await verifyImage(path, finder, rest, report);
}
