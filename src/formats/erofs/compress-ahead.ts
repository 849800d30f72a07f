/**
 * The contents of files, compressed while earlier ones are written.
 *
 * A file is cut in segments that are compressed each on its own, and small files go to the compressor
 * many at a time. Where the cuts are depends on the file alone, so neither the number of workers nor
 * the company a file is in shows in the image.
 */

import type { ClusterCompressor, CompressedData } from '../../compression/cluster-compressor.ts';
import { divCeil } from '../../core/math.ts';
import type { ImagePiece } from '../../io/image-pieces.ts';
import { checkClusters } from './check-clusters.ts';
import { packTails, type Tail, type TailRoom } from './compress-tail.ts';
import { readAhead } from './content.ts';
import type { PlannedInode } from './plan.ts';

/**
 * Bytes of a file that are compressed at once: a multiple of each block size. Larger segments would
 * compress no better, since a cluster decodes to at most 1 MiB; smaller ones leave more clusters unfilled.
 */
export const SEGMENT_SIZE = 2 << 20;
/** Segments that go to the compressor together: many small ones, or one. */
const BATCH_SIZE = 2 << 20;
const BATCH_COUNT = 1024;

/** A part of a file, compressed. */
export interface CompressedSegment {
  readonly planned: PlannedInode;
  /** As they were. */
  readonly bytes: Uint8Array;
  readonly data: CompressedData;
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

interface Segment {
  readonly planned: PlannedInode;
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

/**
 * The segments of all files, in order.
 *
 * @param files Regular files that are not empty.
 * @throws {UsageError} `input` when a content has not the planned size.
 * @throws {TypeError} when the compressor does not do what it promises.
 */
export async function* compressAhead(
  files: readonly PlannedInode[],
  options: CompressAheadOptions,
): AsyncGenerator<CompressedSegment> {
  const running: Promise<CompressedSegment[]>[] = [];
  const spare: Uint8Array<ArrayBuffer>[] = [];
  // A segment is over when the next one is asked for: nothing keeps its bytes.
  const consume = async function* (
    result: Promise<CompressedSegment[]>,
  ): AsyncGenerator<CompressedSegment> {
    for (const segment of await result) {
      yield segment;
      const { buffer } = segment.bytes;
      if (buffer.byteLength === SEGMENT_SIZE) spare.push(new Uint8Array(buffer as ArrayBuffer));
    }
  };
  for await (const batch of batches(readSegments(files, spare, options.signal))) {
    const result = compressBatch(batch, options);
    // Awaited at its turn; until then a failure must not count as unhandled.
    result.catch(() => undefined);
    running.push(result);
    if (running.length >= options.parallel) yield* consume(running.shift() as (typeof running)[0]);
  }
  for (const result of running) yield* consume(result);
}

async function* readSegments(
  files: readonly PlannedInode[],
  spare: Uint8Array<ArrayBuffer>[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Segment> {
  let next = 0;
  for await (const piece of readAhead(contentPieces(files))) {
    const planned = files[next] as PlannedInode;
    next += 1;
    if (piece.kind !== 'content') throw new TypeError('Only contents are read');
    let bytes = new Uint8Array(0);
    let used = 0;
    let done = 0;
    for await (const chunk of piece.chunks) {
      signal?.throwIfAborted();
      for (let at = 0; at < chunk.length;) {
        if (used === bytes.length) {
          const size = Math.min(SEGMENT_SIZE, planned.size - done);
          // Large files would leave a new buffer for each of their segments to be collected.
          const whole = planned.size < SEGMENT_SIZE ? undefined : (spare.pop() ?? largeBuffer());
          bytes = whole?.subarray(0, size) ?? new Uint8Array(size);
          used = 0;
        }
        const part = chunk.subarray(at, at + bytes.length - used);
        bytes.set(part, used);
        used += part.length;
        at += part.length;
        done += part.length;
        if (used === bytes.length) yield { planned, bytes, isLast: done === planned.size };
      }
    }
  }
}

const largeBuffer = (): Uint8Array<ArrayBuffer> => new Uint8Array(SEGMENT_SIZE);

function* contentPieces(files: readonly PlannedInode[]): Generator<ImagePiece> {
  for (const { path, inode } of files) {
    if (inode.kind !== 'file') throw new TypeError(`${path} has no content`);
    yield { kind: 'content', path, content: inode.content, extents: [] };
  }
}

async function* batches(segments: AsyncIterable<Segment>): AsyncGenerator<Segment[]> {
  let batch: Segment[] = [];
  let size = 0;
  for await (const segment of segments) {
    const isFull = size + segment.bytes.length > BATCH_SIZE || batch.length === BATCH_COUNT;
    if (batch.length > 0 && isFull) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(segment);
    size += segment.bytes.length;
  }
  if (batch.length > 0) yield batch;
}

async function compressBatch(
  batch: readonly Segment[],
  options: CompressAheadOptions,
): Promise<CompressedSegment[]> {
  const { compressor, blockSize, clusterSize, tails } = options;
  const isPacked = ({ planned }: Segment): boolean =>
    tails.kind === 'fragments' && planned.size <= clusterSize;
  // What has no more than a block cannot become less.
  const long = batch.filter((segment) => segment.bytes.length > blockSize && !isPacked(segment));
  const inputs = long.map(({ bytes }) => bytes);
  const results =
    inputs.length === 0 ? [] : await compressor.compress(inputs, { blockSize, clusterSize });
  if (results.length !== inputs.length) throw new TypeError('A compressor lost data');
  const data = new Map(long.map((segment, index) => [segment, results[index] as CompressedData]));
  const segments = batch.map((segment) => {
    const { bytes } = segment;
    if (isPacked(segment)) return { ...segment, data: NO_DATA, tail: undefined, fragment: bytes };
    const compressed = data.get(segment) ?? plainData(bytes);
    checkClusters(compressed, bytes.length, blockSize);
    return { ...segment, data: compressed, tail: undefined, fragment: undefined };
  });
  switch (tails.kind) {
    case 'blocks':
      return segments;
    case 'fragments':
      return segments.map((segment) => (segment.isLast ? takeFragment(segment, options) : segment));
    case 'inline': {
      const packed = await packTails(
        segments.map(({ planned, bytes, isLast, data: { extents, bytes: stored } }) => ({
          bytes,
          extents,
          stored,
          room: isLast ? tails.room(planned) : undefined,
        })),
        options,
      );
      return segments.map((segment, index) => ({ ...segment, ...packed[index] }));
    }
  }
}

/** Takes what does not fill a cluster from the end of a file. */
function takeFragment(
  segment: CompressedSegment,
  { blockSize, clusterSize }: CompressAheadOptions,
): CompressedSegment {
  const { bytes, data } = segment;
  const last = data.extents.at(-1);
  if (last === undefined) return segment;
  const isUnfilled = last.isPlain
    ? last.length < blockSize
    : divCeil(last.storedLength, blockSize) * blockSize < clusterSize ||
      last.storedLength % blockSize !== 0;
  if (!isUnfilled) return segment;
  return {
    ...segment,
    data: {
      extents: data.extents.slice(0, -1),
      bytes: data.bytes.subarray(0, data.bytes.length - last.storedLength),
    },
    fragment: bytes.subarray(bytes.length - last.length),
  };
}

const NO_DATA: CompressedData = { extents: [], bytes: new Uint8Array(0) };
const plainData = (bytes: Uint8Array): CompressedData => ({
  extents: [{ isPlain: true, length: bytes.length, storedLength: bytes.length }],
  bytes,
});
