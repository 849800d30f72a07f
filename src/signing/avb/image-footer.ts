/** What all verbs that put a vbmeta behind an image share: the old footer, and writing the new one. */

import { UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { AvbAlgorithmName } from '../../formats/avb/algorithm.ts';
import {
  AVB_FOOTER_SIZE,
  decodeFooter,
  encodeFooter,
  hasFooter,
  readFooterBytes,
  type AvbFooter,
} from '../../formats/avb/footer.ts';
import { AVB_IMAGE_BLOCK_SIZE } from '../../formats/avb/layout.ts';
import type { DescriptorSources } from '../../formats/avb/order.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import type { EditableImage } from './edit-image.ts';
import type { VbmetaSigning } from './sign.ts';

/** What a footer's vbmeta is made of. */
export interface FooterContent {
  readonly vbmeta: VbmetaSigning & { readonly algorithm?: AvbAlgorithmName };
  readonly descriptors?: DescriptorSources;
  /** Whether vbmeta and footer go behind the image; default yes. */
  readonly append?: boolean;
}

/** The footer of an image, or undefined when it has none. */
export async function findFooter(image: ByteSource): Promise<AvbFooter | undefined> {
  const tail = await readFooterBytes(image);
  return tail !== undefined && hasFooter(tail) ? decodeFooter(tail, image.size) : undefined;
}

/** Cuts off an old footer with all that stands before it. @returns the size of what is left. */
export async function cutOldFooter(image: EditableImage): Promise<number> {
  const footer = await findFooter(image.source);
  if (footer === undefined) return image.size();
  await image.truncate(footer.originalImageSize);
  return footer.originalImageSize;
}

/**
 * @throws {UsageError} when a partition cannot have that size.
 */
export function checkPartitionSize(partitionSize: number, blockSize = AVB_IMAGE_BLOCK_SIZE): void {
  if (partitionSize % blockSize === 0) return;
  throw new UsageError(
    'usage',
    `Cannot use partition size ${partitionSize}: it is not a multiple of ${blockSize}`,
  );
}

/**
 * @throws {UsageError} when the image leaves too little room.
 */
export function checkImageSize(size: number, maxSize: number, partitionSize: number): void {
  if (size <= maxSize) return;
  throw new UsageError(
    'input',
    `Cannot put an image of ${size} bytes into a partition of ${partitionSize}: with its metadata, at most ${Math.max(0, maxSize)} bytes fit`,
  );
}

/**
 * Puts a vbmeta at the end of an image, padded to blocks, and the footer into the last block.
 *
 * @param partitionSize Undefined for the smallest that holds it all.
 * @throws {UsageError} when the partition is too small.
 */
export async function appendFooter(
  image: EditableImage,
  vbmeta: Uint8Array,
  originalImageSize: number,
  partitionSize: number | undefined,
): Promise<void> {
  await image.pad(image.blockSize);
  const vbmetaOffset = image.size();
  const padded = new Uint8Array(alignUp(vbmeta.length, image.blockSize));
  padded.set(vbmeta);
  await image.append(padded);
  await appendFooterBlock(
    image,
    { originalImageSize, vbmetaOffset, vbmetaSize: vbmeta.length },
    partitionSize,
  );
}

/** Fills up to the last block of the partition with a hole and writes the footer there. */
export async function appendFooterBlock(
  image: EditableImage,
  footer: AvbFooter,
  partitionSize: number | undefined,
): Promise<void> {
  const needed = image.size() + image.blockSize;
  const size = partitionSize ?? needed;
  if (size < needed) {
    throw new UsageError(
      'usage',
      `Cannot use partition size ${size}: image, vbmeta and footer need ${needed} bytes`,
    );
  }
  if (size > needed) await image.appendHole(size - needed);
  const block = new Uint8Array(image.blockSize);
  block.set(encodeFooter(footer), block.length - AVB_FOOTER_SIZE);
  await image.append(block);
}
