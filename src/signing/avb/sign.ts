/**
 * Signs vbmeta images and puts them behind the images that they describe.
 *
 * Given the same salt and release string, the bytes are those that AOSP's avbtool 1.3.0 writes.
 */

import { createHash } from 'node:crypto';
import { alignUp } from '../../core/math.ts';
import type { AvbAlgorithmName } from '../../formats/avb/algorithm.ts';
import type {
  Descriptor,
  HashDescriptor,
  HashtreeDescriptor,
} from '../../formats/avb/descriptor.ts';
import { AVB_FOOTER_SIZE, encodeFooter } from '../../formats/avb/footer.ts';
import { AVB_IMAGE_BLOCK_SIZE, AVB_VBMETA_MAX_SIZE } from '../../formats/avb/layout.ts';
import {
  encodeUnsignedVbmeta,
  encodeVbmeta,
  requiredLibavbMinor,
} from '../../formats/avb/vbmeta.ts';
import { streamOf, type ByteSource } from '../../io/byte-source.ts';
import type { ImageSink } from '../../io/image-sink.ts';
import { signChecked, type Signer } from '../signer.ts';
import type { MldsaSigner } from './mldsa.ts';
import { avbPublicKey } from './public-key.ts';

/** What `release_string` says when nothing else is asked for. */
const RELEASE_STRING = 'microbuild';

const NO_BYTES = new Uint8Array(0);

/** How a vbmeta is signed; what is left out is 0 or empty. */
export interface VbmetaSigning {
  /** Default NONE, which goes with no signer. */
  readonly algorithm?: AvbAlgorithmName;
  readonly signer?: Signer | MldsaSigner;
  readonly rollbackIndex?: bigint;
  readonly rollbackIndexLocation?: number;
  /** 1: hash trees disabled, 2: verification disabled. */
  readonly flags?: number;
  readonly publicKeyMetadata?: Uint8Array;
  readonly releaseString?: string;
  /** Raises the libavb 1.x that a reader needs above what the descriptors need. */
  readonly requiredMinor?: number;
}

/**
 * Makes a signed vbmeta image, not padded.
 *
 * @param descriptors In the order in which they will stand.
 * @throws {RangeError} when the algorithm and the signer's key do not fit each other, or the image
 *   would be larger than 64 KiB.
 */
export async function signVbmeta(
  options: VbmetaSigning & { readonly descriptors: readonly Descriptor[] },
): Promise<Uint8Array> {
  const { descriptors, signer, algorithm = 'NONE' } = options;
  const rollbackIndexLocation = options.rollbackIndexLocation ?? 0;
  checkLocations(descriptors, rollbackIndexLocation);
  const publicKey = signer === undefined ? NO_BYTES : avbPublicKey(signer.publicKey);
  const unsigned = encodeUnsignedVbmeta({
    algorithm,
    descriptors,
    publicKey,
    publicKeyMetadata: options.publicKeyMetadata ?? NO_BYTES,
    rollbackIndex: options.rollbackIndex ?? 0n,
    rollbackIndexLocation,
    flags: options.flags ?? 0,
    releaseString: options.releaseString ?? RELEASE_STRING,
    requiredMinor: Math.max(
      options.requiredMinor ?? 0,
      requiredLibavbMinor({ descriptors, rollbackIndexLocation }),
    ),
  });
  if (signer === undefined) return encodeVbmeta(unsigned, NO_BYTES, NO_BYTES);
  const data = new Uint8Array(unsigned.header.length + unsigned.auxiliaryBlock.length);
  data.set(unsigned.header);
  data.set(unsigned.auxiliaryBlock, unsigned.header.length);
  const { hash } = unsigned.algorithm;
  if ('signMessage' in signer)
    return encodeVbmeta(unsigned, NO_BYTES, await signer.signMessage(data));
  if (hash === undefined) {
    throw new RangeError(`Cannot sign vbmeta with ${algorithm}: the signer makes RSA signatures`);
  }
  const digest = new Uint8Array(createHash(hash).update(data).digest());
  const signature = await signChecked(signer, data, {
    hash,
    scheme: 'rsa-pkcs1',
    purpose: 'vbmeta',
  });
  return encodeVbmeta(unsigned, digest, signature);
}

/** Each chained partition counts its rollback index at a location of its own. */
function checkLocations(descriptors: readonly Descriptor[], own: number): void {
  const used = new Set([own]);
  for (const descriptor of descriptors) {
    if (descriptor.kind !== 'chain-partition') continue;
    const { rollbackIndexLocation, partitionName } = descriptor;
    if (rollbackIndexLocation < 1) {
      throw new RangeError(
        `Cannot chain partition "${partitionName}": rollback index location 0 is that of the top-level vbmeta`,
      );
    }
    if (used.has(rollbackIndexLocation)) {
      throw new RangeError(
        `Cannot chain partition "${partitionName}": rollback index location ` +
          `${rollbackIndexLocation} is in use`,
      );
    }
    used.add(rollbackIndexLocation);
  }
}

