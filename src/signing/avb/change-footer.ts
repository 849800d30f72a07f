/** The verbs that move, take away or empty what stands behind an image: nothing is signed anew. */

import { FormatError, UsageError } from '../../core/errors.ts';
import { alignUp } from '../../core/math.ts';
import type { HashtreeDescriptor } from '../../formats/avb/descriptor.ts';
import { readVbmeta, type AvbFooter } from '../../formats/avb/footer.ts';
import { decodeVbmeta } from '../../formats/avb/vbmeta.ts';
import { sliceSource, streamOf, type ByteSource } from '../../io/byte-source.ts';
import { editImage, type EditableImage } from './edit-image.ts';
import {
  appendFooter,
  appendFooterBlock,
  checkPartitionSize,
  cutOldFooter,
  findFooter,
} from './image-footer.ts';
import { isZero } from './undoable-file.ts';

/** The first bytes of a tree, or parity, that was emptied: it can be made again. */
const ZEROED_MARK = new TextEncoder().encode('ZeRoHaSH');

async function requireFooter(image: ByteSource): Promise<AvbFooter> {
  const footer = await findFooter(image);
  if (footer !== undefined) return footer;
  throw new FormatError('avb', 'bad-magic', `Cannot change ${image.name}: it has no AVB footer`, {
    offset: Math.max(0, image.size - 64),
    field: 'footer.magic',
  });
}

/** The vbmeta of an image alone, without padding. */
export async function readVbmetaBytes(image: ByteSource): Promise<Uint8Array> {
  const { bytes } = await readVbmeta(image);
  return bytes.slice(0, decodeVbmeta(bytes).size);
}

async function findTree(image: ByteSource): Promise<HashtreeDescriptor> {
  const { descriptors } = decodeVbmeta((await readVbmeta(image)).bytes);
  const tree = descriptors.find((descriptor) => descriptor.kind === 'hashtree');
  if (tree?.kind === 'hashtree') return tree;
  throw new UsageError(
    'input',
    `Cannot find a hash tree in ${image.name}: no descriptor names one`,
  );
}

/** Where tree and parity end, checked against the image. */
function endOfTree(tree: HashtreeDescriptor, footer: AvbFooter, image: ByteSource): number {
  const end = Math.max(
    tree.imageSize,
    tree.treeOffset + tree.treeSize,
    tree.fecOffset > 0 ? tree.fecOffset + tree.fecSize : 0,
  );
  if (end <= footer.vbmetaOffset) return end;
  throw new FormatError(
    'avb',
    'out-of-range',
    `Cannot change ${image.name}: its hash tree or parity ends at ${end}, behind its vbmeta at ${footer.vbmetaOffset}`,
    { field: 'hashtree descriptor.tree_offset' },
  );
}

/**
 * Puts a vbmeta that exists behind an image, in place of an older footer.
 *
 * @param vbmeta As `readVbmetaBytes` gives it.
 * @throws {UsageError} when the partition is too small.
 */
export async function appendVbmetaToFile(
  path: string,
  vbmeta: Uint8Array,
  partitionSize: number,
): Promise<void> {
  await editImage(path, async (image) => {
    checkPartitionSize(partitionSize, image.blockSize);
    const originalSize = await cutOldFooter(image);
    await appendFooter(image, vbmeta, originalSize, partitionSize);
  });
}

/**
 * Cuts an image back to what it was before it had a footer.
 *
 * @param keepHashtree Keeps tree and parity.
 * @throws {FormatError} when it has no footer.
 */
export async function eraseFooter(path: string, keepHashtree: boolean): Promise<void> {
  await editImage(path, async (image) => {
    const footer = await requireFooter(image.source);
    const size = keepHashtree
      ? endOfTree(await findTree(image.source), footer, image.source)
      : footer.originalImageSize;
    await image.truncate(size);
  });
}

/**
 * Makes the partition larger or smaller: the footer moves.
 *
 * @throws {FormatError} when it has no footer.
 * @throws {UsageError} when its content does not fit.
 */
export async function resizeImage(path: string, partitionSize: number): Promise<void> {
  await editImage(path, async (image) => {
    checkPartitionSize(partitionSize, image.blockSize);
    const footer = await requireFooter(image.source);
    await image.truncate(alignUp(footer.vbmetaOffset + footer.vbmetaSize, image.blockSize));
    await appendFooterBlock(image, footer, partitionSize);
  });
}

/** Appends a part of an image that has been emptied: a mark, then zeros. */
async function appendZeroed(image: EditableImage, size: number): Promise<void> {
  if (size === 0) return;
  const first = new Uint8Array(Math.min(size, image.blockSize));
  first.set(ZEROED_MARK);
  await image.append(first);
  await image.appendZeros(size - first.length);
}

/**
 * Empties tree and parity, so that the image compresses better; a device can make them again. Everything
 * behind them stays.
 *
 * @throws {FormatError} when it has no footer.
 * @throws {UsageError} when it has no tree.
 */
export async function zeroHashtree(path: string): Promise<void> {
  await editImage(path, async (image) => {
    const { source } = image;
    const footer = await requireFooter(source);
    const tree = await findTree(source);
    const end = endOfTree(tree, footer, source);
    if (tree.treeSize === 0) {
      throw new UsageError('input', `Cannot empty the hash tree of ${path}: it has none`);
    }
    if (tree.fecSize > 0 && tree.fecOffset !== tree.treeOffset + tree.treeSize) {
      throw new UsageError(
        'input',
        `Cannot empty the hash tree of ${path}: its parity does not follow it`,
      );
    }
    const tail = await readTail(source, end);
    await image.truncate(tree.treeOffset);
    await appendZeroed(image, tree.treeSize);
    await appendZeroed(image, tree.fecSize);
    await image.pad(image.blockSize);
    for (const part of tail) {
      if (typeof part === 'number') await image.appendHole(part);
      else await image.append(part);
    }
  });
}

/** What stands behind a tree: vbmeta and footer are small, the rest is a hole. */
const MAX_TAIL = 1 << 24;

/** The content from `start` on, as bytes and the sizes of holes. */
async function readTail(image: ByteSource, start: number): Promise<(Uint8Array | number)[]> {
  const parts: (Uint8Array | number)[] = [];
  let kept = 0;
  for await (const chunk of streamOf(sliceSource(image, start, image.size - start))) {
    if (isZero(chunk)) {
      parts.push(chunk.length);
      continue;
    }
    kept += chunk.length;
    if (kept > MAX_TAIL) {
      throw new UsageError(
        'input',
        `Cannot empty the hash tree of ${image.name}: more than vbmeta and footer follow it`,
      );
    }
    parts.push(chunk.slice());
  }
  return parts;
}

/** Whether a tree was emptied by `zeroHashtree`, or never stored. */
export async function isZeroedTree(image: ByteSource, tree: HashtreeDescriptor): Promise<boolean> {
  if (tree.treeSize === 0) return true;
  if (tree.treeOffset + ZEROED_MARK.length > image.size) return false;
  const head = await image.read(tree.treeOffset, ZEROED_MARK.length);
  return Buffer.from(head).equals(ZEROED_MARK);
}
