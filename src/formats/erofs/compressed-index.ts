/**
 * The index of compressed data: for each logical cluster of a file, whether compressed data starts
 * in it, where that is, or how far back it started.
 *
 * @see fs/erofs/zmap.c and erofs_fs.h of Linux
 */

import { alignUp, divCeil } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import { le, struct, u8 } from '../struct.ts';
import type { ErofsInode } from './inode.ts';
import { EROFS_INODE_COMPRESSED_FULL } from './layout.ts';
import { LZ4_MAX_RATIO } from './lz4.ts';
import { bad, type Geometry } from './superblock.ts';

const MapHeader = struct('z_erofs_map_header', 8, {
  h_reserved1: le.u16,
  h_idata_size: le.u16,
  h_advise: le.u16,
  h_algorithmtype: u8,
  h_clusterbits: u8,
});
const LclusterIndex = struct('z_erofs_lcluster_index', 8, {
  di_advise: le.u16,
  di_clusterofs: le.u16,
  di_u: le.u32,
});

const Z_EROFS_ADVISE_COMPACTED_2B = 0x1;
const Z_EROFS_ADVISE_BIG_PCLUSTER_1 = 0x2;
/** Says something of a second algorithm, which no index may then use. */
const Z_EROFS_ADVISE_BIG_PCLUSTER_2 = 0x4;
const Z_EROFS_ADVISE_INTERLACED_PCLUSTER = 0x10;
const KNOWN_ADVISE =
  Z_EROFS_ADVISE_COMPACTED_2B |
  Z_EROFS_ADVISE_BIG_PCLUSTER_1 |
  Z_EROFS_ADVISE_BIG_PCLUSTER_2 |
  Z_EROFS_ADVISE_INTERLACED_PCLUSTER;

/** 1 is a head of the first algorithm, 3 of the second. */
const Z_EROFS_LCLUSTER_TYPE_PLAIN = 0;
const Z_EROFS_LCLUSTER_TYPE_NONHEAD = 2;

/** In a distance: what follows is how many blocks the data takes. */
const Z_EROFS_LI_D0_CBLKCNT = 1 << 11;
/** The largest physical cluster of any kernel. */
const Z_EROFS_PCLUSTER_MAX_SIZE = 1 << 20;

/** Compressed, or plain, data of consecutive bytes of a file. */
export interface CompressedExtent {
  /** In the file. */
  readonly length: number;
  /** Offset in the image and length there. */
  readonly offset: number;
  readonly storedSize: number;
  readonly isPlain: boolean;
}

interface Lcluster {
  readonly type: number;
  /** Of heads: where in the cluster the data starts, and in which block of the image it is. */
  readonly clusterofs: number;
  readonly block: number;
  /** Of others: how many blocks the data takes, if it is told here. */
  readonly blockCount: number | undefined;
}

interface Index {
  readonly clusterSize: number;
  readonly clusters: number;
  readonly bigPclusters: boolean;
  readonly interlaced: boolean;
  at(cluster: number): Lcluster;
}

/**
 * The extents of a compressed file, in order, without gaps.
 *
 * @throws {FormatError} when they leave the image or do not follow one another; `unsupported` on
 *   other algorithms than LZ4 and on data in tails.
 */