export interface HashDescriptorOptions {
  readonly partitionName: string;
  readonly salt: Uint8Array;
  /** Default sha256. libavb refuses sha1. */
  readonly hashAlgorithm?: 'sha1' | 'sha256' | 'sha512';
  /** Leaves the digest out of the descriptor: the device keeps it (`use_persistent_digest`). */
  readonly persistentDigest?: boolean;
  /** 1: the partition has no A/B slots. */
  readonly flags?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Hashes an image, streaming, into the descriptor that pins it. */
export async function computeHashDescriptor(
  image: ByteSource,
  options: HashDescriptorOptions,
): Promise<HashDescriptor> {
  const { hashAlgorithm = 'sha256', salt } = options;
  const hash = createHash(hashAlgorithm).update(salt);
  for await (const chunk of streamOf(image)) {
    options.signal?.throwIfAborted();
    hash.update(chunk);
  }
  return hashDescriptorOf(image.size, hash.digest(), options);
}

/** The same where the digest over salt and image is known. */
export function hashDescriptorOf(
  imageSize: number,
  digest: Uint8Array,
  options: HashDescriptorOptions,
): HashDescriptor {
  return {
    kind: 'hash',
    imageSize,
    hashAlgorithm: options.hashAlgorithm ?? 'sha256',
    partitionName: options.partitionName,
    salt: options.salt,
    digest: options.persistentDigest === true ? NO_BYTES : new Uint8Array(digest),
    flags: options.flags ?? 0,
  };
}

/** What was put behind an image. Sizes and offsets are bytes from the start of the partition. */
export interface FooterResult {
  readonly descriptor: HashDescriptor | HashtreeDescriptor;
  readonly vbmeta: Uint8Array;
  readonly vbmetaOffset: number;
  readonly partitionSize: number;
}

/**
 * The partition size for `--dynamic_partition_size` of avbtool: the image, room for the largest
 * vbmeta, and the block of the footer.
 */
export function dynamicPartitionSize(imageSize: number): number {
  return alignUp(imageSize, AVB_IMAGE_BLOCK_SIZE) + AVB_VBMETA_MAX_SIZE + AVB_IMAGE_BLOCK_SIZE;
}

function checkPartitionSize(partitionSize: number, needed: number): void {
  if (partitionSize % AVB_IMAGE_BLOCK_SIZE !== 0) {
    throw new RangeError(
      `Cannot use partition size ${partitionSize}: it is not a multiple of ${AVB_IMAGE_BLOCK_SIZE}`,
    );
  }
  if (partitionSize < needed) {
    throw new RangeError(
      `Cannot use partition size ${partitionSize}: image, vbmeta and footer need ${needed} bytes`,
    );
  }
}

/** Writes the vbmeta (padded to a block) at `vbmetaOffset` and the footer into the last block. */
async function writeVbmetaAndFooter(
  sink: ImageSink,
  at: { originalImageSize: number; vbmetaOffset: number; partitionSize: number },
  vbmeta: Uint8Array,
): Promise<void> {
  const { originalImageSize, vbmetaOffset, partitionSize } = at;
  const padded = alignUp(vbmeta.length, AVB_IMAGE_BLOCK_SIZE);
  checkPartitionSize(partitionSize, vbmetaOffset + padded + AVB_IMAGE_BLOCK_SIZE);
  await sink.write(vbmetaOffset, vbmeta);
  await sink.truncate(partitionSize);
  await sink.write(
    partitionSize - AVB_FOOTER_SIZE,
    encodeFooter({ originalImageSize, vbmetaOffset, vbmetaSize: vbmeta.length }),
  );
}

export interface HashFooterOptions {
  readonly hash: HashDescriptorOptions;
  readonly vbmeta: VbmetaSigning;
  /** In bytes, a multiple of 4096; `dynamic` for `dynamicPartitionSize`. */
  readonly partitionSize: number | 'dynamic';
  /** Stand behind the descriptor of the image itself. */
  readonly descriptors?: readonly Descriptor[];
  /** The digest over salt and image, where the sink has the image already: it is not read then. */
  readonly imageDigest?: Uint8Array | undefined;
}

/**
 * Copies an image to `sink`, hashing it on the way, and puts a signed vbmeta and a footer behind it.
 *
 * FORMAT: image, zeros to 4096, vbmeta, hole, footer in the last 64 bytes.
 *
 * @param image Without footer.
 * @throws {RangeError} when the partition is too small.
 */
export async function addHashFooter(
  image: ByteSource,
  sink: ImageSink,
  options: HashFooterOptions,
): Promise<FooterResult> {
  const partitionSize =
    options.partitionSize === 'dynamic' ? dynamicPartitionSize(image.size) : options.partitionSize;
  const vbmetaOffset = alignUp(image.size, AVB_IMAGE_BLOCK_SIZE);
  checkPartitionSize(partitionSize, vbmetaOffset + 2 * AVB_IMAGE_BLOCK_SIZE);
  const digest = options.imageDigest ?? (await copyHashed(image, sink, options.hash));
  const descriptor = hashDescriptorOf(image.size, digest, options.hash);
  const vbmeta = await signVbmeta({
    ...options.vbmeta,
    descriptors: [descriptor, ...(options.descriptors ?? [])],
  });
  await writeVbmetaAndFooter(
    sink,
    { originalImageSize: image.size, vbmetaOffset, partitionSize },
    vbmeta,
  );
  return { descriptor, vbmeta, vbmetaOffset, partitionSize };
}

async function copyHashed(
  image: ByteSource,
  sink: ImageSink,
  { hashAlgorithm = 'sha256', salt }: HashDescriptorOptions,
): Promise<Uint8Array> {
  const hash = createHash(hashAlgorithm).update(salt);
  let at = 0;
  for await (const chunk of streamOf(image)) {
    hash.update(chunk);
    await sink.write(at, chunk);
    at += chunk.length;
  }
  return hash.digest();
}

/** The tree that the image writer has computed. Sizes and offsets are bytes. */
export interface HashtreeOptions {
  readonly partitionName: string;
  /** Of the data that the tree covers: a multiple of the block size. */
  readonly imageSize: number;
  readonly treeOffset: number;
  readonly treeSize: number;
  readonly rootDigest: Uint8Array;
  readonly salt: Uint8Array;
  /** Default sha256. */
  readonly hashAlgorithm?: string;
  /** Default 4096. */
  readonly dataBlockSize?: number;
  readonly hashBlockSize?: number;
  readonly fec?: { readonly numRoots: number; readonly offset: number; readonly size: number };
  /** 1: the partition has no A/B slots; 2: check every block at most once. */
  readonly flags?: number;
}

/** The descriptor of a dm-verity tree (version 1: salt first). */
export function hashtreeDescriptor(tree: HashtreeOptions): HashtreeDescriptor {
  return {
    kind: 'hashtree',
    dmVerityVersion: 1,
    imageSize: tree.imageSize,
    treeOffset: tree.treeOffset,
    treeSize: tree.treeSize,
    dataBlockSize: tree.dataBlockSize ?? 4096,
    hashBlockSize: tree.hashBlockSize ?? 4096,
    fecNumRoots: tree.fec?.numRoots ?? 0,
    fecOffset: tree.fec?.offset ?? 0,
    fecSize: tree.fec?.size ?? 0,
    hashAlgorithm: tree.hashAlgorithm ?? 'sha256',
    partitionName: tree.partitionName,
    salt: tree.salt,
    rootDigest: tree.rootDigest,
    flags: tree.flags ?? 0,
  };
}

export interface HashtreeFooterOptions {
  readonly vbmeta: VbmetaSigning;
  readonly tree: HashtreeOptions;
  /** In bytes, a multiple of 4096; `minimal` ends right behind the vbmeta with the block of the footer. */
  readonly partitionSize: number | 'minimal';
  /** Size of the image before it was padded to blocks; default the tree's `imageSize`. */
  readonly originalImageSize?: number;
  /** Stand behind the hashtree descriptor. */
  readonly descriptors?: readonly Descriptor[];
}

/**
 * Puts a signed vbmeta and a footer behind an image whose data, tree and FEC are in `sink` already.
 *
 * FORMAT: image, tree, FEC, zeros to 4096, vbmeta, hole, footer in the last 64 bytes.
 *
 * @throws {RangeError} when the partition is too small.
 */
export async function addHashtreeFooter(
  sink: ImageSink,
  options: HashtreeFooterOptions,
): Promise<FooterResult> {
  const { tree } = options;
  const descriptor = hashtreeDescriptor(tree);
  const vbmeta = await signVbmeta({
    ...options.vbmeta,
    descriptors: [descriptor, ...(options.descriptors ?? [])],
  });
  const end = Math.max(
    tree.imageSize,
    tree.treeOffset + tree.treeSize,
    descriptor.fecOffset + descriptor.fecSize,
  );
  const vbmetaOffset = alignUp(end, AVB_IMAGE_BLOCK_SIZE);
  const partitionSize =
    options.partitionSize === 'minimal'
      ? vbmetaOffset + alignUp(vbmeta.length, AVB_IMAGE_BLOCK_SIZE) + AVB_IMAGE_BLOCK_SIZE
      : options.partitionSize;
  await writeVbmetaAndFooter(
    sink,
    { originalImageSize: options.originalImageSize ?? tree.imageSize, vbmetaOffset, partitionSize },
    vbmeta,
  );
  return { descriptor, vbmeta, vbmetaOffset, partitionSize };
}
