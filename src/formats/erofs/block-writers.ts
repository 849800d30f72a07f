/** How the writer's bytes reach the sink: in large pieces, whole blocks, each block once. */

import { alignUp } from '../../core/math.ts';
import type { ImageSink } from '../../io/image-sink.ts';

/** Blocks of all allowed sizes divide it. */
const RUN_CHUNK = 1 << 20;

/** Collects whole blocks that follow one another into large writes. */
export interface RunWriter {
  /**
   * @param offset The start of a block, or where the last bytes ended.
   * @param isLast Whether what is left of the block is zeros.
   */
  put(offset: number, bytes: Uint8Array, isLast: boolean): Promise<void>;
  /** Writes what is left and waits for all. */
  flush(): Promise<void>;
}

/** Directories and files are two runs that take turns. */
const OPEN_RUNS = 2;

interface Run {
  /** Offset of the buffer's first byte. */
  start: number;
  used: number;
  buffer: Uint8Array<ArrayBuffer>;
}

export function createRunWriter(sink: ImageSink, blockSize: number): RunWriter {
  /** The one used last comes last. */
  const runs: Run[] = [];
  const spare: Uint8Array<ArrayBuffer>[] = [];
  let writing: Promise<void> = Promise.resolve();
  let sent: Uint8Array<ArrayBuffer> | undefined;

  // One buffer is filled while another is on its way.
  const send = async ({ start, used, buffer }: Run): Promise<void> => {
    await writing;
    if (sent !== undefined) spare.push(sent);
    sent = buffer;
    writing = sink.write(start, buffer.subarray(0, used));
    // It is awaited before the next write; until then a failure must not count as unhandled.
    writing.catch(() => undefined);
  };
  const runAt = async (offset: number): Promise<Run> => {
    const index = runs.findIndex(({ start, used }) => start + used === offset);
    const [run] = index === -1 ? [] : runs.splice(index, 1);
    if (run !== undefined && run.used < run.buffer.length) {
      runs.push(run);
      return run;
    }
    const full = run ?? (runs.length < OPEN_RUNS ? undefined : runs.shift());
    if (full !== undefined) await send(full);
    const fresh = { start: offset, used: 0, buffer: spare.pop() ?? new Uint8Array(RUN_CHUNK) };
    runs.push(fresh);
    return fresh;
  };

  return {
    async put(offset, bytes, isLast) {
      for (let done = 0; done < bytes.length;) {
        const run = await runAt(offset + done);
        const piece = bytes.subarray(done, done + run.buffer.length - run.used);
        run.buffer.set(piece, run.used);
        run.used += piece.length;
        done += piece.length;
        if (isLast && done === bytes.length) {
          const end = alignUp(run.used, blockSize);
          run.buffer.fill(0, run.used, end);
          run.used = end;
        }
      }
    },
    async flush() {
      for (const run of runs.splice(0)) await send(run);
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
