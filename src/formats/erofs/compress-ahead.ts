/**
 * The contents of files, compressed while earlier ones are written.
 *
 * A file is cut in segments that are compressed each on its own, and small files go to the compressor
 * many at a time. Where the cuts are depends on the file alone, so neither the number of workers nor
 * the company a file is in shows in the image.
 */

import {
  ClusterBatch,
  compressBatch,
  type BatchFile,
  type StoredData,
} from '../../compression/cluster-batch.ts';
import type { ClusterCompressor } from '../../compression/cluster-compressor.ts';
import { divCeil } from '../../core/math.ts';
import type { ImagePiece } from '../../io/image-pieces.ts';
import { checkClusters } from './check-clusters.ts';
import { lastExtent, packTails, withoutLast, type Tail, type TailRoom } from './compress-tail.ts';
import { readAhead, type ReadPiece } from './content.ts';
import type { PlannedInode } from './plan.ts';

/**
 * Bytes of a file that are compressed at once: a multiple of each block size. Larger segments would
 * compress no better, since a cluster decodes to at most 1 MiB; smaller ones leave more clusters unfilled.
 */
export const SEGMENT_SIZE = 2 << 20;
/** Segments that go to the compressor together: many small ones, or two. */
const BATCH_SIZE = 2 * SEGMENT_SIZE;
const BATCH_COUNT = 1024;

/** A part of a file, compressed. Its bytes serve others when the next batch is asked for. */
export interface CompressedSegment {
  readonly planned: PlannedInode;
  /** As they were. */
  readonly bytes: Uint8Array;
  readonly data: StoredData;
  /** Of the last segment: what may stand behind the inode in place of the last extent. */
  readonly tail: Tail | undefined;
  /** Of the last segment: what goes to the packed inode, behind all extents. */
  readonly fragment: Uint8Array | undefined;
  readonly isLast: boolean;
}

/** Where the last data of a file may be. */
export type TailPolicy =
  | { readonly kind: 'blocks' }
  /** Behind the inode, where so many bytes fit. */
  | { readonly kind: 'inline'; readonly room: (planned: PlannedInode) => TailRoom }
  /** In the packed inode; small files as a whole. */
  | { readonly kind: 'fragments' };

export interface CompressAheadOptions {
  readonly compressor: ClusterCompressor;
  readonly blockSize: number;
  readonly clusterSize: number;
  /** How many batches are compressed at the same time, or wait to be written. */
  readonly parallel: number;
  readonly tails: TailPolicy;
  readonly signal?: AbortSignal | undefined;
}

/** Segments in a batch of the compressor. */
interface Batch {
  readonly clusters: ClusterBatch;
  /** Whose they are. */
  readonly planned: PlannedInode[];
  readonly isLast: boolean[];
}

/**
 * The segments of all files, in order, in batches.
 *
 * @param files Regular files that are not empty.
 * @throws {UsageError} `input` when a content has not the planned size.
 * @throws {TypeError} when the compressor does not do what it promises.
 */
export async function* compressAhead(
  files: readonly PlannedInode[],
  options: CompressAheadOptions,
): AsyncGenerator<readonly CompressedSegment[], undefined> {
  const running: { batch: Batch; result: Promise<CompressedSegment[]> }[] = [];
  const spare: Batch[] = [];
  for await (const batch of fillBatches(files, spare, options)) {
    const result = compressSegments(batch, options);
    // Awaited at its turn; until then a failure must not count as unhandled.
    result.catch(() => undefined);
    running.push({ batch, result });
    const next = running.length < options.parallel ? undefined : running.shift();
    if (next === undefined) continue;
    yield await next.result;
    spare.push(next.batch);
  }
  for (const { result } of running) yield await result;
  return undefined;
}

function createBatch(blockSize: number): Batch {
  const inputs = BATCH_COUNT;
  return {
    clusters: new ClusterBatch({ blockSize, inputs, bytes: BATCH_SIZE }),
    planned: [],
    isLast: [],
  };
}

