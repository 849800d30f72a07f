/** `sign image`: the vbmeta of an image, or a vbmeta image, is signed anew and changed in place. */

import { FormatError, UsageError } from '../../core/errors.ts';
import { equalBytes } from '../../core/digest.ts';
import { alignUp } from '../../core/math.ts';
import { readVbmeta, type AvbFooter } from '../../formats/avb/footer.ts';
import { AVB_VBMETA_MAX_SIZE } from '../../formats/avb/layout.ts';
import { decodeVbmeta, type Vbmeta } from '../../formats/avb/vbmeta.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { editImage, openImage, type EditableImage } from './edit-image.ts';
import { appendFooter, checkPartitionSize } from './image-footer.ts';
import { planResign, signPlan, type ResignOptions, type ResignPlan } from './resign.ts';
import { isZero } from './undoable-file.ts';

export interface ResignImageOptions extends ResignOptions {
  /** Size of the image afterwards, in bytes; default as it is. */
  readonly partitionSize?: number | undefined;
  /** Told what will be signed before it is; what it throws ends it. */
  readonly review?: ((plan: ResignPlan) => Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ResignedImage {
  readonly before: Vbmeta;
  readonly after: Vbmeta;
  /** The new vbmeta, not padded. */
  readonly vbmeta: Uint8Array;
  /** Of the whole image, in bytes. */
  readonly size: number;
}

interface FoundVbmeta {
  /** Without padding. */
  readonly bytes: Uint8Array;
  readonly vbmeta: Vbmeta;
  readonly footer: AvbFooter | undefined;
}

/** @throws {FormatError} with what else the file may be. */
async function findVbmeta(image: ByteSource): Promise<FoundVbmeta> {
  const { bytes, footer } = await readVbmeta(image);
  try {
    const vbmeta = decodeVbmeta(bytes);
    return { bytes: bytes.slice(0, vbmeta.size), vbmeta, footer };
  } catch (cause) {
    if (!(cause instanceof FormatError) || cause.code !== 'bad-magic') throw cause;
    throw new FormatError(
      'avb',
      'bad-magic',
      `Cannot sign ${image.name}: it is no vbmeta image and has no AVB footer`,
      {
        cause,
        hint: 'Put a footer behind it with microbuild avb add_hash_footer or add_hashtree_footer; for a bundle use microbuild sign bundle',
      },
    );
  }
}

/** A vbmeta image: the vbmeta, and zeros up to the size of its partition. */
async function replaceWhole(
  image: EditableImage,
  old: Uint8Array,
  vbmeta: Uint8Array,
  partitionSize: number | undefined,
): Promise<void> {
  const before = image.size();
  const isPadded = before > old.length;
  const size = partitionSize ?? (isPadded ? before : vbmeta.length);
  if (vbmeta.length > size) {
    throw new UsageError(
      'input',
      `Cannot put a vbmeta of ${vbmeta.length} bytes into a partition of ${size}`,
      { hint: 'Give the partition more room with --partition-size' },
    );
  }
  const limit = Math.min(before, AVB_VBMETA_MAX_SIZE);
  if (!isZero(await image.source.read(old.length, limit - old.length))) {
    throw new UsageError(
      'input',
      `Cannot sign ${image.source.name}: bytes that are not zero follow its vbmeta`,
    );
  }
  await image.truncate(0);
  if (image.isSparse) {
    const block = new Uint8Array(alignUp(vbmeta.length, image.blockSize));
    block.set(vbmeta);
    await image.append(block);
    if (size > block.length) await image.appendZeros(size - block.length);
    return;
  }
  await image.append(vbmeta);
  if (size > vbmeta.length) await image.appendZeros(size - vbmeta.length);
}

/**
 * Signs the vbmeta of the image at `path` anew. What the image holds is not read; a failure leaves it as
 * it was.
 *
 * @throws {UsageError} when the new vbmeta does not fit, or as `planResign` does.
 * @throws {FormatError} when there is no vbmeta, or it is damaged.
 */
export async function resignImageFile(
  path: string,
  options: ResignImageOptions,
): Promise<ResignedImage> {
  const { source } = await openImage(path);
  let found: FoundVbmeta;
  try {
    found = await findVbmeta(source);
  } finally {
    await source.close();
  }
  // Signed before the file is opened for writing: a key that does not answer changes nothing.
  const plan = planResign(found.vbmeta, options, found.footer !== undefined);
  await options.review?.(plan);
  const vbmeta = await signPlan(plan);
  const size = await editImage(
    path,
    async (image) => {
      const { bytes, footer } = await findVbmeta(image.source);
      if (!equalBytes(bytes, found.bytes)) {
        throw new UsageError(
          'input',
          `Cannot sign ${path}: somebody else has changed it meanwhile`,
        );
      }
      if (footer === undefined) {
        await replaceWhole(image, bytes, vbmeta, options.partitionSize);
        return image.size();
      }
      const partitionSize = options.partitionSize ?? image.size();
      checkPartitionSize(partitionSize, image.blockSize);
      await image.truncate(footer.vbmetaOffset);
      await image.pad(image.blockSize);
      const needed = image.size() + alignUp(vbmeta.length, image.blockSize) + image.blockSize;
      if (partitionSize < needed) {
        throw new UsageError(
          'input',
          `Cannot put a vbmeta of ${vbmeta.length} bytes into a partition of ${partitionSize}: ${needed} bytes are needed`,
          { hint: `Give the partition more room: --partition-size ${needed}` },
        );
      }
      await appendFooter(image, vbmeta, footer.originalImageSize, partitionSize);
      return image.size();
    },
    options.signal,
  );
  return { before: found.vbmeta, after: decodeVbmeta(vbmeta), vbmeta, size };
}
