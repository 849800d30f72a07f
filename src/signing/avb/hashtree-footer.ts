/** `add_hashtree_footer`: a dm-verity tree, its parity and a signed vbmeta behind an image. */

import { digestSize } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { alignUp, divCeil } from '../../core/math.ts';
import type { HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import {
  HASHTREE_FLAG_CHECK_AT_MOST_ONCE,
  HASHTREE_FLAG_DO_NOT_USE_AB,
} from '../../formats/avb/kernel-cmdline.ts';
import { orderDescriptors } from '../../formats/avb/order.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { BlockHasher, TreeAlgorithm } from '../../verity/block-hasher.ts';
import { fecLayout } from '../../verity/fec/layout.ts';
import { fecMatrix } from '../../verity/fec/matrix.ts';
import { writeParity } from '../../verity/fec/parity.ts';
import type { FecEncoder } from '../../verity/fec-encoder.ts';
import { hashTreeLevels, isBlockSize } from '../../verity/hash-tree-layout.ts';
import { writeHashTree } from '../../verity/write-hash-tree.ts';
import { editImage, type EditableImage } from './edit-image.ts';
import type { AddedFooter } from './hash-footer.ts';
import {
  appendFooter,
  checkImageSize,
  checkPartitionSize,
  cutOldFooter,
  type FooterContent,
} from './image-footer.ts';
import { maxHashtreeImageSize } from './max-image-size.ts';
import { contentSalt } from './salt.ts';
import { hashtreeDescriptor, signVbmeta } from './sign.ts';

export interface AddHashtreeFooterOptions extends FooterContent {
  readonly partitionName: string;
  /** In bytes, a multiple of 4096; undefined to end right behind the footer. */
  readonly partitionSize?: number | undefined;
  /** Default sha256. */
  readonly hashAlgorithm?: TreeAlgorithm;
  /** Of data and tree, in bytes. Default 4096. */
  readonly blockSize?: number;
  /** Default: derived from the content; none with a persistent digest. */
  readonly salt?: Uint8Array;
  /** Parity for error correction, 2 to 24 bytes a codeword. Default none. */
  readonly fecRoots?: number | undefined;
  readonly fecEncoder?: FecEncoder | undefined;
  /** Leaves tree and parity out of the image; the descriptor still holds the root digest. */
  readonly noHashtree?: boolean;
  /** The device keeps the root digest, the descriptor leaves it out. */
  readonly persistentDigest?: boolean;
  /** The partition has no A/B slots. */
  readonly doNotUseAb?: boolean;
  /** The kernel checks a block when it is first read only. */
  readonly checkAtMostOnce?: boolean;
  /** Adds the kernel command lines that make this partition the root file system. */
  readonly asRootfs?: boolean;
  readonly hasher?: BlockHasher | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

interface WrittenTree {
  readonly rootDigest: Uint8Array;
  readonly treeSize: number;
  readonly fecOffset: number;
  readonly fecSize: number;
}

/** Writes tree and parity at the end of the image, unless they are to be left out. */
async function appendTree(
  image: EditableImage,
  data: ByteSource,
  salt: Uint8Array,
  options: AddHashtreeFooterOptions,
): Promise<WrittenTree> {
  const { hashAlgorithm: algorithm = 'sha256', blockSize = 4096, fecRoots, signal } = options;
  const parameters = {
    algorithm,
    dataBlockSize: blockSize,
    hashBlockSize: blockSize,
    salt,
    hasher: options.hasher,
    signal: options.signal,
    onProgress: options.onProgress,
  };
  const treeOffset = image.size();
  if (options.noHashtree === true) {
    const nowhere = { write: () => Promise.resolve() };
    const { rootDigest } = await writeHashTree(data, nowhere, parameters);
    return {
      rootDigest,
      treeSize: 0,
      fecOffset: fecRoots === undefined ? 0 : treeOffset,
      fecSize: 0,
    };
  }
  const { treeSize } = hashTreeLevels(divCeil(data.size, blockSize), { algorithm, blockSize });
  const room = alignUp(treeSize, image.blockSize);
  const { rootDigest } = await image.appendWith(room, (target) =>
    writeHashTree(data, target, parameters),
  );
  if (fecRoots === undefined) return { rootDigest, treeSize, fecOffset: 0, fecSize: 0 };
  const fecOffset = image.size();
  const layout = fecLayout(fecOffset, blockSize, fecRoots);
  const matrix = fecMatrix([image.data(fecOffset)], layout);
  await image.appendWith(alignUp(layout.paritySize, image.blockSize), (target) =>
    writeParity(matrix, target, { encoder: options.fecEncoder, signal }),
  );
  return { rootDigest, treeSize, fecOffset, fecSize: layout.paritySize };
}

function checkOptions({ blockSize = 4096, fecRoots }: AddHashtreeFooterOptions): void {
  if (!isBlockSize(blockSize) || blockSize < 512) {
    throw new UsageError(
      'usage',
      `Cannot use block size ${blockSize}: it must be a power of two of 512 to 65536`,
    );
  }
  // Refuses a number of roots that the kernel does not have, before anything is done.
  if (fecRoots !== undefined) fecLayout(blockSize, blockSize, fecRoots);
}

/**
 * Puts tree, parity, vbmeta and footer behind the image at `path`, in place of older ones.
 *
 * FORMAT: image, zeros to a block, tree, parity, vbmeta, hole, footer in the last 64 bytes. A failure
 * leaves the image as it was. Without `append` the image ends with its parity.
 *
 * @throws {UsageError} when the image does not fit.
 */
export async function addHashtreeFooterToFile(
  path: string,
  options: AddHashtreeFooterOptions,
): Promise<AddedFooter<HashtreeDescriptor>> {
  const { hashAlgorithm = 'sha256', blockSize = 4096, partitionSize, partitionName } = options;
  checkOptions(options);
  return editImage(
    path,
    async (image) => {
      if (partitionSize !== undefined) {
        checkPartitionSize(partitionSize, image.blockSize);
      } else if (image.size() % image.blockSize !== 0) {
        throw new UsageError(
          'input',
          `Cannot use ${path}: its size ${image.size()} is not a multiple of ${image.blockSize}`,
          { hint: 'Give a partition size, or pad the image' },
        );
      }
      const originalSize = await cutOldFooter(image);
      if (originalSize === 0) {
        throw new UsageError('input', `Cannot make a hash tree over ${path}: it is empty`);
      }
      await image.pad(Math.max(blockSize, image.blockSize));
      const imageSize = image.size();
      if (partitionSize !== undefined) {
        const space = { algorithm: hashAlgorithm, blockSize, fecRoots: options.fecRoots };
        const max = maxHashtreeImageSize(
          partitionSize,
          options.noHashtree === true ? undefined : space,
        );
        checkImageSize(imageSize, max, partitionSize);
      }
      const data = image.data(imageSize);
      const persistent = options.persistentDigest === true;
      const salt =
        options.salt ??
        (persistent
          ? new Uint8Array(0)
          : await contentSalt(data, partitionName, digestSize[hashAlgorithm]));
      const tree = await appendTree(image, data, salt, options);
      const descriptor = hashtreeDescriptor({
        partitionName,
        imageSize,
        treeOffset: imageSize,
        treeSize: tree.treeSize,
        rootDigest: persistent ? new Uint8Array(0) : tree.rootDigest,
        salt,
        hashAlgorithm,
        dataBlockSize: blockSize,
        hashBlockSize: blockSize,
        ...(options.fecRoots !== undefined && {
          fec: { numRoots: options.fecRoots, offset: tree.fecOffset, size: tree.fecSize },
        }),
        flags:
          (options.doNotUseAb === true ? HASHTREE_FLAG_DO_NOT_USE_AB : 0) |
          (options.checkAtMostOnce === true ? HASHTREE_FLAG_CHECK_AT_MOST_ONCE : 0),
      });
      const vbmeta = await signVbmeta({
        ...options.vbmeta,
        descriptors: orderDescriptors(descriptor, options.descriptors ?? {}, options.asRootfs),
      });
      if (options.append !== false) {
        await appendFooter(image, vbmeta, originalSize, partitionSize);
      }
      return { descriptor, vbmeta, partitionSize: image.size() };
    },
    options.signal,
  );
}
