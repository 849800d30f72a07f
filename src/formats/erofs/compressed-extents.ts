/**
 * The extents of compressed data: what the index says, checked and put together.
 *
 * @see fs/erofs/zmap.c of Linux
 */

import type { ByteSource } from '../../io/byte-source.ts';
import { openClusterIndex, type ClusterIndex, type Lcluster } from './cluster-index.ts';
import { readCompressedHeader, type CompressedHeader } from './compressed-header.ts';
import {
  Z_EROFS_LCLUSTER_TYPE_HEAD2,
  Z_EROFS_LCLUSTER_TYPE_NONHEAD,
  Z_EROFS_LCLUSTER_TYPE_PLAIN,
  Z_EROFS_PCLUSTER_MAX_DSIZE,
  Z_EROFS_PCLUSTER_MAX_SIZE,
} from './compressed-layout.ts';
import type { EncodedExtent, FragmentExtent } from './data-extent.ts';
import type { ErofsInode } from './inode.ts';
import { LZ4_MAX_RATIO } from './lz4.ts';
import { bad, type Geometry } from './superblock.ts';

/**
 * The extents of a compressed file from the one that holds byte `from`, in order, without gaps.
 *
 * @throws {FormatError} when they leave the image, do not follow one another, or stand for more
 *   bytes than the stored ones can; `unsupported` on what is not known.
 */
export async function* compressedExtents(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
  from = 0,
): AsyncGenerator<EncodedExtent | FragmentExtent> {
  if (inode.size === 0) return;
  const header = await readCompressedHeader(source, inode, geometry);
  if (header.isFragment) {
    const packedStart = header.fragmentOffset ?? 0;
    yield { kind: 'fragment', start: 0, length: inode.size, packedStart };
    return;
  }
  const index = openClusterIndex(source, header, geometry);
  const refuse = refusal(inode, header);
  let pending: Pending | undefined;

  const first = await headBefore(index, header, from, refuse);
  for (let cluster = first; cluster < header.clusters; cluster += 1) {
    const found = await index.at(cluster);
    if (found.type === Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
      if (pending === undefined) throw refuse('a part without a start');
      const behind = cluster - pending.cluster;
      // What the kernel does when it comes to this cluster first.
      if (found.distance < 1 || found.distance > behind) throw refuse('a distance to no start');
      if (found.blockCount !== undefined) {
        if (behind !== 1 || !pending.isBig) throw refuse('a count of blocks out of place');
        pending.blocks = found.blockCount;
      } else if (behind === 1 && pending.isBig) {
        throw refuse('no count of blocks where one belongs');
      }
      if (found.ahead === 0 && geometry.zeroPadding)
        throw refuse('a distance of 0 to what follows');
      pending.reach = Math.max(pending.reach, cluster + found.ahead);
      continue;
    }
    const start = cluster * header.clusterSize + found.clusterofs;
    if (found.clusterofs >= header.clusterSize || (cluster === 0 && start !== 0)) {
      throw refuse('parts out of order');
    }
    if (pending !== undefined && start < inode.size && pending.reach > cluster) {
      throw refuse('a distance beyond the next start');
    }
    // A head behind the end only says where the data before it ends.
    if (pending !== undefined) {
      yield extentOf(pending, Math.min(start, inode.size), inode, header, geometry);
    }
    const isSecond = found.type === Z_EROFS_LCLUSTER_TYPE_HEAD2;
    if (isSecond && !geometry.secondAlgorithm) throw refuse('a second algorithm');
    pending =
      start < inode.size
        ? {
            start,
            cluster,
            head: found,
            blocks: 1,
            isBig: header.bigPclusters[isSecond ? 1 : 0],
            reach: cluster,
          }
        : undefined;
  }
  if (pending !== undefined) yield extentOf(pending, inode.size, inode, header, geometry);
}

interface Pending {
  readonly start: number;
  readonly cluster: number;
  readonly head: Lcluster;
  readonly isBig: boolean;
  blocks: number;
  /** The cluster before which nothing else starts, as the index has it. */
  reach: number;
}

type Refusal = (
  problem: string,
  code?: 'bad-value' | 'out-of-range' | 'too-large' | 'unsupported',
  field?: string,
) => Error;

const refusal =
  (inode: ErofsInode, header: CompressedHeader): Refusal =>
  (problem, code = 'bad-value', field = 'z_erofs_lcluster_index') =>
    bad(code, `inode ${inode.nid} has compressed data with ${problem}`, {
      offset: header.offset,
      field,
    });

/** The cluster in which the extent of byte `from` starts. */
async function headBefore(
  index: ClusterIndex,
  header: CompressedHeader,
  from: number,
  refuse: Refusal,
): Promise<number> {
  let cluster = Math.floor(from / header.clusterSize);
  let inside = from % header.clusterSize;
  while (cluster > 0) {
    const found = await index.at(cluster);
    if (found.type !== Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
      if (found.clusterofs <= inside) return cluster;
      cluster -= 1;
    } else {
      if (found.distance < 1 || found.distance > cluster) throw refuse('a distance to no start');
      cluster -= found.distance;
    }
    // From here on any start will do.
    inside = header.clusterSize;
  }
  return 0;
}

function extentOf(
  { start, head, blocks }: Pending,
  end: number,
  inode: ErofsInode,
  header: CompressedHeader,
  geometry: Geometry,
): EncodedExtent | FragmentExtent {
  const refuse = refusal(inode, header);
  const length = end - start;
  if (length <= 0) throw refuse('parts out of order');
  const isTail = end === inode.size;
  if (isTail && header.fragmentOffset !== undefined) {
    // A kernel holds plain data against its blocks, of which a fragment has none.
    if (head.type === Z_EROFS_LCLUSTER_TYPE_PLAIN) throw refuse('a fragment that is plain');
    // A full index has the upper half where other data has its block.
    const upper = header.isFull ? head.block : 0;
    const packedStart = header.fragmentOffset + upper * 2 ** 32;
    if (!Number.isSafeInteger(packedStart + length)) {
      throw refuse('a fragment beyond all others', 'out-of-range', 'h_fragmentoff');
    }
    return { kind: 'fragment', start, length, packedStart };
  }
  const { blockSize, imageSize } = geometry;
  const isInline = isTail && header.inlineSize !== undefined;
  const offset = isInline ? header.indexEnd : head.block * blockSize;
  const storedSize = isInline ? (header.inlineSize ?? 0) : blocks * blockSize;
  if (storedSize === 0 || storedSize > Z_EROFS_PCLUSTER_MAX_SIZE) {
    throw refuse(`${blocks} blocks at once`, 'unsupported');
  }
  if (length > Z_EROFS_PCLUSTER_MAX_DSIZE) throw refuse(`${length} bytes at once`, 'too-large');
  if (offset + storedSize > imageSize) {
    throw refuse(`blocks from ${head.block} on, outside of the image`, 'out-of-range', 'di_u');
  }
  const isPlain = head.type === Z_EROFS_LCLUSTER_TYPE_PLAIN;
  const algorithm = header.algorithms[head.type === Z_EROFS_LCLUSTER_TYPE_HEAD2 ? 1 : 0];
  const encoding = isPlain ? (header.interlaced ? 'interlaced' : 'shifted') : algorithm;
  const ratio = isPlain ? 1 : encoding === 'lz4' ? LZ4_MAX_RATIO : Infinity;
  if (length > storedSize * ratio) {
    throw refuse(`${length} bytes of the file in ${storedSize}`, 'too-large');
  }
  const { isPartial } = head;
  return { kind: 'encoded', start, length, offset, storedSize, encoding, isPartial, isInline };
}
