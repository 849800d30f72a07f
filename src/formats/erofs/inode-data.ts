/** Where the data of an inode is, checked against the image before anything is read. */

import { divCeil } from '../../core/math.ts';
import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';
import { compressedExtents } from './compressed-index.ts';
import type { ErofsInode } from './inode.ts';
import {
  dataLayoutNames,
  EROFS_INODE_COMPRESSED_COMPACT,
  EROFS_INODE_COMPRESSED_FULL,
  EROFS_INODE_CHUNK_BASED,
  EROFS_INODE_FLAT_INLINE,
  EROFS_INODE_FLAT_PLAIN,
} from './layout.ts';
import { decodeLz4 } from './lz4.ts';
import { bad, type Geometry } from './superblock.ts';

/** A part of the image that holds the next bytes of a file. */
interface Extent {
  readonly offset: number;
  readonly size: number;
}

/** Whether data is stored as it is, neither compressed nor in chunks. */
const hasFlatData = ({ dataLayout }: ErofsInode): boolean =>
  dataLayout === EROFS_INODE_FLAT_PLAIN || dataLayout === EROFS_INODE_FLAT_INLINE;

/**
 * The extents of an inode's data, in order.
 *
 * @throws {FormatError} `out-of-range` when one leaves the image, `bad-value` when inline data
 *   crosses a block, `unsupported` on compressed and chunk-based data.
 */
export function dataExtents(inode: ErofsInode, geometry: Geometry): Extent[] {
  const { size, dataLayout, union, tailOffset } = inode;
  const { blockSize, imageSize } = geometry;
  const where = { offset: inode.offset };
  if (size === 0) return [];
  if (!hasFlatData(inode)) {
    throw bad(
      'unsupported',
      `inode ${inode.nid} has ${dataLayoutNames[dataLayout]} data, only flat data can be read`,
      where,
    );
  }
  const blocks = divCeil(size, blockSize);
  const bodySize = dataLayout === EROFS_INODE_FLAT_INLINE ? (blocks - 1) * blockSize : size;
  const extents: Extent[] = [];
  if (bodySize > 0) {
    const offset = union * blockSize;
    if (offset + bodySize > imageSize) {
      throw bad(
        'out-of-range',
        `inode ${inode.nid} has ${bodySize} bytes from block ${union} on, the image ends at ${imageSize}`,
        { ...where, field: 'i_u' },
      );
    }
    extents.push({ offset, size: bodySize });
  }
  const tailSize = size - bodySize;
  if (tailSize > 0) {
    if ((tailOffset % blockSize) + tailSize > blockSize || tailOffset + tailSize > imageSize) {
      throw bad('bad-value', `inode ${inode.nid} has inline data that crosses a block`, where);
    }
    extents.push({ offset: tailOffset, size: tailSize });
  }
  return extents;
}

/** Bytes of the smallest index that a block of compressed data, or a chunk, has behind its inode. */
const SMALLEST_INDEX = { compressed: 2, chunk: 4 } as const;

/**
 * Refuses sizes that the image has no room for: of flat data the data itself, of other data its
 * index. A size that passes may still be refused when the data is read.
 *
 * @throws {FormatError} as `dataExtents`, or `out-of-range` for an index that leaves the image.
 */
export function checkDataSize(inode: ErofsInode, geometry: Geometry): void {
  if (hasFlatData(inode)) {
    dataExtents(inode, geometry);
    return;
  }
  const isChunked = inode.dataLayout === EROFS_INODE_CHUNK_BASED;
  const unit = geometry.blockSize * (isChunked ? 2 ** (inode.union & 0x1f) : 1);
  const index =
    divCeil(inode.size, unit) * (isChunked ? SMALLEST_INDEX.chunk : SMALLEST_INDEX.compressed);
  if (inode.tailOffset + index > geometry.imageSize) {
    throw bad(
      'out-of-range',
      `inode ${inode.nid} of ${inode.size} bytes has an index that leaves the image`,
      {
        offset: inode.offset,
        field: 'i_size',
      },
    );
  }
}

/** Whether data is compressed in the way that `streamCompressed` reads. */
export const hasCompressedData = ({ dataLayout }: ErofsInode): boolean =>
  dataLayout === EROFS_INODE_COMPRESSED_FULL || dataLayout === EROFS_INODE_COMPRESSED_COMPACT;

/**
 * The bytes of a file compressed with LZ4, an extent at a time.
 *
 * @throws {FormatError} when index or data are not usable, `unsupported` on other algorithms.
 */
export async function* streamCompressed(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
): AsyncGenerator<Uint8Array> {
  for await (const extent of compressedExtents(source, inode, geometry)) {
    const stored = await source.read(extent.offset, extent.storedSize);
    if (extent.isPlain) {
      yield stored.subarray(0, extent.length);
      continue;
    }
    // Zeros come first where the image pads there; no block starts with one.
    const start = geometry.zeroPadding ? stored.findIndex((byte) => byte !== 0) : 0;
    const data = new Uint8Array(extent.length);
    decodeLz4(stored.subarray(start === -1 ? stored.length : start), data);
    yield data;
  }
}

/** The bytes of extents, in chunks of at most 1 MiB. */
export async function* streamExtents(
  source: ByteSource,
  extents: readonly Extent[],
): AsyncGenerator<Uint8Array> {
  for (const { offset, size } of extents) {
    for (let done = 0; done < size; done += STREAM_CHUNK) {
      yield await source.read(offset + done, Math.min(STREAM_CHUNK, size - done));
    }
  }
}
