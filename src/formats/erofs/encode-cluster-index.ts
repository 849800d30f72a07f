/**
 * The bytes of an index of compressed data: for each logical cluster of a file, whether compressed
 * data starts in it and where that is, or how far back it started.
 *
 * @see fs/erofs/zmap.c of Linux, which reads it
 */

import { alignUp, divCeil } from '../../core/math.ts';
import {
  LclusterIndex,
  MapHeader,
  Z_EROFS_ADVISE_BIG_PCLUSTER_1,
  Z_EROFS_ADVISE_BIG_PCLUSTER_2,
  Z_EROFS_ADVISE_COMPACTED_2B,
  Z_EROFS_ADVISE_FRAGMENT_PCLUSTER,
  Z_EROFS_ADVISE_INLINE_PCLUSTER,
  Z_EROFS_FRAGMENT_INODE,
  Z_EROFS_LCLUSTER_TYPE_HEAD1,
  Z_EROFS_LCLUSTER_TYPE_NONHEAD,
  Z_EROFS_LCLUSTER_TYPE_PLAIN,
  Z_EROFS_LI_D0_CBLKCNT,
} from './compressed-layout.ts';
import type { ExtentList } from './extent-list.ts';
import { EROFS_INODE_COMPRESSED_COMPACT, EROFS_INODE_COMPRESSED_FULL } from './layout.ts';

export interface IndexLayout {
  readonly dataLayout: number;
  /** Bytes behind the inode and its xattrs, padding for the alignment included. */
  readonly size: number;
  /** Of the header, in these bytes. */
  readonly padding: number;
  readonly clusters: number;
  /** How many clusters have entries of four bytes first, and of two bytes then. */
  readonly initial: number;
  readonly middle: number;
}

/** Older kernels have eight bytes of no use between the header and a full index. */
const FULL_INDEX_GAP = 8;
/** Entries are 32 bytes together: sixteen of two bytes. */
const PACK_SIZE_2B = 32;
const PER_PACK_2B = 16;
const PACK_SIZE_4B = 8;
const PER_PACK_4B = 2;

/**
 * Where the parts of an index are. It is compact, with two bytes for most clusters, where the format
 * can do so: blocks of 4096 bytes; with four bytes up to blocks of 16384.
 *
 * @param head Bytes of the inode and its xattrs.
 * @param isFull Whether it is not compact in any case.
 */
export function indexLayout(
  size: number,
  head: number,
  blockSize: number,
  isFull = blockSize > 1 << 14,
): IndexLayout {
  const clusters = divCeil(size, blockSize);
  const padding = alignUp(head, 8) - head;
  const start = padding + MapHeader.size;
  if (isFull) {
    return {
      dataLayout: EROFS_INODE_COMPRESSED_FULL,
      size: start + FULL_INDEX_GAP + clusters * LclusterIndex.size,
      padding,
      clusters,
      initial: 0,
      middle: 0,
    };
  }
  // Packs of two bytes an entry start at multiples of their size.
  const toAlign = (-(head + start) & (PACK_SIZE_2B - 1)) / 4;
  const has2B = blockSize === 4096 && toAlign < clusters;
  const initial = has2B ? toAlign : 0;
  const middle = has2B ? clusters - initial - ((clusters - initial) % PER_PACK_2B) : 0;
  const rest = divCeil(clusters - initial - middle, PER_PACK_4B) * PACK_SIZE_4B;
  return {
    dataLayout: EROFS_INODE_COMPRESSED_COMPACT,
    size: start + initial * 4 + middle * 2 + rest,
    padding,
    clusters,
    initial,
    middle,
  };
}

/** What all indexes of an image have in common. */
export interface IndexFormat {
  readonly blockSize: number;
  /** Whether extents may take several blocks. */
  readonly bigPclusters: boolean;
  /** The number of the format for the algorithm. */
  readonly algorithm: number;
}

export interface IndexEncoder {
  /**
   * The header and the index, with the padding before them: valid until the next one is encoded.
   *
   * @param extents In order, without gaps; that of a compact index stands without gaps in the image too.
   * @param tail Where the data of the last extent is, if not in blocks.
   */
  encode(layout: IndexLayout, extents: ExtentList, tail?: IndexedTail): Uint8Array;
}

