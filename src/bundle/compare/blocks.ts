/** Whether bytes of two images are equal, by the cheapest way there is: digests of blocks, else the bytes. */

import { equalBytes } from '../../core/digest.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { sliceSource } from '../../io/byte-source.ts';
import { firstDifference } from './bytes.ts';
import type { BlockRange, TreeView } from './hash-tree.ts';

export interface ImageSide {
  readonly image: ByteSource;
  readonly tree: TreeView | undefined;
}

export interface ImagePair {
  readonly a: ImageSide;
  readonly b: ImageSide;
  /** What differs at the same place, if trees told it. */
  readonly ranges: readonly BlockRange[] | undefined;
  readonly blockSize: number;
}

/** Whether `size` bytes at one offset of the first image are those at another of the second. */
export async function equalRange(
  { a, b, ranges, blockSize }: ImagePair,
  offsetA: number,
  offsetB: number,
  size: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const samePlace = offsetA === offsetB;
  if (samePlace && ranges !== undefined && !touches(ranges, offsetA, size, blockSize)) return true;
  const [treeA, treeB] = [a.tree, b.tree];
  const isAligned = offsetA % blockSize === 0 && offsetB % blockSize === 0;
  let done = 0;
  if (isAligned && treeA !== undefined && treeB !== undefined && ranges !== undefined) {
    const blocks = Math.floor(size / blockSize);
    for (let i = 0; i < blocks; i += 1) {
      signal?.throwIfAborted();
      const x = await treeA.digest(0, offsetA / blockSize + i);
      if (!equalBytes(x, await treeB.digest(0, offsetB / blockSize + i))) return false;
    }
    done = blocks * blockSize;
  }
  if (done === size) return true;
  const rest = (image: ByteSource, offset: number): ByteSource =>
    sliceSource(image, offset + done, size - done);
  return (
    (await firstDifference(rest(a.image, offsetA), rest(b.image, offsetB), signal)) === undefined
  );
}

/** Whether any of the blocks of a range of bytes is listed. */
export function touches(
  ranges: readonly BlockRange[],
  offset: number,
  size: number,
  blockSize: number,
): boolean {
  if (size === 0) return false;
  const first = Math.floor(offset / blockSize);
  const last = Math.floor((offset + size - 1) / blockSize);
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range !== undefined && range.first + range.count <= first) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low];
  return range !== undefined && range.first <= last;
}
