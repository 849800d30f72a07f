/** `add_hash_footer`: the digest of an image, signed, behind it. For images that are read whole. */

import { digestSize } from '../../core/digest.ts';
import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { HashDescriptor } from '../../formats/avb/descriptor.ts';
import { orderDescriptors } from '../../formats/avb/order.ts';
import { sliceSource } from '../../io/byte-source.ts';
import { editImage } from './edit-image.ts';
import {
  appendFooter,
  checkImageSize,
  checkPartitionSize,
  cutOldFooter,
  findFooter,
  type FooterContent,
} from './image-footer.ts';
import { MAX_METADATA_SIZE } from './max-image-size.ts';
import { contentSalt } from './salt.ts';
import { computeHashDescriptor, signVbmeta } from './sign.ts';

export interface AddHashFooterOptions extends FooterContent {
  readonly partitionName: string;
  /** In bytes, a multiple of 4096; `dynamic` for the image, the largest vbmeta and a footer. */
  readonly partitionSize: number | 'dynamic';
  /** Default sha256. */
  readonly hashAlgorithm?: 'sha1' | 'sha256' | 'sha512';
  /** Default: derived from the content; none with a persistent digest. */
  readonly salt?: Uint8Array;
  /** The device keeps the digest, the descriptor leaves it out. */
  readonly persistentDigest?: boolean;
  /** The partition has no A/B slots. */
  readonly doNotUseAb?: boolean;
  readonly signal?: AbortSignal;
}

export interface AddedFooter<D> {
  readonly descriptor: D;
  readonly vbmeta: Uint8Array;
  readonly partitionSize: number;
}

function sizesOf(requested: number | 'dynamic', imageSize: number, blockSize: number): number {
  if (requested === 'dynamic') return alignUp(imageSize + MAX_METADATA_SIZE, blockSize);
  if (requested < MAX_METADATA_SIZE) {
    throw new UsageError(
      'usage',
      `Cannot use partition size ${requested}: vbmeta and footer alone may need ${MAX_METADATA_SIZE} bytes`,
    );
  }
  checkPartitionSize(requested, blockSize);
  return requested;
}

/**
 * Puts hash descriptor, vbmeta and footer behind the image at `path`, in place of an older footer.
 *
 * FORMAT: image, zeros to 4096, vbmeta, hole, footer in the last 64 bytes. A failure leaves the image
 * as it was.
 *
 * @throws {UsageError} when the image does not fit.
 */
export async function addHashFooterToFile(
  path: string,
  options: AddHashFooterOptions,
): Promise<AddedFooter<HashDescriptor>> {
  const { hashAlgorithm = 'sha256', partitionName, persistentDigest = false, signal } = options;
  return editImage(
    path,
    async (image) => {
      // Everything that may go wrong is done before the image is touched.
      const old = await findFooter(image.source);
      const size = old?.originalImageSize ?? image.size();
      const partitionSize = sizesOf(options.partitionSize, size, image.blockSize);
      checkImageSize(size, partitionSize - MAX_METADATA_SIZE, partitionSize);
      const content = sliceSource(image.source, 0, size);
      const salt =
        options.salt ??
        (persistentDigest
          ? new Uint8Array(0)
          : await contentSalt(content, partitionName, digestSize[hashAlgorithm]));
      const descriptor = await computeHashDescriptor(content, {
        partitionName,
        salt,
        hashAlgorithm,
        persistentDigest,
        flags: options.doNotUseAb === true ? 1 : 0,
        signal,
      });
      const vbmeta = await signVbmeta({
        ...options.vbmeta,
        descriptors: orderDescriptors(descriptor, options.descriptors ?? {}),
      });
      await cutOldFooter(image);
      if (options.append !== false) await appendFooter(image, vbmeta, size, partitionSize);
      return { descriptor, vbmeta, partitionSize };
    },
    signal,
  );
}