export type IndexedTail =
  /** Bytes of it that stand behind the index. */
  | { readonly inlineSize: number }
  /** Where it is in the packed inode. */
  | { readonly fragmentOffset: number };

/** What stands behind an inode whose file is in the packed inode as a whole. */
export function encodeWholeFragment(head: number, fragmentOffset: number): Uint8Array {
  const padding = alignUp(head, 8) - head;
  const bytes = new Uint8Array(padding + MapHeader.size);
  const value = BigInt(fragmentOffset) | (BigInt(Z_EROFS_FRAGMENT_INODE) << 56n);
  new DataView(bytes.buffer).setBigUint64(padding, value, true);
  return bytes;
}

/** Most files have few clusters. */
const SCRATCH_SIZE = 1 << 12;

/** An encoder for one file after the other: its memory serves all. */
export function createIndexEncoder(format: IndexFormat): IndexEncoder {
  let bytes = new Uint8Array(SCRATCH_SIZE);
  let view = new DataView(bytes.buffer);
  let clusters = createClusters(SCRATCH_SIZE);
  return {
    encode(layout, extents, tail) {
      if (layout.size > bytes.length) {
        bytes = new Uint8Array(Math.max(layout.size, bytes.length * 2));
        view = new DataView(bytes.buffer);
      }
      if (layout.clusters > clusters.type.length) {
        clusters = createClusters(Math.max(layout.clusters, clusters.type.length * 2));
      }
      bytes.fill(0, 0, layout.size);
      const isFull = layout.dataLayout === EROFS_INODE_COMPRESSED_FULL;
      encodeHeader(view, layout.padding, isFull, format, tail);
      listClusters(clusters, layout.clusters, extents, format);
      const start = layout.padding + MapHeader.size;
      if (isFull) encodeFull(view, start + FULL_INDEX_GAP, clusters, layout.clusters);
      else packCompact(bytes, view, start, layout, clusters, extents.firstBlockOf(0), format);
      return bytes.subarray(0, layout.size);
    },
  };
}

function encodeHeader(
  view: DataView,
  at: number,
  isFull: boolean,
  { blockSize, bigPclusters, algorithm }: IndexFormat,
  tail: IndexedTail | undefined,
): void {
  MapHeader.encodeInto(view, at, {
    h_fragmentoff:
      tail === undefined
        ? 0
        : 'inlineSize' in tail
          ? tail.inlineSize * 2 ** 16
          : tail.fragmentOffset,
    h_advise:
      (!isFull && blockSize === 4096 ? Z_EROFS_ADVISE_COMPACTED_2B : 0) |
      (bigPclusters ? Z_EROFS_ADVISE_BIG_PCLUSTER_1 : 0) |
      // Both or none, although there is no second algorithm.
      (bigPclusters && !isFull ? Z_EROFS_ADVISE_BIG_PCLUSTER_2 : 0) |
      (tail === undefined
        ? 0
        : 'inlineSize' in tail
          ? Z_EROFS_ADVISE_INLINE_PCLUSTER
          : Z_EROFS_ADVISE_FRAGMENT_PCLUSTER),
    h_algorithmtype: algorithm,
    h_clusterbits: 0,
  });
}

/** The entries of an index, by cluster. */
interface Clusters {
  readonly type: Uint8Array;
  /** Of heads: where in the cluster the data starts; of others `delta[0]`. */
  readonly low: Uint16Array;
  /** Of heads: the block; of others `delta[1]`. */
  readonly high: Uint32Array;
}

const createClusters = (count: number): Clusters => ({
  type: new Uint8Array(count),
  low: new Uint16Array(count),
  high: new Uint32Array(count),
});

