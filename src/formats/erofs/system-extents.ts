/** Which bytes of an image belong to the file system as a whole. */

import type { ByteSource } from '../../io/byte-source.ts';
import {
  EROFS_SB_EXTSLOT_SIZE,
  EROFS_SUPER_OFFSET,
  SuperBlock,
  type SuperBlockValues,
} from './layout.ts';
import { compressionRecords } from './compression-record.ts';
import type { ImageExtent } from './data-extent.ts';
import type { Geometry } from './superblock.ts';
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
  for await (const record of compressionRecords(metadata, superblock, geometry)) {
    yield { part: 'superblock', ...record };
  }
  const prefixes = await xattrPrefixesPlace(
    metadata,
    superblock,
    geometry,
    reader.packed !== undefined,
  );
  if (prefixes !== undefined) yield { part: 'xattr-prefixes', ...prefixes };
}
