/** The bytes of an inode's data. */

import { STREAM_CHUNK, type ByteSource } from '../../io/byte-source.ts';
import type { EncodedExtent } from './data-extent.ts';
import { checkDataSize, checkFragment, dataExtents } from './data-map.ts';
import { decodeExtent } from './decode-extent.ts';
import type { ErofsInode } from './inode.ts';
import { bad, type Geometry } from './superblock.ts';

/** Consecutive bytes of a file. */
export type DataPart = { readonly data: Uint8Array } | { readonly zeros: number };

export interface DataReader {
  /**
   * The data from byte `from` on; bytes that are stored nowhere come as their count.
   *
   * @throws {FormatError} when index or data are not usable.
   */
  parts(inode: ErofsInode, from?: number, to?: number): AsyncGenerator<DataPart>;
  /** The same with all zeros written out, in chunks of at most 1 MiB or of what was compressed at once. */
  bytes(inode: ErofsInode): AsyncGenerator<Uint8Array>;
  /** @throws {FormatError} when the image has no room for data of this size; reads no data. */
  checkSize(inode: ErofsInode): Promise<void>;
}

export interface DataReaderOptions {
  /** Where indexes are read, in small pieces. */
  readonly metadata: ByteSource;
  readonly data: ByteSource;
  readonly geometry: Geometry;
  readonly packed: ErofsInode | undefined;
}

/** Decompressed bytes of the packed inode that are kept: neighbours in it are often read together. */
const CACHE_LIMIT = 16 << 20;

export function createDataReader({
  metadata,
  data,
  geometry,
  packed,
}: DataReaderOptions): DataReader {
  const recent = createRecentExtents();

  async function* parts(
    inode: ErofsInode,
    from = 0,
    to = inode.size,
    keep = false,
  ): AsyncGenerator<DataPart> {
    for await (const extent of dataExtents(metadata, inode, geometry, from)) {
      if (extent.start >= to) return;
      // The part of the extent that was asked for.
      const skip = Math.max(from - extent.start, 0);
      const end = Math.min(extent.length, to - extent.start);
      if (extent.kind === 'hole') {
        yield { zeros: end - skip };
      } else if (extent.kind === 'stored') {
        for (let at = skip; at < end; at += STREAM_CHUNK) {
          yield { data: await data.read(extent.offset + at, Math.min(STREAM_CHUNK, end - at)) };
        }
      } else if (extent.kind === 'encoded') {
        let decoded = keep ? recent.get(extent) : undefined;
        if (decoded === undefined) {
          decoded = decodeExtent(
            await data.read(extent.offset, extent.storedSize),
            extent,
            geometry,
          );
          if (keep) recent.set(extent, decoded);
        }
        yield { data: decoded.subarray(skip, end) };
      } else {
        if (packed === undefined || packed.nid === inode.nid) {
          throw bad('bad-value', `inode ${inode.nid} has a fragment of a file that is not there`, {
            offset: inode.offset,
            field: 'h_fragmentoff',
          });
        }
        const { packedStart } = extent;
        checkFragment(inode, packedStart, extent.length, packed.size);
        yield* parts(packed, packedStart + skip, packedStart + end, true);
      }
    }
  }

  return {
    parts: (inode, from, to) => parts(inode, from, to),
    async *bytes(inode) {
      for await (const part of parts(inode)) {
        if ('data' in part) yield part.data;
        else yield* zeros(part.zeros);
      }
    },
    checkSize: (inode) => checkDataSize(metadata, inode, geometry, packed?.size ?? 0),
  };
}

function* zeros(count: number): Generator<Uint8Array> {
  const block = new Uint8Array(Math.min(count, STREAM_CHUNK));
  for (let done = 0; done < count; done += block.length) {
    yield block.subarray(0, Math.min(block.length, count - done));
  }
}

interface RecentExtents {
  get(extent: EncodedExtent): Uint8Array | undefined;
  set(extent: EncodedExtent, decoded: Uint8Array): void;
}

/** The extents that were decoded last, by where they are in the packed inode. */
function createRecentExtents(): RecentExtents {
  const kept = new Map<number, Uint8Array>();
  let size = 0;
  return {
    get: ({ start }) => kept.get(start),
    set({ start }, decoded) {
      kept.set(start, decoded);
      size += decoded.length;
      for (const [oldest, bytes] of kept) {
        if (size <= CACHE_LIMIT) break;
        kept.delete(oldest);
        size -= bytes.length;
      }
    },
  };
}
