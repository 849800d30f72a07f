/** What a compressor was asked for, held against what it made. */

import { EXTENT_WORDS, type StoredData } from '../../compression/cluster-batch.ts';
import { divCeil } from '../../core/math.ts';

/** @throws {TypeError} when extents cannot be stored: no index could describe them. */
export function checkClusters(
  { extents, bytes }: StoredData,
  size: number,
  blockSize: number,
): void {
  let length = 0;
  let stored = 0;
  for (let at = 0; at < extents.length; at += EXTENT_WORDS) {
    const own = extents[at] ?? 0;
    const storedLength = extents[at + 1] ?? 0;
    length += own;
    stored += storedLength;
    const blocks = divCeil(storedLength, blockSize);
    const fits =
      extents[at + 2] === 1
        ? own <= blockSize && storedLength === own
        : storedLength > 0 && blocks * blockSize < own;
    const isLast = at === extents.length - EXTENT_WORDS;
    if (!fits || own === 0 || (!isLast && own < blockSize)) {
      throw new TypeError(`A compressor made a cluster of ${own} bytes in ${blocks} blocks`);
    }
  }
  if (length !== size || stored !== bytes.length) throw new TypeError('A compressor lost data');
}
