/** What a compressor was asked for, held against what it made. */

import type { CompressedData } from '../../compression/cluster-compressor.ts';
import { divCeil } from '../../core/math.ts';

/** @throws {TypeError} when extents cannot be stored: no index could describe them. */
export function checkClusters(
  { extents, bytes }: CompressedData,
  size: number,
  blockSize: number,
): void {
  let length = 0;
  let stored = 0;
  for (const [index, extent] of extents.entries()) {
    length += extent.length;
    stored += extent.storedLength;
    const blocks = divCeil(extent.storedLength, blockSize);
    const fits = extent.isPlain
      ? extent.length <= blockSize && extent.storedLength === extent.length
      : extent.storedLength > 0 && blocks * blockSize < extent.length;
    const isLast = index === extents.length - 1;
    if (!fits || extent.length === 0 || (!isLast && extent.length < blockSize)) {
      throw new TypeError(
        `A compressor made a cluster of ${extent.length} bytes in ${blocks} blocks`,
      );
    }
  }
  if (length !== size || stored !== bytes.length) throw new TypeError('A compressor lost data');
}
