/**
 * The packed inode: small files and the ends of larger ones, one after the other, compressed
 * together. Equal parts are in it once.
 */

import type { ClusterCompressor, CompressedData } from '../../compression/cluster-compressor.ts';
import { sha256 } from '../../core/digest.ts';
import { divCeil } from '../../core/math.ts';
import { checkClusters } from './check-clusters.ts';
import type { StoredExtent } from './encode-cluster-index.ts';
import type { ImageAppender } from './image-appender.ts';

/** Bytes that are compressed at once: a multiple of each block size. */
const SEGMENT_SIZE = 4 << 20;
/**
 * How many segments are compressed before the first of them is written: always as many, so that their
 * place in the image does not depend on who is faster.
 */
const WAITING = 4;
/** Places in it have 32 bits, where they are told behind an index. */
const MAX_SIZE = 2 ** 32;

export interface PackedFile {
  /** In bytes. */
  readonly size: number;
  /** Of its data, in the image. */
  readonly blocks: number;
  /** Where bytes are in it; undefined when there is no place for them. They are copied. */
  add(bytes: Uint8Array): Promise<number | undefined>;
  /** Writes what is left; then `extents` is whole. */
  finish(): Promise<void>;
  extents(): Iterable<StoredExtent>;
}

export interface PackedFileOptions {
  readonly compressor: ClusterCompressor;
  readonly blockSize: number;
  readonly clusterSize: number;
}

export function createPackedFile(
  image: ImageAppender,
  { compressor, blockSize, clusterSize }: PackedFileOptions,
): PackedFile {
  const places = new Map<string, number>();
  const waiting: Promise<CompressedData>[] = [];
  /** Of segments: the first block and three numbers an extent. */
  const written: { firstBlock: number; extents: Uint32Array }[] = [];
  let segment = new Uint8Array(0);
  let used = 0;
  let size = 0;
  let blocks = 0;

  const compress = async (bytes: Uint8Array): Promise<CompressedData> => {
    const [data] = await compressor.compress([bytes], { blockSize, clusterSize });
    if (data === undefined) throw new TypeError('A compressor lost data');
    checkClusters(data, bytes.length, blockSize);
    return data;
  };
  const send = async (): Promise<void> => {
    const data = compress(segment.subarray(0, used));
    // Awaited at its turn; until then a failure must not count as unhandled.
    data.catch(() => undefined);
    waiting.push(data);
    used = 0;
    segment = new Uint8Array(0);
    if (waiting.length > WAITING) await writeNext();
  };
  const writeNext = async (): Promise<void> => {
    const next = waiting.shift();
    if (next === undefined) return;
    const { extents, bytes } = await next;
    const numbers = new Uint32Array(extents.length * 3);
    const firstBlock = image.nextBlock;
    let at = 0;
    for (const [index, { isPlain, length, storedLength }] of extents.entries()) {
      const count = divCeil(storedLength, blockSize);
      const before = isPlain ? 0 : count * blockSize - storedLength;
      await image.appendBlocks(bytes.subarray(at, at + storedLength), before);
      at += storedLength;
      blocks += count;
      numbers.set([length, count, isPlain ? 1 : 0], index * 3);
    }
    written.push({ firstBlock, extents: numbers });
  };

  return {
    get size() {
      return size;
    },
    get blocks() {
      return blocks;
    },
    async add(bytes) {
      const key = Buffer.from(sha256(bytes)).toString('base64');
      const known = places.get(key);
      if (known !== undefined) return known;
      if (size + bytes.length > MAX_SIZE) return undefined;
      const place = size;
      places.set(key, place);
      for (let at = 0; at < bytes.length;) {
        if (segment.length === 0) segment = new Uint8Array(SEGMENT_SIZE);
        const part = bytes.subarray(at, at + SEGMENT_SIZE - used);
        segment.set(part, used);
        used += part.length;
        at += part.length;
        size += part.length;
        if (used === SEGMENT_SIZE) await send();
      }
      return place;
    },
    async finish() {
      if (used > 0) await send();
      while (waiting.length > 0) await writeNext();
    },
    *extents() {
      for (const { firstBlock, extents } of written) {
        let block = firstBlock;
        for (let at = 0; at < extents.length; at += 3) {
          const [length = 0, count = 0, plain = 0] = extents.subarray(at, at + 3);
          yield { length, blocks: count, isPlain: plain === 1, block };
          block += count;
        }
      }
    },
  };
}