export async function* compressedExtents(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
): AsyncGenerator<CompressedExtent> {
  const index = await readIndex(source, inode, geometry);
  const { blockSize, imageSize } = geometry;
  let pending: { start: number; head: Lcluster; blocks: number } | undefined;

  const extent = (end: number): CompressedExtent | undefined => {
    if (pending === undefined) return undefined;
    const { start, head, blocks } = pending;
    const storedSize = blocks * blockSize;
    const offset = head.block * blockSize;
    if (end <= start || blocks === 0 || storedSize > Z_EROFS_PCLUSTER_MAX_SIZE) {
      throw bad('bad-value', `inode ${inode.nid} has compressed data out of order`);
    }
    if (offset + storedSize > imageSize) {
      throw bad('out-of-range', `inode ${inode.nid} has compressed data outside of the image`);
    }
    const isPlain = head.type === Z_EROFS_LCLUSTER_TYPE_PLAIN;
    const skipped = index.interlaced && isPlain ? start % blockSize : 0;
    const length = end - start;
    if (length > (storedSize - skipped) * (isPlain ? 1 : LZ4_MAX_RATIO)) {
      throw bad(
        'bad-value',
        `inode ${inode.nid} has ${length} bytes in ${storedSize} of the image`,
      );
    }
    return { length, offset: offset + skipped, storedSize: storedSize - skipped, isPlain };
  };

  for (let cluster = 0; cluster < index.clusters; cluster += 1) {
    const found = index.at(cluster);
    if (found.type === Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
      if (pending === undefined) {
        throw bad('bad-value', `inode ${inode.nid} has compressed data without a start`);
      }
      if (found.blockCount !== undefined) pending.blocks = found.blockCount;
      continue;
    }
    const start = cluster * index.clusterSize + found.clusterofs;
    if (found.clusterofs >= index.clusterSize || (cluster === 0 && start !== 0)) {
      throw bad('bad-value', `inode ${inode.nid} has compressed data out of order`);
    }
    // A head behind the end only says where the data before it ends.
    const before = extent(Math.min(start, inode.size));
    if (before !== undefined) yield before;
    pending = start < inode.size ? { start, head: found, blocks: 1 } : undefined;
  }
  const last = extent(inode.size);
  if (last !== undefined) yield last;
}

async function readIndex(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
): Promise<Index> {
  const { blockSize, imageSize } = geometry;
  const isFull = inode.dataLayout === EROFS_INODE_COMPRESSED_FULL;
  const headerAt = alignUp(inode.tailOffset, 8);
  const where = { offset: headerAt };
  if (headerAt + MapHeader.size > imageSize) {
    throw bad('out-of-range', `inode ${inode.nid} has no room for its index`, where);
  }
  const header = MapHeader.decode(await source.read(headerAt, MapHeader.size));
  if (
    (header.h_advise & ~KNOWN_ADVISE) !== 0 ||
    header.h_algorithmtype !== 0 ||
    header.h_clusterbits !== 0
  ) {
    throw bad(
      'unsupported',
      `inode ${inode.nid} has compressed data of a kind that is not known (advise 0x${header.h_advise.toString(16)}, algorithm ${header.h_algorithmtype}, cluster bits ${header.h_clusterbits})`,
      where,
    );
  }
  const clusters = divCeil(inode.size, blockSize);
  const bigPclusters = (header.h_advise & Z_EROFS_ADVISE_BIG_PCLUSTER_1) !== 0;
  const shared = {
    clusterSize: blockSize,
    clusters,
    bigPclusters,
    interlaced: (header.h_advise & Z_EROFS_ADVISE_INTERLACED_PCLUSTER) !== 0,
  };
  const start = headerAt + (isFull ? 2 : 1) * MapHeader.size;
  const packs = isFull ? [] : compactPacks(start, clusters, header.h_advise, blockSize);
  const size = isFull
    ? clusters * LclusterIndex.size
    : packs.reduce((sum, pack) => sum + alignUp(pack.clusters, pack.perPack) * pack.bytesEach, 0);
  // The last pack may be cut short by the end of the image; it is read as zeros from there.
  const bytes = new Uint8Array(size + 8);
  if (start + clusters * (isFull ? 8 : 2) > imageSize) {
    throw bad('out-of-range', `inode ${inode.nid} has an index that leaves the image`, where);
  }
  bytes.set(await source.read(start, Math.min(size, imageSize - start)));
  return {
    ...shared,
    at: isFull
      ? (cluster) => decodeFull(bytes, cluster)
      : (cluster) => decodeCompact(bytes, packs, cluster, bigPclusters),
  };
}

function decodeFull(bytes: Uint8Array, cluster: number): Lcluster {
  const { di_advise, di_clusterofs, di_u } = LclusterIndex.decode(
    bytes,
    cluster * LclusterIndex.size,
  );
  const type = checkedType(di_advise & 3);
  const delta = di_u & 0xffff;
  const isCount = type === Z_EROFS_LCLUSTER_TYPE_NONHEAD && (delta & Z_EROFS_LI_D0_CBLKCNT) !== 0;
  return {
    type,
    clusterofs: di_clusterofs,
    block: di_u,
    blockCount: isCount ? delta & ~Z_EROFS_LI_D0_CBLKCNT : undefined,
  };
}

