/** What stands behind an inode with compressed data: how its index is to be read. */

import { alignUp, divCeil } from '../../core/math.ts';
import type { ByteSource } from '../../io/byte-source.ts';
import {
  algorithmNames,
  LclusterIndex,
  MapHeader,
  Z_EROFS_ADVISE_BIG_PCLUSTER_1,
  Z_EROFS_ADVISE_BIG_PCLUSTER_2,
  Z_EROFS_ADVISE_COMPACTED_2B,
  Z_EROFS_ADVISE_FRAGMENT_PCLUSTER,
  Z_EROFS_ADVISE_INLINE_PCLUSTER,
  Z_EROFS_ADVISE_INTERLACED_PCLUSTER,
  Z_EROFS_CLUSTERBITS_MASK,
  Z_EROFS_FRAGMENT_INODE,
  type AlgorithmName,
} from './compressed-layout.ts';
import type { ErofsInode } from './inode.ts';
import { EROFS_INODE_COMPRESSED_FULL } from './layout.ts';
import { bad, type Geometry } from './superblock.ts';

const KNOWN_ADVISE =
  Z_EROFS_ADVISE_COMPACTED_2B |
  Z_EROFS_ADVISE_BIG_PCLUSTER_1 |
  Z_EROFS_ADVISE_BIG_PCLUSTER_2 |
  Z_EROFS_ADVISE_INLINE_PCLUSTER |
  Z_EROFS_ADVISE_INTERLACED_PCLUSTER |
  Z_EROFS_ADVISE_FRAGMENT_PCLUSTER;

/** Consecutive clusters whose index entries are packed alike; a full index is one run. */
export interface IndexRun {
  readonly firstCluster: number;
  readonly clusters: number;
  /** Of the first pack, in the image, in bytes. */
  readonly offset: number;
  /** Entries in a pack, which end in a block address for all of them; 1 in a full index. */
  readonly perPack: number;
  readonly packSize: number;
}

/** How the index of a file is to be read. */
export interface CompressedHeader {
  /** Offset in the image, in bytes. */
  readonly offset: number;
  /** Of the first byte behind header and index. */
  readonly indexEnd: number;
  readonly isFull: boolean;
  readonly clusterSize: number;
  readonly clusters: number;
  readonly runs: readonly IndexRun[];
  readonly algorithms: readonly [AlgorithmName, AlgorithmName];
  /** Whether physical clusters of the first and the second algorithm may take several blocks. */
  readonly bigPclusters: readonly [boolean, boolean];
  readonly interlaced: boolean;
  /** Bytes of the last physical cluster, when it stands at `indexEnd`. */
  readonly inlineSize: number | undefined;
  /** Where the last part of the file is in the packed inode, low half in a full index. */
  readonly fragmentOffset: number | undefined;
  /** There is no index: the whole file is at `fragmentOffset`. */
  readonly isFragment: boolean;
}

/**
 * Reads the header and checks it as the kernel does, and further.
 *
 * @throws {FormatError} when index and data would leave the image or the header contradicts the
 *   superblock; `unsupported` on algorithms and flags that are not known.
 */
