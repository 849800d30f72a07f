/** How the writer's bytes reach the sink: in large pieces, whole blocks, each block once. */

import type { ImageSink } from '../../io/image-sink.ts';

/** Blocks of all allowed sizes divide it. */
const RUN_CHUNK = 1 << 20;

/** Collects bytes that follow one another into large writes. */
export interface RunWriter {
  append(bytes: Uint8Array): Promise<void>;
  /** Zeros up to the next multiple of `blockSize`. */
  pad(blockSize: number): Promise<void>;
  /** Writes what is left and waits for all. */
  flush(): Promise<void>;
}

/** @param start Offset of the run's first byte in the sink. */
export function createRunWriter(sink: ImageSink, start: number): RunWriter {
  let at = start;
  let buffer = new Uint8Array(0);
  let spare: Uint8Array<ArrayBuffer> | undefined;
  let used = 0;
  let writing: Promise<void> = Promise.resolve();

  // One buffer is filled while the other is on its way.
  const send = async (): Promise<void> => {
    await writing;
    const full = buffer;
    writing = sink.write(at, full.subarray(0, used));
    // It is awaited before the next write; until then a failure must not count as unhandled.
    writing.catch(() => undefined);
    at += used;
    used = 0;
    buffer = spare ?? new Uint8Array(RUN_CHUNK);
    spare = full;
  };
  const room = async (): Promise<number> => {
    if (buffer.length === 0) buffer = new Uint8Array(RUN_CHUNK);
    if (used === buffer.length) await send();
    return buffer.length - used;
  };

  return {
    async append(bytes) {
      for (let done = 0; done < bytes.length;) {
        const piece = bytes.subarray(done, done + (await room()));
        buffer.set(piece, used);
        used += piece.length;
        done += piece.length;
      }
    },
    async pad(blockSize) {
      const rest = used % blockSize;
      if (rest === 0) return;
      await room();
      buffer.fill(0, used, used + blockSize - rest);
      used += blockSize - rest;
    },
    async flush() {
      if (used > 0) await send();
      await writing;
    },
  };
}

/** One large piece of the metadata area. */
const SEGMENT_BLOCKS = 64;

/** Collects the pieces of the metadata area, which come nearly in order, and writes what is whole. */
export interface SegmentWriter {
  put(offset: number, bytes: Uint8Array): Promise<void>;
}

/**
 * @param size Bytes of the area, which starts at 0: whole blocks.
 * @param pieces Every piece that will be put; they do not overlap.
 * @param finish Called with the first segment before it is written.
 */
export function createSegmentWriter(
  sink: ImageSink,
  { size, blockSize }: { readonly size: number; readonly blockSize: number },
  pieces: Iterable<{ readonly offset: number; readonly size: number }>,
  finish: (firstSegment: Uint8Array) => void,
): SegmentWriter {
  const segmentSize = SEGMENT_BLOCKS * blockSize;
  /** Calls `visit` for the part of a range in each segment. */
  const split = (
    offset: number,
    length: number,
    visit: (segment: number, from: number, to: number) => void,
  ): void => {
    for (let from = offset; from < offset + length;) {
      const segment = Math.floor(from / segmentSize);
      const to = Math.min((segment + 1) * segmentSize, offset + length);
      visit(segment, from, to);
      from = to;
    }
  };
  const missing: number[] = [];
  for (const piece of pieces) {
    split(piece.offset, piece.size, (segment, from, to) => {
      missing[segment] = (missing[segment] ?? 0) + to - from;
    });
  }
  const open = new Map<number, Uint8Array>();

  return {
    async put(offset, bytes) {
      const whole: number[] = [];
      split(offset, bytes.length, (segment, from, to) => {
        const start = segment * segmentSize;
        const buffer = open.get(segment) ?? new Uint8Array(Math.min(segmentSize, size - start));
        open.set(segment, buffer);
        buffer.set(bytes.subarray(from - offset, to - offset), from - start);
        const left = (missing[segment] ?? 0) - (to - from);
        missing[segment] = left;
        if (left === 0) whole.push(segment);
      });
      for (const segment of whole) {
        const buffer = open.get(segment);
        open.delete(segment);
        if (buffer === undefined) continue;
        if (segment === 0) finish(buffer);
        await sink.write(segment * segmentSize, buffer);
      }
    },
  };
}