function checkedType(type: number): number {
  if (type > Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
    throw bad('unsupported', 'a second compression algorithm in one file');
  }
  return type;
}

/** Consecutive clusters whose indexes are packed alike: some bits each, then a block address for all. */
interface PackedRun {
  readonly firstCluster: number;
  readonly clusters: number;
  /** Of the run's first pack, from the start of the index, in bytes. */
  readonly offset: number;
  readonly perPack: number;
  readonly bytesEach: number;
}

/** Packs of two come first until a multiple of 32, then those of sixteen, then two again for the rest. */
function compactPacks(
  start: number,
  clusters: number,
  advise: number,
  blockSize: number,
): PackedRun[] {
  const has2B = (advise & Z_EROFS_ADVISE_COMPACTED_2B) !== 0;
  if (blockSize > 4096) {
    throw bad('unsupported', `compact indexes of blocks of ${blockSize} bytes`);
  }
  const initial = Math.min(((32 - (start % 32)) / 4) % 8, clusters);
  const middle = has2B ? Math.floor((clusters - initial) / 16) * 16 : 0;
  const runs: PackedRun[] = [];
  let firstCluster = 0;
  let offset = 0;
  for (const [count, perPack, bytesEach] of [
    [initial, 2, 4],
    [middle, 16, 2],
    [clusters - initial - middle, 2, 4],
  ] as const) {
    if (count > 0) runs.push({ firstCluster, clusters: count, offset, perPack, bytesEach });
    firstCluster += count;
    offset += count * bytesEach;
  }
  return runs;
}

const LOW_BITS = 12;
const LOW_MASK = (1 << LOW_BITS) - 1;

function decodeCompact(
  bytes: Uint8Array,
  runs: readonly PackedRun[],
  cluster: number,
  bigPclusters: boolean,
): Lcluster {
  const run = runs.find((each) => cluster < each.firstCluster + each.clusters);
  if (run === undefined) throw new RangeError(`Cluster ${cluster} has no index`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const packSize = run.perPack * run.bytesEach;
  const place = cluster - run.firstCluster;
  const pack = run.offset + Math.floor(place / run.perPack) * packSize;
  const bits = ((packSize - 4) * 8) / run.perPack;
  const entry = (i: number): { type: number; low: number } => {
    const bit = i * bits;
    const word = view.getUint32(pack + (bit >>> 3), true) >>> (bit & 7);
    return { type: checkedType((word >>> LOW_BITS) & 3), low: word & LOW_MASK };
  };

  const index = place % run.perPack;
  const { type, low } = entry(index);
  if (type === Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
    const isCount = (low & Z_EROFS_LI_D0_CBLKCNT) !== 0;
    if (isCount && !bigPclusters) throw bad('bad-value', 'a block count without big clusters');
    const blockCount = isCount ? low & ~Z_EROFS_LI_D0_CBLKCNT : undefined;
    return { type, clusterofs: 0, block: 0, blockCount };
  }
  // The pack's address is that of the block before its first; each head before this one has its own.
  let blocks = bigPclusters ? 0 : 1;
  for (let i = index; i > 0;) {
    i -= 1;
    const before = entry(i);
    if (before.type !== Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
      blocks += 1;
    } else if (!bigPclusters) {
      i -= before.low;
      if (i >= 0) blocks += 1;
    } else if ((before.low & Z_EROFS_LI_D0_CBLKCNT) !== 0) {
      i -= 1;
      blocks += before.low & ~Z_EROFS_LI_D0_CBLKCNT;
    } else if (before.low <= 1) {
      throw bad('bad-value', 'an index of compressed data contradicts itself');
    } else {
      i -= before.low - 2;
    }
  }
  const base = view.getUint32(pack + packSize - 4, true);
  return { type, clusterofs: low, block: base + blocks, blockCount: undefined };
}