/** Fills in the entries: each cluster has one, as extents have no gaps. */
function listClusters(
  { type, low, high }: Clusters,
  count: number,
  extents: ExtentList,
  { blockSize, bigPclusters }: IndexFormat,
): void {
  let offset = 0;
  for (let index = 0; index < extents.count; index += 1) {
    const head = Math.floor(offset / blockSize);
    const start = offset % blockSize;
    offset += extents.lengthOf(index);
    const end = Math.floor(offset / blockSize);
    type[head] = extents.isPlainAt(index)
      ? Z_EROFS_LCLUSTER_TYPE_PLAIN
      : Z_EROFS_LCLUSTER_TYPE_HEAD1;
    low[head] = start;
    high[head] = extents.firstBlockOf(index);
    for (let cluster = head + 1; cluster < end; cluster += 1) {
      type[cluster] = Z_EROFS_LCLUSTER_TYPE_NONHEAD;
      // The first of them tells the size of the data, which is one cluster back then.
      const isCount = bigPclusters && cluster === head + 1;
      low[cluster] = isCount ? extents.blocksOf(index) | Z_EROFS_LI_D0_CBLKCNT : cluster - head;
      high[cluster] = end - cluster;
    }
    // What ends within a cluster where nothing starts ends at a head that has no data.
    const rest = offset % blockSize;
    if (rest > 0 && end > head && end < count) {
      type[end] = Z_EROFS_LCLUSTER_TYPE_PLAIN;
      low[end] = rest;
      high[end] = 0;
    }
  }
}

function encodeFull(
  view: DataView,
  start: number,
  { type, low, high }: Clusters,
  count: number,
): void {
  for (let cluster = 0; cluster < count; cluster += 1) {
    const isHead = type[cluster] !== Z_EROFS_LCLUSTER_TYPE_NONHEAD;
    const first = low[cluster] ?? 0;
    const second = high[cluster] ?? 0;
    LclusterIndex.encodeInto(view, start + cluster * LclusterIndex.size, {
      di_advise: type[cluster] ?? 0,
      di_clusterofs: isHead ? first : 0,
      di_u: isHead ? second : ((second << 16) | first) >>> 0,
    });
  }
}

/**
 * A pack holds some bits for each cluster and one block address; those of its heads follow by
 * counting the blocks of the data before. Which data a pack counts differs: by its head when all
 * take one block; else by the entry behind the head, or by the next head when there is none.
 */
function packCompact(
  target: Uint8Array,
  view: DataView,
  start: number,
  { initial, middle, clusters }: IndexLayout,
  { type, low, high }: Clusters,
  firstBlock: number,
  { blockSize, bigPclusters }: IndexFormat,
): void {
  const lowBits = Math.max(Math.log2(blockSize), 12);
  let next = 0;
  let at = start;
  /** The address from which the next head's is counted. */
  let base = bigPclusters ? firstBlock : firstBlock - 1;
  /** Whether the newest head is not counted yet: its data may take one block. */
  let pending = false;

  const packOne = (count: number, perPack: number, packSize: number): void => {
    const bits = ((packSize - 4) * 8) / perPack;
    if (bigPclusters && pending && type[next] !== Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
      base += 1;
      pending = false;
    }
    view.setUint32(at + packSize - 4, base >>> 0, true);
    for (let i = 0; i < count; i += 1) {
      const cluster = next + i;
      const kind = type[cluster] ?? 0;
      let value = low[cluster] ?? 0;
      if (kind !== Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
        if (!bigPclusters || pending) base += 1;
        pending = bigPclusters;
      } else if (bigPclusters && (value & Z_EROFS_LI_D0_CBLKCNT) !== 0) {
        base += value & ~Z_EROFS_LI_D0_CBLKCNT;
        pending = false;
      } else if (i === perPack - 1) {
        // The last of a pack looks ahead; how far back its data started follows from the one before.
        value = Math.min(high[cluster] ?? 0, Z_EROFS_LI_D0_CBLKCNT - 1);
      }
      putBits(target, at * 8 + i * bits, (kind << lowBits) | value);
    }
    next += count;
    at += packSize;
  };
  const pack = (count: number, perPack: number, packSize: number): void => {
    for (let left = count; left > 0; left -= perPack) {
      packOne(Math.min(left, perPack), perPack, packSize);
    }
  };
  pack(initial, PER_PACK_4B, PACK_SIZE_4B);
  pack(middle, PER_PACK_2B, PACK_SIZE_2B);
  pack(clusters - initial - middle, PER_PACK_4B, PACK_SIZE_4B);
}

/** Sets up to 16 bits of zeros. */
function putBits(target: Uint8Array, bit: number, value: number): void {
  const shifted = value << (bit & 7);
  for (let byte = bit >>> 3, rest = shifted; rest !== 0; byte += 1, rest >>>= 8) {
    target[byte] = (target[byte] ?? 0) | (rest & 0xff);
  }
}
