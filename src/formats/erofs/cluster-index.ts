/**
 * The entries of an index of compressed data: whether compressed data starts in a logical cluster,
 * where that is, or how far back it started.
 *
 * @see fs/erofs/zmap.c of Linux
 */

import type { ByteSource } from '../../io/byte-source.ts';
import type { CompressedHeader, IndexRun } from './compressed-header.ts';
import {
  LclusterIndex,
  Z_EROFS_LCLUSTER_TYPE_NONHEAD,
  Z_EROFS_LI_D0_CBLKCNT,
  Z_EROFS_LI_PARTIAL_REF,
} from './compressed-layout.ts';
import { bad, type Geometry } from './superblock.ts';

export interface Lcluster {
  readonly type: number;
  /** Of heads: where in the cluster the data starts, and in which block of the image it is. */
  readonly clusterofs: number;
  readonly block: number;
  readonly isPartial: boolean;
  /** Of others: how many clusters before this one the data starts, or one between. */
  readonly distance: number;
  /** Of others: how many clusters behind this one the next data starts, or one between. */
  readonly ahead: number;
  /** Of others: how many blocks the data takes, if it is told here. */
  readonly blockCount: number | undefined;
}

export interface ClusterIndex {
  /** @throws {FormatError} when the entry contradicts itself. */
  at(cluster: number): Promise<Lcluster>;
}

/** Entries that are read at once: at most 64 KiB. */
const WINDOW = 8192;

/** Of an index of any size, one window is in memory. */
export function openClusterIndex(
  source: ByteSource,
  header: CompressedHeader,
  geometry: Geometry,
): ClusterIndex {
  let window: { run: IndexRun; first: number; end: number; bytes: Uint8Array } | undefined;

  const load = async (cluster: number): Promise<NonNullable<typeof window>> => {
    const run = header.runs.find((each) => cluster < each.firstCluster + each.clusters);
    if (run === undefined) throw new RangeError(`Cluster ${cluster} has no index`);
    const place = cluster - run.firstCluster;
    const skipped = place - (place % WINDOW);
    const count = Math.min(WINDOW, run.clusters - skipped);
    const offset = run.offset + (skipped / run.perPack) * run.packSize;
    const size = Math.ceil(count / run.perPack) * run.packSize;
    const present = Math.min(size, geometry.imageSize - offset);
    const read = await source.read(offset, present);
    let bytes = read;
    if (present < size) {
      // The end of the image cut the last pack; it is read as zeros from there.
      bytes = new Uint8Array(size);
      bytes.set(read);
    }
    const first = run.firstCluster + skipped;
    return { run, first, end: first + count, bytes };
  };

  return {
    async at(cluster) {
      if (window === undefined || cluster < window.first || cluster >= window.end) {
        window = await load(cluster);
      }
      const { run, first, bytes } = window;
      return header.isFull
        ? decodeFull(bytes, cluster - first, header)
        : decodeCompact(bytes, cluster - first, run, header);
    },
  };
}

function decodeFull(bytes: Uint8Array, place: number, header: CompressedHeader): Lcluster {
  const { di_advise, di_clusterofs, di_u } = LclusterIndex.decode(
    bytes,
    place * LclusterIndex.size,
  );
  const type = di_advise & 3;
  const delta = di_u & 0xffff;
  const isCount = type === Z_EROFS_LCLUSTER_TYPE_NONHEAD && (delta & Z_EROFS_LI_D0_CBLKCNT) !== 0;
  if (isCount && !header.bigPclusters[0] && !header.bigPclusters[1]) {
    throw contradiction(header, 'a count of blocks where all data takes one');
  }
  return {
    type,
    clusterofs: di_clusterofs,
    block: di_u,
    isPartial: (di_advise & Z_EROFS_LI_PARTIAL_REF) !== 0,
    distance: isCount ? 1 : delta,
    ahead: di_u >>> 16,
    blockCount: isCount ? delta & ~Z_EROFS_LI_D0_CBLKCNT : undefined,
  };
}

const contradiction = (header: CompressedHeader, problem: string): Error =>
  bad('bad-value', `the index of compressed data has ${problem}`, {
    offset: header.offset,
    field: 'di_u',
  });

const NO_HEAD = {
  clusterofs: 0,
  block: 0,
  isPartial: false,
  distance: 1,
  ahead: 1,
  blockCount: undefined,
};

/** @param place Of the cluster in `bytes`, which start at a pack. */
function decodeCompact(
  bytes: Uint8Array,
  place: number,
  { perPack, packSize }: IndexRun,
  header: CompressedHeader,
): Lcluster {
  const big = header.bigPclusters[0];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const pack = Math.floor(place / perPack) * packSize;
  const bits = ((packSize - 4) * 8) / perPack;
  const lowBits = Math.max(Math.log2(header.clusterSize), 12);
  const entry = (i: number): { type: number; low: number } => {
    const bit = i * bits;
    // Every entry starts at an even bit and ends within 32 of the byte it starts in.
    const word = view.getUint32(pack + (bit >>> 3), true) >>> (bit & 7);
    return { type: (word >>> lowBits) & 3, low: word & ((1 << lowBits) - 1) };
  };
  const isCount = (low: number): boolean => (low & Z_EROFS_LI_D0_CBLKCNT) !== 0;

  const index = place % perPack;
  const { type, low } = entry(index);
  if (type === Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
    if (isCount(low)) {
      if (!big) throw contradiction(header, 'a count of blocks where all data takes one');
      const blockCount = low & ~Z_EROFS_LI_D0_CBLKCNT;
      return { ...NO_HEAD, type, blockCount };
    }
    let distance = low;
    if (index === perPack - 1) {
      // The last of a pack looks ahead instead; how far back it started follows from the one before.
      const before = entry(index - 1);
      const isHead = before.type !== Z_EROFS_LCLUSTER_TYPE_NONHEAD;
      distance = 1 + (isHead ? 0 : isCount(before.low) ? 1 : before.low);
    }
    return { ...NO_HEAD, type, distance, ahead: index === perPack - 1 ? low : 1 };
  }
  // The pack's address is that of the block before its first; each head before this one has its own.
  let blocks = big ? 0 : 1;
  for (let i = index; i > 0;) {
    i -= 1;
    const before = entry(i);
    if (before.type !== Z_EROFS_LCLUSTER_TYPE_NONHEAD) {
      blocks += 1;
    } else if (!big) {
      i -= before.low;
      if (i >= 0) blocks += 1;
    } else if (isCount(before.low)) {
      i -= 1;
      blocks += before.low & ~Z_EROFS_LI_D0_CBLKCNT;
    } else if (before.low <= 1) {
      throw contradiction(header, 'a distance that cannot be');
    } else {
      i -= before.low - 2;
    }
  }
  const base = view.getUint32(pack + packSize - 4, true);
  return {
    type,
    clusterofs: low,
    block: (base + blocks) >>> 0,
    isPartial: false,
    distance: 0,
    ahead: 0,
    blockCount: undefined,
  };
}
