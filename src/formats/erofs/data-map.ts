/** Where the data of an inode is, checked against the image before anything of it is read. */

import { alignUp, divCeil } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { compressedExtents } from './compressed-extents.ts';
import { readCompressedHeader } from './compressed-header.ts';
import type { DataExtent, HoleExtent, StoredExtent } from './data-extent.ts';
import type { ErofsInode } from './inode.ts';
import {
  ChunkIndex,
  EROFS_BLOCK_MAP_ENTRY_SIZE,
  EROFS_CHUNK_FORMAT_BLKBITS_MASK,
  EROFS_CHUNK_FORMAT_INDEXES,
  EROFS_INODE_CHUNK_BASED,
  EROFS_INODE_COMPRESSED_COMPACT,
  EROFS_INODE_COMPRESSED_FULL,
  EROFS_INODE_FLAT_INLINE,
  EROFS_NULL_ADDR,
} from './layout.ts';
import { bad, type Geometry } from './superblock.ts';

export const isCompressed = ({ dataLayout }: ErofsInode): boolean =>
  dataLayout === EROFS_INODE_COMPRESSED_FULL || dataLayout === EROFS_INODE_COMPRESSED_COMPACT;

/**
 * The extents of an inode's data from the one that holds byte `from`, in order, without gaps.
 *
 * @param source Read in small pieces: better one that keeps what it read.
 * @throws {FormatError} when one leaves the image or the index of one contradicts itself.
 */
export async function* dataExtents(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
  from = 0,
): AsyncGenerator<DataExtent> {
  if (from >= inode.size) return;
  if (isCompressed(inode)) yield* compressedExtents(source, inode, geometry, from);
  else if (inode.dataLayout === EROFS_INODE_CHUNK_BASED) {
    yield* chunkExtents(source, inode, geometry, from);
  } else {
    for (const extent of flatExtents(inode, geometry)) {
      if (extent.start + extent.length > from) yield extent;
    }
  }
}

/**
 * Refuses sizes that the image has no room for: of flat data the data itself, of other data its
 * index. A size that passes may still be refused when the data is read.
 *
 * @param packedSize Of the packed inode; 0 when there is none.
 * @throws {FormatError} as `dataExtents`, or `out-of-range` for an index that leaves the image.
 */
export async function checkDataSize(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
  packedSize: number,
): Promise<void> {
  if (inode.size === 0) return;
  if (inode.dataLayout === EROFS_INODE_CHUNK_BASED) chunkIndexOf(inode, geometry);
  else if (!isCompressed(inode)) flatExtents(inode, geometry);
  else {
    const { isFragment, fragmentOffset = 0 } = await readCompressedHeader(source, inode, geometry);
    if (isFragment) checkFragment(inode, fragmentOffset, inode.size, packedSize);
  }
}

/** @throws {FormatError} `out-of-range` when a fragment is not within the packed inode. */
export function checkFragment(
  inode: ErofsInode,
  packedStart: number,
  length: number,
  packedSize: number,
): void {
  if (packedStart + length <= packedSize) return;
  const problem = `inode ${inode.nid} has ${length} bytes at ${packedStart} of the packed inode, which has ${packedSize}`;
  throw bad('out-of-range', problem, { offset: inode.offset, field: 'h_fragmentoff' });
}

function flatExtents(inode: ErofsInode, geometry: Geometry): StoredExtent[] {
  const { size, dataLayout, union, tailOffset } = inode;
  const { blockSize, imageSize } = geometry;
  if (size === 0) return [];
  const blocks = divCeil(size, blockSize);
  const bodySize = dataLayout === EROFS_INODE_FLAT_INLINE ? (blocks - 1) * blockSize : size;
  const extents: StoredExtent[] = [];
  if (bodySize > 0) {
    const offset = union * blockSize;
    if (offset + bodySize > imageSize) {
      throw bad(
        'out-of-range',
        `inode ${inode.nid} has ${bodySize} bytes from block ${union} on, the image ends at ${imageSize}`,
        { offset: inode.offset, field: 'i_u' },
      );
    }
    extents.push({ kind: 'stored', start: 0, length: bodySize, offset });
  }
  const tailSize = size - bodySize;
  if (tailSize > 0) {
    if ((tailOffset % blockSize) + tailSize > blockSize || tailOffset + tailSize > imageSize) {
      throw bad('bad-value', `inode ${inode.nid} has inline data that crosses a block`, {
        offset: inode.offset,
        field: 'i_size',
      });
    }
    extents.push({ kind: 'stored', start: bodySize, length: tailSize, offset: tailOffset });
  }
  return extents;
}

