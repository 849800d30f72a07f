/** Which bytes of an image belong to an inode, and what they are of it. */

import type { ByteSource } from '../../io/byte-source.ts';
import { readCompressedHeader } from './compressed-header.ts';
import { chunkIndexOf, dataExtents, isCompressed } from './data-map.ts';
import type { ErofsInode } from './inode.ts';
import { EROFS_INODE_CHUNK_BASED } from './layout.ts';
import type { Geometry } from './superblock.ts';

export interface InodeExtent {
  readonly part: 'inode' | 'xattrs' | 'index' | 'data';
  /** In the image, in bytes. */
  readonly offset: number;
  readonly size: number;
  /** Of data: which bytes of the file are made from these. */
  readonly file: { readonly start: number; readonly length: number } | undefined;
  /** Of data: whether the file's bytes are made from all of these, not one from each. */
  readonly isEncoded: boolean;
  /** Of data: whether it stands with the inode, not in blocks of its own. */
  readonly isInline: boolean;
}

/**
 * All bytes of an inode: its record, attributes, index and data, in this order. What it has in the
 * packed inode is that one's.
 *
 * @throws {FormatError} when index or data are not usable; what came before was.
 */
export async function* inodeExtents(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
): AsyncGenerator<InodeExtent> {
  const meta = (part: InodeExtent['part'], offset: number, size: number): InodeExtent => ({
    part,
    offset,
    size,
    file: undefined,
    isEncoded: false,
    isInline: true,
  });
  yield meta('inode', inode.offset, inode.xattrOffset - inode.offset);
  if (inode.xattrSize > 0) yield meta('xattrs', inode.xattrOffset, inode.xattrSize);
  if (inode.size === 0) return;
  if (isCompressed(inode)) {
    const { offset, indexEnd } = await readCompressedHeader(source, inode, geometry);
    yield meta('index', offset, Math.min(indexEnd, geometry.imageSize) - offset);
  } else if (inode.dataLayout === EROFS_INODE_CHUNK_BASED) {
    const { offset, chunks, entrySize } = chunkIndexOf(inode, geometry);
    yield meta('index', offset, chunks * entrySize);
  }
  for await (const extent of dataExtents(source, inode, geometry)) {
    if (extent.kind === 'hole' || extent.kind === 'fragment') continue;
    const { start, length, offset } = extent;
    yield {
      part: 'data',
      offset,
      size: extent.kind === 'stored' ? length : extent.storedSize,
      file: { start, length },
      isEncoded: extent.kind === 'encoded',
      isInline: extent.kind === 'stored' ? offset === inode.tailOffset : extent.isInline,
    };
  }
}
