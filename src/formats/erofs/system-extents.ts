/** Which bytes of an image belong to the file system as a whole. */

import { alignUp } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  EROFS_FEATURE_INCOMPAT_COMPR_CFGS,
  EROFS_SB_EXTSLOT_SIZE,
  EROFS_SUPER_OFFSET,
  SuperBlock,
  type SuperBlockValues,
} from './layout.ts';
import type { ImageExtent } from './data-extent.ts';
import { bad, type Geometry } from './superblock.ts';
import { xattrPrefixesPlace } from './xattr-prefixes.ts';

/** What of a reader is asked for. */
export interface SystemOf {
  readonly superblock: SuperBlockValues;
  readonly geometry: Geometry;
  readonly packed: unknown;
  readonly metadata: ByteSource;
}

/**
 * The superblock with what stands behind it, and the long prefixes of extended attributes.
 *
 * @throws {FormatError} when one of them leaves the image.
 */
export async function* systemExtents(
  reader: SystemOf,
): AsyncGenerator<ImageExtent & { readonly part: 'superblock' | 'xattr-prefixes' }> {
  const { superblock, geometry, metadata } = reader;
  const size = SuperBlock.size + superblock.sb_extslots * EROFS_SB_EXTSLOT_SIZE;
  yield { part: 'superblock', offset: EROFS_SUPER_OFFSET, size };
  if ((superblock.feature_incompat & EROFS_FEATURE_INCOMPAT_COMPR_CFGS) !== 0) {
    let at = EROFS_SUPER_OFFSET + size;
    for (let left = superblock.available_compr_algs; left !== 0; left &= left - 1) {
      at = alignUp(at, 4);
      const end = at + 2 <= geometry.imageSize ? at + 2 + (await lengthAt(metadata, at)) : Infinity;
      if (end > geometry.imageSize) {
        throw bad('out-of-range', 'the settings of a compression algorithm leave the image', {
          offset: at,
          field: 'available_compr_algs',
        });
      }
      yield { part: 'superblock', offset: at, size: end - at };
      at = end;
    }
  }
  const prefixes = await xattrPrefixesPlace(
    metadata,
    superblock,
    geometry,
    reader.packed !== undefined,
  );
  if (prefixes !== undefined) yield { part: 'xattr-prefixes', ...prefixes };
}

async function lengthAt(source: ByteSource, offset: number): Promise<number> {
  const bytes = await source.read(offset, 2);
  return (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
}