async function* fillBatches(
  files: readonly PlannedInode[],
  spare: Batch[],
  options: CompressAheadOptions,
): AsyncGenerator<Batch> {
  const { compressor, blockSize, signal } = options;
  const readsFiles = compressor.compressBatch !== undefined;
  const fileOf = ({ inode, path: name, size }: PlannedInode): BatchFile | undefined => {
    if (!readsFiles || inode.kind !== 'file') return undefined;
    const { file, slice } = inode.content;
    const path = slice?.path ?? file?.path;
    return path === undefined ? undefined : { name, path, size, slice: slice?.offset };
  };
  const others = files.filter((planned) => fileOf(planned) === undefined);
  const contents = readAhead(contentPieces(others));
  let batch = createBatch(blockSize);
  const restart = (): void => {
    signal?.throwIfAborted();
    batch = spare.pop() ?? createBatch(blockSize);
    batch.clusters.clear();
    batch.planned.length = 0;
    batch.isLast.length = 0;
  };
  const add = (planned: PlannedInode, from: number, file?: BatchFile): boolean => {
    const length = Math.min(SEGMENT_SIZE, planned.size - from);
    if (!batch.clusters.add(length, !isPacked(planned, options), file, from)) return false;
    batch.planned.push(planned);
    batch.isLast.push(from + length === planned.size);
    return true;
  };
  try {
    for (const planned of files) {
      const file = fileOf(planned);
      if (file !== undefined) {
        for (let from = 0; from < planned.size; from += SEGMENT_SIZE) {
          if (add(planned, from, file)) continue;
          yield batch;
          restart();
          if (!add(planned, from, file)) throw new TypeError('A segment fits a batch');
        }
        continue;
      }
      let target: Uint8Array = NO_BYTES;
      let used = 0;
      let done = 0;
      for await (const chunk of chunksOf(await contents.next())) {
        signal?.throwIfAborted();
        for (let at = 0; at < chunk.length;) {
          if (used === target.length) {
            if (!add(planned, done)) {
              yield batch;
              restart();
              if (!add(planned, done)) throw new TypeError('A segment fits a batch');
            }
            target = batch.clusters.input(batch.clusters.count - 1);
            used = 0;
          }
          const part = chunk.subarray(at, at + target.length - used);
          target.set(part, used);
          used += part.length;
          at += part.length;
          done += part.length;
        }
      }
    }
    if (batch.clusters.count > 0) yield batch;
  } finally {
    await contents.return(undefined);
  }
}

function* contentPieces(files: readonly PlannedInode[]): Generator<ImagePiece> {
  for (const { path, inode } of files) {
    if (inode.kind !== 'file') throw new TypeError(`${path} has no content`);
    yield { kind: 'content', path, content: inode.content, extents: [] };
  }
}

function chunksOf({
  value: piece,
  done,
}: IteratorResult<ReadPiece, unknown>): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (done === true || piece.kind !== 'content') throw new TypeError('Only contents are read');
  return piece.chunks;
}

/** Whether a file is in the packed inode as a whole. */
const isPacked = ({ size }: PlannedInode, { tails, clusterSize }: CompressAheadOptions): boolean =>
  tails.kind === 'fragments' && size <= clusterSize;

async function compressSegments(
  { clusters, planned: owners, isLast }: Batch,
  options: CompressAheadOptions,
): Promise<CompressedSegment[]> {
  const { compressor, blockSize, clusterSize, tails } = options;
  await compressBatch(compressor, clusters, { blockSize, clusterSize });
  const segments = owners.map((planned, index): CompressedSegment => {
    const bytes = clusters.input(index);
    const isWhole = isPacked(planned, options);
    const data = isWhole ? NO_DATA : clusters.stored(index);
    if (!isWhole) checkClusters(data, bytes.length, blockSize);
    const fragment = isWhole ? bytes : undefined;
    return { planned, bytes, data, tail: undefined, fragment, isLast: isLast[index] ?? false };
  });
  switch (tails.kind) {
    case 'blocks':
      return segments;
    case 'fragments':
      return segments.map((segment) => (segment.isLast ? takeFragment(segment, options) : segment));
    case 'inline': {
      const packed = await packTails(
        segments.map(({ planned, bytes, data, isLast: isEnd }) => ({
          bytes,
          data,
          room: isEnd ? tails.room(planned) : undefined,
        })),
        options,
      );
      return segments.map((segment, index) => {
        const found = packed[index];
        return found === undefined ? segment : { ...segment, ...found };
      });
    }
  }
}

/** Takes what does not fill a cluster from the end of a file. */
function takeFragment(
  segment: CompressedSegment,
  { blockSize, clusterSize }: CompressAheadOptions,
): CompressedSegment {
  const { bytes, data } = segment;
  const last = lastExtent(data.extents);
  if (last === undefined) return segment;
  const isUnfilled = last.isPlain
    ? last.length < blockSize
    : divCeil(last.storedLength, blockSize) * blockSize < clusterSize ||
      last.storedLength % blockSize !== 0;
  if (!isUnfilled) return segment;
  const fragment = bytes.subarray(bytes.length - last.length);
  return { ...segment, data: withoutLast(data), fragment };
}

const NO_BYTES = new Uint8Array(0);
const NO_DATA: StoredData = { extents: new Uint32Array(0), bytes: NO_BYTES };
