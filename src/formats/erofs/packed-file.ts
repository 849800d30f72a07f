/**
 * The packed inode: small files and the ends of larger ones, one after the other, compressed
 * together. Equal parts are in it once.
 */

import { ClusterBatch, compressBatch } from '../../compression/cluster-batch.ts';
import type { ClusterCompressor } from '../../compression/cluster-compressor.ts';
import { sha256 } from '../../core/digest.ts';
import { checkClusters } from './check-clusters.ts';
import { appendExtents } from './compressed-file.ts';
import { ExtentList } from './extent-list.ts';
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
  add(bytes: Uint8Array): number | undefined;
  /** Whether a segment waits to be written: call `settle` before anything else is. */
  readonly isBehind: boolean;
  settle(): Promise<void>;
  /** Writes what is left; then `extents` is whole. */
  finish(): Promise<void>;
  readonly extents: ExtentList;
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
  const waiting: { batch: ClusterBatch; result: Promise<void> }[] = [];
  const spare: ClusterBatch[] = [];
  const extents = new ExtentList(0);
  /** The segment that is filled. */
  let batch: ClusterBatch | undefined;
  let segment: Uint8Array = new Uint8Array(0);
  let used = 0;
  let size = 0;

  const hold = (bytes: number): ClusterBatch => {
    batch ??= spare.pop() ?? new ClusterBatch({ blockSize, inputs: 1, bytes: SEGMENT_SIZE });
    batch.clear();
    batch.add(bytes, true);
    segment = batch.input(0);
    return batch;
  };
  const send = (): void => {
    const full = hold(used);
    const result = compressBatch(compressor, full, { blockSize, clusterSize });
    // Awaited at its turn; until then a failure must not count as unhandled.
    result.catch(() => undefined);
    waiting.push({ batch: full, result });
    batch = undefined;
    used = 0;
  };
  const writeNext = async (): Promise<void> => {
    const next = waiting.shift();
    if (next === undefined) return;
    await next.result;
    const data = next.batch.stored(0);
    checkClusters(data, next.batch.input(0).length, blockSize);
    extents.nextBlock = image.nextBlock;
    appendExtents(data, image, blockSize, extents);
    spare.push(next.batch);
    if (image.isBehind) await image.settle();
  };

  return {
    get size() {
      return size;
    },
    get blocks() {
      return extents.blocks;
    },
    extents,
    add(bytes) {
      const key = Buffer.from(sha256(bytes)).toString('base64');
      const known = places.get(key);
      if (known !== undefined) return known;
      if (size + bytes.length > MAX_SIZE) return undefined;
      const place = size;
      places.set(key, place);
      for (let at = 0; at < bytes.length;) {
        if (batch === undefined) hold(SEGMENT_SIZE);
        const part = bytes.subarray(at, at + SEGMENT_SIZE - used);
        segment.set(part, used);
        used += part.length;
        at += part.length;
        size += part.length;
        if (used === SEGMENT_SIZE) send();
      }
      return place;
    },
    get isBehind() {
      return waiting.length > WAITING;
    },
    async settle() {
      while (waiting.length > WAITING) await writeNext();
    },
    async finish() {
      if (used > 0) send();
      while (waiting.length > 0) await writeNext();
    },
  };
}