/** The index of a chunk-based inode. */
interface ChunkIndexPlace {
  readonly hasDevices: boolean;
  /** Bytes of a chunk of the file. */
  readonly chunkSize: number;
  readonly chunks: number;
  readonly offset: number;
  readonly entrySize: number;
}

/** @throws {FormatError} when the format is not known or the index leaves the image. */
export function chunkIndexOf(inode: ErofsInode, geometry: Geometry): ChunkIndexPlace {
  const format = inode.union & 0xffff;
  const where = { offset: inode.offset, field: 'i_u' };
  const known = EROFS_CHUNK_FORMAT_BLKBITS_MASK | EROFS_CHUNK_FORMAT_INDEXES;
  if ((format & ~known) !== 0) {
    throw bad('unsupported', `inode ${inode.nid} has chunks of format ${format}`, where);
  }
  const hasDevices = (format & EROFS_CHUNK_FORMAT_INDEXES) !== 0;
  const entrySize = hasDevices ? ChunkIndex.size : EROFS_BLOCK_MAP_ENTRY_SIZE;
  const chunkSize = geometry.blockSize * 2 ** (format & EROFS_CHUNK_FORMAT_BLKBITS_MASK);
  const chunks = divCeil(inode.size, chunkSize);
  const offset = alignUp(inode.tailOffset, entrySize);
  if (offset + chunks * entrySize > geometry.imageSize) {
    throw bad(
      'out-of-range',
      `inode ${inode.nid} of ${inode.size} bytes has an index that leaves the image`,
      { offset: inode.offset, field: 'i_size' },
    );
  }
  return { hasDevices, chunkSize, chunks, offset, entrySize };
}

/** Entries that are read at once. */
const WINDOW = 4096;

async function* chunkExtents(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
  from: number,
): AsyncGenerator<HoleExtent | StoredExtent> {
  const { hasDevices, chunkSize, chunks, offset, entrySize } = chunkIndexOf(inode, geometry);
  const { blockSize, imageSize } = geometry;
  for (let first = Math.floor(from / chunkSize); first < chunks; first += WINDOW) {
    const count = Math.min(WINDOW, chunks - first);
    const bytes = await source.read(offset + first * entrySize, count * entrySize);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < count; i += 1) {
      const start = (first + i) * chunkSize;
      const length = Math.min(chunkSize, inode.size - start);
      const where = { offset: offset + (first + i) * entrySize, field: 'startblk_lo' };
      let block: number;
      if (hasDevices) {
        const entry = ChunkIndex.decode(bytes, i * entrySize);
        block = entry.startblk_lo;
        if (block !== EROFS_NULL_ADDR && entry.device_id !== 0) {
          const problem = `inode ${inode.nid} has data on device ${entry.device_id}, only images in one file can be read`;
          throw bad('unsupported', problem, { ...where, field: 'device_id' });
        }
      } else block = view.getUint32(i * entrySize, true);
      if (block === EROFS_NULL_ADDR) {
        yield { kind: 'hole', start, length };
        continue;
      }
      if (block * blockSize + length > imageSize) {
        const problem = `inode ${inode.nid} has a chunk at block ${block}, outside of the image`;
        throw bad('out-of-range', problem, where);
      }
      yield { kind: 'stored', start, length, offset: block * blockSize };
    }
  }
}