export async function readCompressedHeader(
  source: ByteSource,
  inode: ErofsInode,
  geometry: Geometry,
): Promise<CompressedHeader> {
  const { blockSize, imageSize } = geometry;
  const offset = alignUp(inode.tailOffset, 8);
  const refuse = (
    code: 'bad-value' | 'unsupported' | 'out-of-range',
    field: string,
    problem: string,
  ): Error => bad(code, `inode ${inode.nid}: ${problem}`, { offset, field });
  if (offset + MapHeader.size > imageSize) {
    throw refuse('out-of-range', 'i_size', 'it has no room for the index of its data');
  }
  const record = await source.read(offset, MapHeader.size);
  const { h_fragmentoff, h_advise, h_algorithmtype, h_clusterbits } = MapHeader.decode(record);
  const isFull = inode.dataLayout === EROFS_INODE_COMPRESSED_FULL;
  const shared = { offset, isFull };

  if ((h_clusterbits & Z_EROFS_FRAGMENT_INODE) !== 0) {
    if (!geometry.fragments) {
      throw refuse('bad-value', 'h_clusterbits', 'it is a fragment, of which the image has none');
    }
    const whole = new DataView(record.buffer, record.byteOffset).getBigUint64(0, true);
    const fragmentOffset = Number(BigInt.asUintN(63, whole));
    if (!Number.isSafeInteger(fragmentOffset)) {
      throw refuse('out-of-range', 'h_fragmentoff', `it is at ${fragmentOffset} of the fragments`);
    }
    return {
      ...shared,
      indexEnd: offset + MapHeader.size,
      clusterSize: blockSize,
      clusters: 0,
      runs: [],
      algorithms: ['lz4', 'lz4'],
      bigPclusters: [false, false],
      interlaced: false,
      inlineSize: undefined,
      fragmentOffset,
      isFragment: true,
    };
  }

  const has = (flag: number): boolean => (h_advise & flag) !== 0;
  const bigPclusters = [
    has(Z_EROFS_ADVISE_BIG_PCLUSTER_1),
    has(Z_EROFS_ADVISE_BIG_PCLUSTER_2),
  ] as const;
  const isInline = has(Z_EROFS_ADVISE_INLINE_PCLUSTER);
  const hasFragment = has(Z_EROFS_ADVISE_FRAGMENT_PCLUSTER);
  if ((h_advise & ~KNOWN_ADVISE) !== 0 || (isFull && has(Z_EROFS_ADVISE_COMPACTED_2B))) {
    throw refuse('unsupported', 'h_advise', `advise 0x${h_advise.toString(16)} is not known`);
  }
  if (
    ((bigPclusters[0] || bigPclusters[1]) && !geometry.bigPclusters) ||
    (!isFull && bigPclusters[0] !== bigPclusters[1]) ||
    (isInline && (hasFragment || !geometry.tailPacking)) ||
    (hasFragment && !geometry.fragments)
  ) {
    throw refuse(
      'bad-value',
      'h_advise',
      `advise 0x${h_advise.toString(16)} contradicts the image`,
    );
  }
  if ((h_clusterbits & ~Z_EROFS_CLUSTERBITS_MASK) !== 0) {
    throw refuse(
      'unsupported',
      'h_clusterbits',
      `cluster bits are 0x${h_clusterbits.toString(16)}`,
    );
  }
  const first = h_algorithmtype & 15;
  const second = h_algorithmtype >> 4;
  const algorithms = [first, second].map((number) => {
    const name = algorithmNames[number];
    if (name === undefined) {
      throw refuse('unsupported', 'h_algorithmtype', `compression algorithm ${number}`);
    }
    return name;
  });
  if ((geometry.algorithms & (1 << first)) === 0) {
    const problem = `it is compressed with ${algorithms[0]}, which the superblock does not list`;
    throw refuse('bad-value', 'h_algorithmtype', problem);
  }

  const clusterSize = blockSize * 2 ** h_clusterbits;
  const clusters = divCeil(inode.size, clusterSize);
  const start = offset + MapHeader.size;
  if (!isFull && clusterSize > 1 << 14) {
    throw refuse('unsupported', 'h_clusterbits', `compact indexes of clusters of ${clusterSize}`);
  }
  const runs = isFull
    ? [
        {
          firstCluster: 0,
          clusters,
          // Eight bytes more, which older kernels had for something.
          offset: start + 8,
          perPack: 1,
          packSize: LclusterIndex.size,
        },
      ]
    : compactRuns(start, clusters, has(Z_EROFS_ADVISE_COMPACTED_2B), clusterSize);
  const last = runs.at(-1);
  const indexEnd =
    last === undefined ? start : last.offset + divCeil(last.clusters, last.perPack) * last.packSize;
  // The last pack may be cut short by the end of the image.
  const needed = last === undefined ? start : indexEnd - (last.perPack > 1 ? last.packSize - 1 : 0);
  if (needed > imageSize) {
    const problem = `${inode.size} bytes have an index that leaves the image`;
    throw refuse('out-of-range', 'i_size', problem);
  }
  // Both tails use the first four bytes; inline tails have their size in the upper two.
  const inlineSize = isInline ? h_fragmentoff >>> 16 : undefined;
  if (inlineSize !== undefined) {
    const within = (indexEnd % blockSize) + inlineSize <= blockSize;
    if (inlineSize === 0 || !within || indexEnd + inlineSize > imageSize) {
      const problem = `an inline tail of ${inlineSize} bytes crosses a block`;
      throw refuse('bad-value', 'h_idata_size', problem);
    }
  }
  return {
    ...shared,
    indexEnd,
    clusterSize,
    clusters,
    runs,
    algorithms: [algorithms[0] ?? 'lz4', algorithms[1] ?? 'lz4'],
    bigPclusters,
    interlaced: has(Z_EROFS_ADVISE_INTERLACED_PCLUSTER),
    inlineSize,
    fragmentOffset: hasFragment ? h_fragmentoff : undefined,
    isFragment: false,
  };
}

/** Packs of two come first until a multiple of 32, then those of sixteen, then two again for the rest. */
function compactRuns(
  start: number,
  clusters: number,
  has2B: boolean,
  clusterSize: number,
): IndexRun[] {
  const initial = Math.min(((32 - (start % 32)) / 4) % 8, clusters);
  if (has2B && clusterSize > 4096) {
    throw bad('unsupported', `index entries of 2 bytes for clusters of ${clusterSize}`, {
      offset: start,
      field: 'h_advise',
    });
  }
  const middle = has2B ? Math.floor((clusters - initial) / 16) * 16 : 0;
  const runs: IndexRun[] = [];
  let firstCluster = 0;
  let offset = start;
  for (const [count, perPack, bytesEach] of [
    [initial, 2, 4],
    [middle, 16, 2],
    [clusters - initial - middle, 2, 4],
  ] as const) {
    if (count > 0) {
      const packSize = perPack * bytesEach;
      runs.push({ firstCluster, clusters: count, offset, perPack, packSize });
    }
    firstCluster += count;
    offset += count * bytesEach;
  }
  return runs;
}
